"""Containers that end with their work: deleted, with everything in them, whoever forgot to do it.

Whoever runs a command in one deletes it when done. This is for when they cannot: the command line was killed, the
container was stopped, its time was over, its box died, or the gateway itself crashed, after which nobody is
left who waits for what ran.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from bawn.errors import Fault
from bawn.identity.record import Record
from bawn.identity.registry import Registry

LINGER_S = 60.0
"""How long one stays after its last command ended: its changes may still be looked at."""

_log = structlog.get_logger("bawn.ephemeral")


class Ephemeral:
    def __init__(
        self, registry: Registry, delete: Callable[[Record], Awaitable[None]], linger_s: float = LINGER_S
    ) -> None:
        self._registry = registry
        self._delete = delete
        self._linger_s = linger_s
        self._busy: Counter[str] = Counter()
        self._ending: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.spared: set[str] = set()
        """Stopped for a moment, to be started again."""
        registry.watch(self._changed)

    async def sweep(self) -> None:
        """At the start: none of them has anybody who waits for it any more."""
        for record in self._registry.list():
            if record.ephemeral:
                await self._end(record.uuid)

    def began(self, record: Record, ended: Callable[[], Awaitable[object]]) -> None:
        """A command runs in it; `ended` waits for its end."""
        if record.ephemeral:
            self._busy[record.uuid] += 1
            self._start(self._linger(record.uuid, ended))

    def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    async def _linger(self, uuid: str, ended: Callable[[], Awaitable[object]]) -> None:
        try:
            await ended()
        finally:
            self._busy[uuid] -= 1
        await asyncio.sleep(self._linger_s)
        if not self._busy[uuid]:
            await self._end(uuid)

    def _changed(self, uuid: str) -> None:
        standing = self._registry.standing(uuid)
        if standing is None or standing.state not in ("stopped", "failed") or uuid in self.spared:
            return
        try:
            record = self._registry.get(uuid)
        except Fault:
            return
        if record.ephemeral:
            self._start(self._end(uuid))

    async def _end(self, uuid: str) -> None:
        if uuid in self._ending:
            return
        self._ending.add(uuid)
        try:
            record = self._registry.get(uuid)
            await self._delete(record)
        except Fault as fault:
            if fault.code != "api.not_found":
                _log.warning("ephemeral.not_deleted", container=uuid, error=fault.sentence)
        finally:
            self._ending.discard(uuid)

    def _start(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
