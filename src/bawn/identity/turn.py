"""One change after another, each carried through.

What is written to the store must also reach memory: else a revocation would hold only after the next start.
So a change goes on to its end even when whoever asked for it is cancelled half-way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Turn:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs `change` after those that came before it."""

        async def in_turn() -> T:
            async with self._lock:
                return await change()

        return await asyncio.shield(asyncio.create_task(in_turn()))
