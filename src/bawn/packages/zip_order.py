"""Whether a zip file is the same for every reader.

A zip file lists its members twice: each has a header before its bytes, and the end of the file has a list of all. Readers
that go from the front and readers that go by the list can be shown different packages by one file, so that what is looked
into here would not be what is installed there. A file is plain when both ways lead to the same members, one after the
other, without a gap, anything before, or anything after.
"""

from __future__ import annotations

import os
import struct
import zipfile
from typing import BinaryIO

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END = struct.Struct("<4sHHHHIIH")
_STREAMED = 0x08
"""The sizes stand after the bytes instead of before them."""
_AFTER = frozenset({12, 16, 20, 24})
"""Bytes of that, with and without a signature, with short and long sizes."""
_UNSAID = 0xFFFFFFFF
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def ambiguity(archive: zipfile.ZipFile, file: BinaryIO) -> str:
    """Why readers may differ about it; empty when they cannot. `file`: the archive's own."""
    members = sorted(archive.infolist(), key=lambda each: each.header_offset)
    listed = _list_offset(file, len(archive.comment))
    if b"PK" in archive.comment or listed is None:
        return "its list of members cannot be found for certain"
    here = 0
    for number, member in enumerate(members):
        if member.header_offset != here:
            return "there is something between its members"
        after = members[number + 1].header_offset if number + 1 < len(members) else listed
        file.seek(here)
        fields = file.read(_LOCAL.size)
        if len(fields) < _LOCAL.size:
            return "it ends in the middle of a member"
        signature, _, flags, method, _, _, _, packed, _, name_size, extra_size = _LOCAL.unpack(fields)
        name = file.read(name_size).decode("utf-8" if flags & 0x800 else "cp437", "replace")
        if signature != b"PK\x03\x04" or name != member.orig_filename or method != member.compress_type:
            return "a member is listed as another one"
        if method not in _METHODS:
            return "a member is packed in an unusual way"
        here += _LOCAL.size + name_size + extra_size + member.compress_size
        if flags & _STREAMED:
            if after - here not in _AFTER:
                return "there is something between its members"
            here = after
        elif packed not in (member.compress_size, _UNSAID):
            return "a member has two sizes"
    return "" if here == listed else "there is something between its members"


def _list_offset(file: BinaryIO, comment_size: int) -> int | None:
    """Where the list at the end begins, when nothing but its end record follows it."""
    size = file.seek(0, os.SEEK_END)
    end = size - _END.size - comment_size
    if end < 0:
        return None
    file.seek(end)
    signature, _, _, _, _, list_size, offset, said_comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\x05\x06" or said_comment != comment_size:
        return None
    if _UNSAID in (list_size, offset):
        return _long_list_offset(file, end)
    return int(offset) if offset + list_size == end else None


def _long_list_offset(file: BinaryIO, end: int) -> int | None:
    """The same for what is too large for the short record."""
    locator, record = struct.Struct("<4sIQI"), struct.Struct("<4sQHHIIQQQQ")
    at = end - locator.size - record.size
    if at < 0:
        return None
    file.seek(at)
    signature, _, _, _, _, _, _, _, list_size, offset = record.unpack(file.read(record.size))
    said, _, place, _ = locator.unpack(file.read(locator.size))
    sound = signature == b"PK\x06\x06" and said == b"PK\x06\x07" and place == at and offset + list_size == at
    return int(offset) if sound else None
