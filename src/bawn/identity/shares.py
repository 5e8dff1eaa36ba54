"""Links to a port of a container, each with a token of its own: what opens one opens nothing else.

A token is 256 random bits, kept as its digest and shown once. It has an end, can be revoked at any time, and ends with the
container.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct, structs

from bawn.errors import Fault, quoted
from bawn.identity.record import ahead
from bawn.identity.registry import Keeper, Registry
from bawn.identity.tables import shares
from bawn.identity.turn import Turn
from bawn.terms.clock import Clock

LIMIT = 200


class Share(Struct, frozen=True):
    id: str
    container_uuid: str
    port: int
    digest: str
    person: str
    """Who made it."""
    created: datetime
    expires: datetime
    revoked: datetime | None = None


class Shares:
    def __init__(self, store: Keeper, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._all: dict[str, Share] = {}
        self._turn = Turn()

    async def load(self) -> None:
        rows = await self._store.run(lambda connection: connection.execute(sa.select(shares)).mappings().all())
        self._all = {row["id"]: Share(**dict(row)) for row in rows}

    def list(self, uuid: str) -> Sequence[Share]:
        """Those of a container that still open something."""
        return [share for share in self._all.values() if share.container_uuid == uuid and self._good(share)]

    async def create(self, uuid: str, port: int, expires: datetime, person: str) -> tuple[Share, str]:
        """With its token, which is told this once."""
        until = ahead(expires, self._clock.now())
        if len(self.list(uuid)) >= LIMIT:
            raise Fault("api.conflict", "This container has too many links already.", remedy="Revoke some.")
        token = secrets.token_urlsafe(32)
        share = Share(secrets.token_hex(8), uuid, port, digest_of(token), person, self._clock.now(), until)
        await self._turn.take(lambda: self._write(sa.insert(shares).values(**structs.asdict(share)), share))
        return share, token

    async def revoke(self, uuid: str, share_id: str) -> Share:
        """Holds at once, whatever becomes of the store."""
        share = self._all.get(share_id)
        if share is None or share.container_uuid != uuid:
            raise Fault("api.not_found", f"There is no link {quoted(share_id)}.", remedy="Look at `bawn ports shares`.")
        ended = self._all[share_id] = structs.replace(share, revoked=share.revoked or self._clock.now())
        change = sa.update(shares).where(shares.c.id == share_id).values(revoked=ended.revoked)
        await self._turn.take(lambda: self._write(change, ended))
        return ended

    def opened(self, share_id: str, token: str) -> Share | None:
        """The link that this token opens now."""
        share = self._all.get(share_id)
        # Compared also when there is none, so that the time says nothing about which ids exist.
        same = hmac.compare_digest(digest_of(token), share.digest if share else "0" * 64)
        return share if share is not None and same and self._good(share) else None

    def _good(self, share: Share) -> bool:
        standing = self._registry.standing(share.container_uuid)
        alive = standing is not None and standing.state != "deleted"
        return alive and share.revoked is None and share.expires > self._clock.now()

    async def _write(self, change: sa.Executable, share: Share) -> None:
        await self._store.run(lambda connection: connection.execute(change).close())
        self._all[share.id] = share


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
