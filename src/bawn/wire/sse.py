"""Server-sent events, split without changing a byte (WHATWG HTML, "Server-sent events").

A frame is everything up to and with its blank line; lines end in LF, CR LF or CR. The raw bytes are kept
beside the payload, so that what nobody touched can go on exactly as it came.
"""

from __future__ import annotations

import re

from msgspec import Struct

MAX_FRAME_BYTES = 8 * 2**20

# Atomic, so that CR LF is never taken for two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class SseFrame(Struct, frozen=True):
    raw: bytes
    event: bytes
    """The event's name, empty when the frame gives none."""
    data: bytes | None
    """The payload, lines joined by LF; None for comments and frames without data."""


class TooLong(ValueError):
    """A frame is over the limit."""


class SseSplitter:
    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0

    def feed(self, data: bytes) -> list[SseFrame]:
        """The frames that are whole now. Raises TooLong."""
        buffer = self._buffer + data if self._buffer else data
        frames: list[SseFrame] = []
        start = 0
        search = max(0, self._searched - 3)
        while match := _BLANK_LINE.search(buffer, search):
            end = match.end()
            frames.append(_frame(buffer[start:end]))
            start = search = end
        self._buffer = buffer[start:] if start else buffer
        self._searched = len(self._buffer)
        if len(self._buffer) > MAX_FRAME_BYTES:
            raise TooLong
        return frames

    @property
    def rest(self) -> bytes:
        """What has come of a frame that is not whole."""
        return self._buffer


def _frame(raw: bytes) -> SseFrame:
    # The two forms that nearly every frame has, without a loop over lines.
    if raw.startswith(b"data: ") and b"\r" not in raw and raw.find(b"\n") == len(raw) - 2:
        return SseFrame(raw, b"", raw[6:-2])
    event, data = b"", []
    for line in raw.removeprefix(_BOM).splitlines():
        name, colon, value = line.partition(b":")
        if not colon and not name:
            continue
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    return SseFrame(raw, event, b"\n".join(data) if data else None)
