"""What lately happened at the egress doors, for `bawn egress log` and for proposals.

A projection, not the record: of each container the last `KEPT` stay. Written in batches beside the calls' books.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct, structs

from bawn.egress.tables import passages
from bawn.errors import Fault
from bawn.guardrails.batches import Batches
from bawn.store.engine import Store

KEPT = 1000
_WAITING = 20_000

REFUSED = "egress.refused"


class Passage(Struct, frozen=True):
    """One thing that happened: `event` is egress.opened, .closed, .refused or .credential_used."""

    time: datetime
    container_uuid: str
    event: str
    host: str
    port: int
    code: str = ""
    sentence: str = ""
    record: str = ""
    """The id of its durable record."""


class Passages:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._batches: Batches[Passage] = Batches(store, _write, _WAITING)
        self.dropped = 0

    def start(self) -> None:
        self._batches.start()

    async def close(self) -> None:
        await self._batches.close()

    def add(self, passage: Passage) -> None:
        """Never waits, never raises: the record has it already."""
        try:
            self._batches.add(passage)
        except Fault:
            self.dropped += 1

    async def last(self, limit: int, *, container_uuid: str | None = None, denied: bool = False) -> Sequence[Passage]:
        """The last of one container or of all, newest first."""
        await self._batches.flush()
        query = sa.select(*(passages.c[name] for name in Passage.__struct_fields__)).order_by(passages.c.id.desc())
        if container_uuid is not None:
            query = query.where(passages.c.container_uuid == container_uuid)
        if denied:
            query = query.where(passages.c.event == REFUSED)
        query = query.limit(max(0, limit))
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [Passage(**row) for row in rows]


def _write(connection: sa.Connection, rows: list[Passage]) -> None:
    connection.execute(sa.insert(passages), [structs.asdict(row) for row in rows])
    for uuid in {row.container_uuid for row in rows}:
        own = passages.c.container_uuid == uuid
        oldest_kept = (
            sa.select(passages.c.id).where(own).order_by(passages.c.id.desc()).limit(1).offset(KEPT - 1)
        ).scalar_subquery()
        connection.execute(sa.delete(passages).where(own, passages.c.id < oldest_kept))
