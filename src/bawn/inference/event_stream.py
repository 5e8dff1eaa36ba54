"""AWS's binary event stream: messages of headers and payload, each with two checksums.

total length | length of headers | CRC of these eight bytes | headers | payload | CRC of all before
"""

from __future__ import annotations

import struct
from zlib import crc32

_STRING = 7
"""The type of a header's value; events of Bedrock have no other."""


def message(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return whole + struct.pack(">I", crc32(whole))


def _header(name: str, value: str) -> bytes:
    said = value.encode()
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(said)) + said


def payload_of(message: bytes) -> bytes:
    """The payload of one whole message."""
    head = int.from_bytes(message[4:8], "big")
    return message[12 + head : -4]
