"""An answer that is taken in parts, by a reader that may be slow: what waits is bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from bawn.errors import Fault
from bawn.gateway.answer import Answer

_HIGH_WATER = 256 * 1024


class Parts:
    """A `Sink` whose other end is `read`."""

    __slots__ = ("_answer", "_bytes", "_ended", "_fault", "_waiting", "_wake")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._fault: Fault | None = None
        self._wake = asyncio.Event()
        answer.hand_to(self)

    async def read(self) -> bytes:
        """The next part, or nothing at the end. The Fault that broke the answer."""
        while True:
            if self._waiting:
                data = self._waiting.popleft()
                self._bytes -= len(data)
                if self._bytes <= _HIGH_WATER // 2 and not self._ended:
                    self._answer.resume()
                return data
            if self._fault is not None:
                raise self._fault
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()

    async def lines(self, longest: int) -> AsyncIterator[bytes]:
        """The lines, without their ends and without empty ones. Fault `upstream.broken` for one that is too long."""
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            first, *others = data.split(b"\n")
            pieces.append(first)
            size += len(first)
            for other in others:
                if (line := b"".join(pieces)).strip():
                    yield line
                pieces, size = [other], len(other)
            if size > longest:
                raise Fault("upstream.broken", f"A line of the provider's answer is over {longest} bytes.")
        if (line := b"".join(pieces)).strip():
            yield line

    # what the answer calls

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head was read before the answer was handed over."""

    def on_data(self, data: bytes) -> None:
        self._waiting.append(data)
        self._bytes += len(data)
        if self._bytes > _HIGH_WATER and not self._ended:
            self._answer.pause()
        self._wake.set()

    def on_end(self) -> None:
        self._ended = True
        self._wake.set()

    def on_broken(self, fault: Fault) -> None:
        self._fault = fault
        self._wake.set()
