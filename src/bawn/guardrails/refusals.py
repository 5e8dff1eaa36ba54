"""The last refusals of each container, for `bawn why`.

A projection, not the record: of each container only the last `KEPT` stay, in memory and in the store, so a
container that is refused ten thousand times a second costs no more than one that is refused 200 times.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import sqlalchemy as sa
import structlog
from msgspec import structs

from bawn.errors import Fault
from bawn.guardrails.batches import RETRY_AFTER_S, WRITE_EVERY_S
from bawn.guardrails.settlement import Refusal
from bawn.guardrails.tables import refusals
from bawn.store.engine import Store

KEPT = 200

log = structlog.get_logger(__name__)


class RefusalBook:
    def __init__(self, store: Store, kept: int = KEPT) -> None:
        self._store = store
        self._kept = kept
        self._waiting: dict[str, deque[Refusal]] = {}
        self._turn = asyncio.Lock()
        self._added = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def refuse(self, refusal: Refusal) -> None:
        """Never waits, never raises."""
        waiting = self._waiting.get(refusal.container_uuid)
        if waiting is None:
            waiting = self._waiting[refusal.container_uuid] = deque(maxlen=self._kept)
        waiting.append(refusal)
        self._added.set()

    async def last(self, container_uuid: str, n: int) -> list[Refusal]:
        """Its last refusals, newest first."""
        await self.flush()
        columns = [refusals.c[field] for field in Refusal.__struct_fields__]
        query = (
            sa.select(*columns)
            .where(refusals.c.container_uuid == container_uuid)
            .order_by(refusals.c.id.desc())
            .limit(max(0, min(n, self._kept)))
        )
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [Refusal(**row) for row in rows]

    async def flush(self) -> None:
        """Returns when everything added before is in the store; Fault `store.unavailable` when it cannot be."""
        # Taken through to its end even when whoever waits leaves: nothing is put back after it was written.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            await self.flush()
        except Fault as fault:
            log.critical("refusals.lost", containers=len(self._waiting), code=fault.code, sentence=fault.sentence)

    async def _flush(self) -> None:
        async with self._turn:
            taken, self._waiting = self._waiting, {}
            if not taken:
                return
            try:
                await self._store.run(lambda connection: self._write(connection, taken))
            except Fault:
                for uuid, before in taken.items():
                    since = self._waiting.get(uuid, ())
                    self._waiting[uuid] = deque((*before, *since), maxlen=self._kept)
                raise

    def _write(self, connection: sa.Connection, taken: dict[str, deque[Refusal]]) -> None:
        rows = [structs.asdict(refusal) for waiting in taken.values() for refusal in waiting]
        connection.execute(sa.insert(refusals), rows)
        for uuid in taken:
            own = refusals.c.container_uuid == uuid
            oldest_kept = (
                sa.select(refusals.c.id).where(own).order_by(refusals.c.id.desc()).limit(1).offset(self._kept - 1)
            ).scalar_subquery()
            connection.execute(sa.delete(refusals).where(own, refusals.c.id < oldest_kept))

    async def _run(self) -> None:
        while True:
            await self._added.wait()
            await asyncio.sleep(WRITE_EVERY_S)
            self._added.clear()
            try:
                await self.flush()
            except Fault as fault:
                log.warning("refusals.waiting", code=fault.code, sentence=fault.sentence)
                self._added.set()
                await asyncio.sleep(RETRY_AFTER_S)
