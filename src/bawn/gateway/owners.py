"""Which container made which object at a provider (a file, a response, a batch).

A provider knows only our account, not our containers; so that one container cannot name the object of
another, its maker is kept here, and an id without a maker is nobody's.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from bawn.gateway.tables import resources
from bawn.store.engine import Store


class ResourceOwners:
    """The owners in memory, written through to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owners: dict[tuple[str, str], str] = {}

    async def load(self) -> None:
        rows = await self._store.read(
            lambda connection: connection.execute(
                sa.select(resources.c.provider, resources.c.id, resources.c.container_uuid)
            ).all()
        )
        self._owners = {(provider, resource): uuid for provider, resource, uuid in rows}

    def owner(self, provider: str, resource: str) -> str | None:
        return self._owners.get((provider, resource))

    async def claim(self, provider: str, resource: str, kind: str, container_uuid: str, now: datetime) -> None:
        """Write down who made an object. IntegrityError when it has a maker already."""
        await self._store.run(
            lambda connection: connection.execute(
                sa.insert(resources).values(
                    provider=provider, id=resource, kind=kind, container_uuid=container_uuid, created=now
                )
            ).close()
        )
        self._owners[provider, resource] = container_uuid
