"""AWS's binary event stream, read strictly: what does not add up ends the answer.

    total length | length of headers | CRC of these eight bytes | headers | payload | CRC of all before

Lengths are big-endian and bounded before anything is kept; both checksums are checked before a byte of a message is
believed. A header that stands twice, a type that is not known and a byte too many are all the same to us: not this
format (https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html has its description).
"""

from __future__ import annotations

from struct import unpack_from
from zlib import crc32

from msgspec import Struct

from bawn.errors import Fault

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
LONGEST = 16 * 2**20
LONGEST_HEADERS = 128 * 2**10

_PRELUDE = 12
_LEAST = _PRELUDE + 4
_TRUE, _FALSE, _BYTES, _STRING = 0, 1, 6, 7
_FIXED = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Lengths of numbers, moments and uuids; none of them means anything here, but they may stand there."""


class Message(Struct, frozen=True):
    """One event as it came."""

    headers: dict[str, str]
    """Those that are text; nothing else is decided on."""
    payload: bytes

    @property
    def kind(self) -> str:
        """`:message-type`: `event`, `exception` or `error`."""
        return self.headers.get(":message-type", "")

    @property
    def event(self) -> str:
        """What it is: the type of an event or of an exception, or the code of an error."""
        for name in (":event-type", ":exception-type", ":error-code"):
            if name in self.headers:
                return self.headers[name]
        return ""


class EventStreamReader:
    """Bytes in as they come, whole messages out."""

    __slots__ = ("_broken", "_held")

    def __init__(self) -> None:
        self._held = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Fault `upstream.broken`, and again for whatever comes after it."""
        if self._broken:
            raise _broken("goes on after what could not be read")
        self._held += data
        found: list[Message] = []
        try:
            while len(self._held) >= _PRELUDE:
                total = self._length()
                if len(self._held) < total:
                    break
                found.append(_message(bytes(self._held[:total])))
                del self._held[:total]
        except Fault:
            self._broken = True
            self._held.clear()
            raise
        return found

    def close(self) -> None:
        """The provider has ended its answer. Fault `upstream.broken` when that was within a message."""
        if self._held or self._broken:
            self._broken = True
            raise _broken("ends within a message")

    def _length(self) -> int:
        """Of the message at the front, from a prelude that holds."""
        total, headers, checksum = unpack_from(">III", self._held)
        if crc32(self._held[:8]) != checksum:
            raise _broken("has a message whose lengths do not fit their checksum")
        if total > LONGEST or headers > LONGEST_HEADERS or total < _LEAST + headers:
            raise _broken("has a message whose lengths cannot be")
        return int(total)


def _message(whole: bytes) -> Message:
    if crc32(whole[:-4]) != unpack_from(">I", whole, len(whole) - 4)[0]:
        raise _broken("has a message that does not fit its checksum")
    end = _PRELUDE + int(unpack_from(">I", whole, 4)[0])
    return Message(_headers(whole[_PRELUDE:end]), whole[end:-4])


def _headers(block: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    at = 0
    while at < len(block):
        name, at = _piece(block, at + 1, block[at])
        kind, at = _piece(block, at, 1)
        text = _text(name)
        if not text or text in seen:
            raise _broken("has a message with a header without a name, or twice")
        seen.add(text)
        if kind[0] in (_TRUE, _FALSE):
            continue
        if kind[0] in (_BYTES, _STRING):
            length, at = _piece(block, at, 2)
            value, at = _piece(block, at, int.from_bytes(length, "big"))
            if kind[0] == _STRING:
                found[text] = _text(value)
        elif kind[0] in _FIXED:
            _, at = _piece(block, at, _FIXED[kind[0]])
        else:
            raise _broken("has a message with a header of an unknown type")
    return found


def _piece(block: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(block):
        raise _broken("has a message whose headers are cut")
    return block[at : at + length], at + length


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken("has a message with a header that is not UTF-8") from error


def _broken(why: str) -> Fault:
    return Fault("upstream.broken", "The provider's event stream cannot be read.", cause=f"it {why}")
