"""What operators allowed single containers at run time (`bawn egress allow`), beside what the configuration says.

A grant belongs to a container's uuid, which is never used again: another container of the same name does not
inherit it. Kept in memory, so that compiling a policy reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct, structs

from bawn.egress.tables import grants
from bawn.errors import Fault
from bawn.store.engine import Store
from bawn.terms.clock import Clock

LIMIT = 200
"""Grants of one container."""


class Grant(Struct, frozen=True):
    id: int
    container_uuid: str
    rule: str
    person: str
    created: datetime


class Grants:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[str, list[Grant]] = {}

    async def load(self) -> None:
        query = sa.select(*(grants.c[name] for name in Grant.__struct_fields__)).order_by(grants.c.id)
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        self._held.clear()
        for row in rows:
            self._held.setdefault(row["container_uuid"], []).append(Grant(**row))

    def of(self, container_uuid: str) -> Sequence[Grant]:
        return tuple(self._held.get(container_uuid, ()))

    async def add(self, container_uuid: str, rule: str, person: str) -> Grant:
        """The grant; the same rule again is the one that stands. Fault `api.conflict` when there are too many."""
        held = self._held.setdefault(container_uuid, [])
        for grant in held:
            if grant.rule == rule:
                return grant
        if len(held) >= LIMIT:
            raise Fault("api.conflict", f"A container can be granted {LIMIT} rules at most.")
        fresh = Grant(0, container_uuid, rule, person, self._clock.now())

        def insert(connection: sa.Connection) -> int:
            row = structs.asdict(fresh)
            del row["id"]
            key = connection.execute(sa.insert(grants).values(row)).inserted_primary_key
            assert key is not None
            return int(key[0])

        grant = structs.replace(fresh, id=await self._store.run(insert))
        held.append(grant)
        return grant

    async def remove(self, container_uuid: str, id_: int) -> Grant:
        """Takes one back: first from memory, so that it holds no longer even when the store fails."""
        held = self._held.get(container_uuid, [])
        found = next((grant for grant in held if grant.id == id_), None)
        if found is None:
            raise Fault("api.not_found", f"This container has no grant {id_}.")
        held.remove(found)
        await self._store.run(lambda connection: connection.execute(sa.delete(grants).where(grants.c.id == id_)))
        return found

    async def forget(self, container_uuid: str) -> None:
        """All of a container that is deleted."""
        self._held.pop(container_uuid, None)
        gone = sa.delete(grants).where(grants.c.container_uuid == container_uuid)
        await self._store.run(lambda connection: connection.execute(gone))
