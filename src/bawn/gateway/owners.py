"""Which container made which object at a provider (a file, a response, a batch).

A provider knows only our account, not our containers; so that one container cannot name the object of
another, its maker is kept here, and an id without a maker is nobody's.

An object that goes on working after its call (a response in the background, a batch) owes its usage: its kind says so
until the usage was settled, which happens once, whoever asks how often.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bawn.errors import Fault
from bawn.gateway.tables import resources
from bawn.store.engine import Store

OWED = "+owed"
"""Behind the kind of an object whose usage is not settled."""


class ResourceOwners:
    """The owners in memory, written through to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[tuple[str, str], tuple[str, str]] = {}
        """Provider and id → container and kind."""

    async def load(self) -> None:
        table = resources.c
        rows = await self._store.read(
            lambda connection: connection.execute(
                sa.select(table.provider, table.id, table.container_uuid, table.kind)
            ).all()
        )
        self._made = {(provider, resource): (uuid, kind) for provider, resource, uuid, kind in rows}

    def owner(self, provider: str, resource: str) -> str | None:
        found = self._made.get((provider, resource))
        return found[0] if found is not None else None

    def kind(self, provider: str, resource: str) -> str:
        """What it is; empty when it has no maker."""
        found = self._made.get((provider, resource))
        return found[1] if found is not None else ""

    def count(self, provider: str, kinds: tuple[str, ...], container_uuid: str) -> int:
        """How many of these kinds a container owns there; of a kind with a dot, what stands before it counts."""
        return sum(
            of == provider and uuid == container_uuid and kind.removesuffix(OWED).partition(".")[0] in kinds
            for (of, _), (uuid, kind) in self._made.items()
        )

    async def claim(self, provider: str, resource: str, kind: str, container_uuid: str, now: datetime) -> None:
        """Write down who made an object. Fault `upstream.broken` when it has a maker already."""
        try:
            await self._store.run(
                lambda connection: connection.execute(
                    sa.insert(resources).values(
                        provider=provider, id=resource, kind=kind, container_uuid=container_uuid, created=now
                    )
                ).close()
            )
        except IntegrityError as error:
            raise Fault("upstream.broken", "The provider gave a new object the id of another.") from error
        self._made[provider, resource] = (container_uuid, kind)

    async def forget(self, provider: str, resource: str) -> None:
        """The object is no more."""
        await self._store.run(
            lambda connection: connection.execute(
                sa.delete(resources).where(resources.c.provider == provider, resources.c.id == resource)
            ).close()
        )
        self._made.pop((provider, resource), None)

    async def settle(self, provider: str, resource: str) -> bool:
        """Whether its usage is to be settled now: true once, for whoever asks first."""
        found = self._made.get((provider, resource))
        if found is None or not found[1].endswith(OWED):
            return False
        settled = found[1].removesuffix(OWED)
        # In memory first, so that of two calls at the same time one only goes on from here.
        self._made[provider, resource] = (found[0], settled)
        try:
            await self._store.run(
                lambda connection: connection.execute(
                    sa.update(resources)
                    .where(resources.c.provider == provider, resources.c.id == resource)
                    .values(kind=settled)
                ).close()
            )
        except Fault:
            self._made[provider, resource] = found
            raise
        return True
