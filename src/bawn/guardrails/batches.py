"""Rows on their way to the store: taken at once, written in batches, kept until they are written.

Adding never waits. One task writes what has gathered; a store that is locked or full for a while is tried
again until it works, with everything kept in order meanwhile. Only when more gathers than `limit` does adding
raise: then the caller knows, and memory stays bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import sqlalchemy as sa
import structlog

from bawn.errors import Fault
from bawn.store.engine import Store

T = TypeVar("T")

WRITE_EVERY_S = 0.5
RETRY_AFTER_S = 1.0
BATCH = 5000

log = structlog.get_logger(__name__)


class Batches(Generic[T]):
    def __init__(self, store: Store, write: Callable[[sa.Connection, list[T]], None], limit: int) -> None:
        self._store = store
        self._write = write
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._turn = asyncio.Lock()
        self._added = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def add(self, row: T) -> None:
        if len(self._waiting) >= self._limit:
            raise Fault("store.unavailable", "Too much waits to be written to the store.")
        self._waiting.append(row)
        self._added.set()

    async def flush(self) -> None:
        """Returns when everything added before is in the store; Fault `store.unavailable` when it cannot be."""
        # What the store has begun goes through; so it must also leave here, even when whoever waits is cancelled.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._turn:
            while self._waiting:
                batch = [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))]
                await self._store.run(partial(_call, self._write, batch))
                for _ in batch:
                    self._waiting.popleft()

    async def close(self) -> None:
        """Writes what is left. What the store will not take even now is counted in the log."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            await self.flush()
        except Fault as fault:
            log.critical("books.lost", rows=len(self._waiting), code=fault.code, sentence=fault.sentence)

    async def _run(self) -> None:
        while True:
            await self._added.wait()
            await asyncio.sleep(WRITE_EVERY_S)
            self._added.clear()
            try:
                await self.flush()
            except Fault as fault:
                log.warning("books.waiting", rows=len(self._waiting), code=fault.code, sentence=fault.sentence)
                self._added.set()
                await asyncio.sleep(RETRY_AFTER_S)


def _call(write: Callable[[sa.Connection, list[T]], None], batch: list[T], connection: sa.Connection) -> None:
    write(connection, batch)
