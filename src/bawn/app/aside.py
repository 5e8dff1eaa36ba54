"""What operators have computed only to look at: in a thread, one after another, so that no call of an agent waits for it.

A thread cannot be ended. One that takes too long is waited for no more, and until it is through there is no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bawn.errors import Fault

SECONDS = 20.0

T = TypeVar("T")


class Aside:
    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = asyncio.Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """What comes of it. Fault `api.too_long` where that takes too long, with the waiting for others."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._lock.acquire()
                doing = asyncio.get_running_loop().run_in_executor(None, work)
                doing.add_done_callback(self._over)
                return await asyncio.shield(doing)
        except TimeoutError:
            raise Fault("api.too_long", f"This was not worked out within {self._seconds:g} s.") from None

    def _over(self, done: asyncio.Future[T]) -> None:
        self._lock.release()
        if not done.cancelled():
            done.exception()  # of one that nobody waits for any more
