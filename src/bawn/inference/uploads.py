"""A body of several parts, as clients upload files."""

from __future__ import annotations

import re

from msgspec import Struct

_BOUNDARY = re.compile(r'multipart/form-data;\s*boundary="?([^";]{1,70})"?\s*', re.IGNORECASE)
_NAME = re.compile(r'\bname="([^"]*)"')
_FILENAME = re.compile(r'\bfilename="([^"]*)"')


class Part(Struct, frozen=True):
    name: str
    filename: str | None
    kind: str
    """The type of its content."""
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


def parts_of(content_type: str, body: bytes) -> list[Part]:
    """The parts; a ValueError when the body is none of parts, or ends before its end."""
    match = _BOUNDARY.fullmatch(content_type)
    if match is None:
        raise ValueError("multipart")
    mark = b"--" + match[1].encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ValueError("multipart")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, found, content = piece.partition(b"\r\n\r\n")
    text = head.decode("utf-8", "replace")
    name = _NAME.search(text)
    if not found or name is None:
        raise ValueError("multipart")
    filename = _FILENAME.search(text)
    kind = re.search(r"(?im)^content-type:\s*(\S+)", text)
    return Part(name[1], filename[1] if filename else None, kind[1] if kind else "text/plain", content)
