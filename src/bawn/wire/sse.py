"""Server-sent events, split without changing a byte (WHATWG HTML, "Server-sent events").

A frame is everything up to and with its blank line; lines end in LF, CR LF or CR. The raw bytes are kept
beside the payload, so that what nobody touched can go on exactly as it came.
"""

from __future__ import annotations

import re

from bawn.terms.value import Value

MAX_FRAME_BYTES = 32 * 2**20
"""Room for the longest call that is held, told in one frame with its quotes escaped."""

# Atomic, so that CR LF is never taken for two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class SseFrame(Value, frozen=True):
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
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[SseFrame]:
        """The frames that are whole now. Raises TooLong."""
        waiting = self._buffer
        if waiting:
            waiting += data
            frames, start = _split(waiting, max(0, self._searched - 3), at_end=False)
            if start:
                del waiting[:start]
        else:
            frames, start = _split(data, 0, at_end=False)
            if start < len(data):
                waiting += data[start:]
        self._searched = len(waiting)
        if self._searched > MAX_FRAME_BYTES:
            raise TooLong
        return frames

    def last(self) -> list[SseFrame]:
        """Nothing more comes: the frames that waited for a LF after their CR."""
        frames, start = _split(self._buffer, 0, at_end=True)
        del self._buffer[:start]
        return frames

    @property
    def rest(self) -> bytes:
        """What has come of a frame that is not whole."""
        return bytes(self._buffer)


def _split(buffer: bytes | bytearray, search: int, *, at_end: bool) -> tuple[list[SseFrame], int]:
    """The whole frames, and where what remains begins."""
    frames: list[SseFrame] = []
    start = 0
    while match := _BLANK_LINE.search(buffer, search):
        end = match.end()
        if end == len(buffer) and not at_end and buffer.endswith(b"\r"):
            # A LF may follow; where a frame ends must not hang on how the bytes were cut.
            break
        frames.append(_frame(bytes(buffer[start:end])))
        start = search = end
    return frames, start


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
