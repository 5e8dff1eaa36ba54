"""A request body that is read while it comes, for uploads that are too large to be held.

The connection puts in what it reads; the call takes it out. What waits is bounded: over the high mark the
client is not read from any further. Whatever is wrong with the body (too long, too slow, not HTTP, gone)
reaches the call as a Fault at its next read, so that an upload ends in one place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from bawn.errors import Fault

_HIGH_WATER = 256 * 1024


class Upload:
    """One body on its way. `put`, `finish` and `fail` are the connection's, `read` is the call's."""

    __slots__ = ("_fault", "_limit", "_pause", "_resume", "_size", "_waiting", "_waiting_bytes", "_wake", "whole")

    def __init__(self, limit: int, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._size = 0
        self._fault: Fault | None = None
        self._wake: asyncio.Event = asyncio.Event()
        self.whole = False
        """Whether the last byte has come."""

    def put(self, data: bytes) -> None:
        """Raises Fault `http.body_too_large` when there is more than may be."""
        self._size += len(data)
        if self._size > self._limit:
            raise Fault("http.body_too_large", f"The upload is over {self._limit} bytes.")
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _HIGH_WATER:
            self._pause()
        self._wake.set()

    def finish(self) -> None:
        self.whole = True
        self._wake.set()

    def fail(self, fault: Fault) -> None:
        """The rest will not come."""
        if not self.whole and self._fault is None:
            self._fault = fault
            self._waiting.clear()
            self._wake.set()

    async def read(self) -> bytes:
        """The next bytes, or none at the end. The Fault that ended it early."""
        while True:
            if self._fault is not None:
                raise self._fault
            if self._waiting:
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                if self._waiting_bytes <= _HIGH_WATER // 2:
                    self._resume()
                return data
            if self.whole:
                return b""
            self._wake.clear()
            await self._wake.wait()
