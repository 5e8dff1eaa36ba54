"""One act a key at a time, and not too many for one container.

Who comes while an act is under way waits for the same one, and one who leaves does not take it away from the others. Acts
outlive those who asked for them, so each container has only so many under way: else it could ask and leave, again and again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bawn.packages.reasons import Refused

T = TypeVar("T")

_MOST = 64
"""Of one container. npm asks 15 things at once, pip one."""


class Once:
    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[Any]] = {}
        self._of: Counter[str] = Counter()

    async def do(self, key: str, who: str, act: Callable[[], Awaitable[T]]) -> T:
        task = self._under_way.get(key)
        if task is None:
            if self._of[who] >= _MOST:
                raise Refused("packages.unavailable", "This container asks for too much at once.")
            task = self._under_way[key] = asyncio.ensure_future(act())
            self._of[who] += 1
            task.add_done_callback(lambda done: self._done(key, who, done))
        result: T = await asyncio.shield(task)
        return result

    def _done(self, key: str, who: str, done: asyncio.Future[Any]) -> None:
        self._under_way.pop(key, None)
        self._of[who] -= 1
        if self._of[who] <= 0:
            del self._of[who]
        if not done.cancelled():
            done.exception()  # everybody who asked may have left
