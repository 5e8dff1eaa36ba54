"""What is alike in reading the streams of all providers that send server-sent events: each frame is one JSON object."""

from __future__ import annotations

from typing import Any

from bawn.translation.neutral import StreamEvent
from bawn.wire.holding import MAX_WAITING_BYTES, Unsound
from bawn.wire.json_text import read_plain
from bawn.wire.sse import SseFrame, SseSplitter

_PIECE = 100
"""Bytes that a piece takes beside its letters."""


class SseEvents:
    """A provider's stream as events; what an object means, each wire says itself.

    `feed` and `close` raise Unsound, NotPlain, TooLong and NotTranslatable.
    """

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._held = 0
        """Bytes of calls that are not told yet."""
        self._over = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        return self._read(self._splitter.feed(data))

    def close(self) -> list[StreamEvent]:
        out = self._read(self._splitter.last())
        if not self._over:
            out += self._left()
        return out

    def _read(self, frames: list[SseFrame]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        for frame in frames:
            if frame.data is not None and not self._over:
                out += self._data(frame.data)
        return out

    def _data(self, data: bytes) -> list[StreamEvent]:
        event = read_plain(data)
        if not isinstance(event, dict):
            raise Unsound("an event is not an object")
        return self._event(event)

    def _event(self, event: dict[str, Any]) -> list[StreamEvent]:
        raise NotImplementedError

    def _left(self) -> list[StreamEvent]:
        """HTTP is over, and nothing said that the answer is."""
        raise Unsound("it ended before the answer was whole")

    def _hold(self, size: int) -> None:
        """One more piece of a call."""
        self._held += size + _PIECE
        if self._held > MAX_WAITING_BYTES:
            raise Unsound("its calls are too long")
