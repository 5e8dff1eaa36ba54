"""Tasks in the store, so that a restart forgets neither what waits nor what came of what ran."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from bawn.store.engine import Store
from bawn.tasks.tables import tasks
from bawn.tasks.task import Answer, State, Task


class Book:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def unsettled(self) -> Sequence[Task]:
        """Those that are not over, and those whose callback is; oldest first."""
        query = sa.select(tasks.c.task).where(
            sa.or_(tasks.c.state.in_((State.WAITING, State.RUNNING)), tasks.c.answer == Answer.PENDING)
        )
        return await self._read(query.order_by(tasks.c.created, tasks.c.id))

    async def get(self, id_: str) -> Task | None:
        found = await self._read(sa.select(tasks.c.task).where(tasks.c.id == id_))
        return found[0] if found else None

    async def last(self, state: str | None, parent_uuid: str | None, limit: int) -> Sequence[Task]:
        """The newest first."""
        query = sa.select(tasks.c.task)
        if state is not None:
            query = query.where(tasks.c.state == state)
        if parent_uuid is not None:
            query = query.where(tasks.c.parent_uuid == parent_uuid)
        return await self._read(query.order_by(tasks.c.created.desc(), tasks.c.id).limit(limit))

    async def put(self, task: Task) -> None:
        """As it is now, new or in place of what it was."""
        row = {
            "id": task.id,
            "state": task.state.value,
            "answer": task.answer.value,
            "parent_uuid": task.parent_uuid,
            "created": task.created,
            "ended": task.ended,
            "task": msgspec.json.encode(task).decode(),
        }

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.delete(tasks).where(tasks.c.id == task.id))
            connection.execute(sa.insert(tasks).values(row))

        await self._store.run(write)

    async def purge(self, before: datetime) -> None:
        """Forgets what was over by then."""
        old = sa.delete(tasks).where(tasks.c.ended < before)
        await self._store.run(lambda connection: connection.execute(old).close())

    async def _read(self, query: sa.Select[Any]) -> Sequence[Task]:
        rows = await self._store.read(lambda connection: connection.execute(query).scalars().all())
        return [msgspec.json.decode(row, type=Task) for row in rows]
