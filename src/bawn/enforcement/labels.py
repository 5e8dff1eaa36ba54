"""Which tags a conversation carries: those of its container, those that an operator gave it, and those that it names.

What comes from inside a container only adds: there is no way to take a tag away from in there.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from bawn.config.patterns import Pattern
from bawn.enforcement.tables import session_tags
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.principal import Container

HEADER = b"x-bawn-tags"
_MOST = 20_000
_MOST_NAMED = 32
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


class Labels:
    def __init__(self, store: Store, clock: Clock, containers: Mapping[str, Sequence[str]] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._sessions: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self.hold(containers or {})

    def hold(self, containers: Mapping[str, Sequence[str]]) -> None:
        """The tags that containers have from now on, by name or glob."""
        patterns = [(Pattern(name), frozenset(tags)) for name, tags in containers.items()]

        def of(name: str) -> frozenset[str]:
            return frozenset().union(*(tags for pattern, tags in patterns if pattern.fits(name)))

        self._of_container = lru_cache(_MOST)(of) if patterns else lambda name: frozenset[str]()

    async def load(self) -> None:
        query = sa.select(session_tags).order_by(session_tags.c.at.desc()).limit(_MOST)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in reversed(rows):
            self._sessions[row.container_uuid, row.session] = frozenset(json.loads(row.tags))

    async def tag(self, container: str, session: str, tags: frozenset[str]) -> None:
        """An operator gives a conversation these tags, in place of those before. Fault `store.unavailable`."""
        row = {
            "container_uuid": container,
            "session": session,
            "tags": json.dumps(sorted(tags)),
            "at": self._clock.now(),
        }
        put = insert(session_tags).values(row)
        put = put.on_conflict_do_update(
            index_elements=["container_uuid", "session"], set_={"tags": put.excluded.tags, "at": put.excluded.at}
        )
        await self._store.run(lambda connection: connection.execute(put).close())
        self._sessions[container, session] = tags
        self._sessions.move_to_end((container, session))
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)

    def of(self, container: Container, session: str, named: bytes = b"") -> frozenset[str]:
        tags = self._of_container(container.name)
        if self._sessions:
            tags |= self._sessions.get((container.uuid, session), frozenset())
        if named:
            inside = (each.strip() for each in named.decode("ascii", "replace").split(",")[:_MOST_NAMED])
            tags |= frozenset(each for each in inside if _TAG.match(each))
        return tags

    async def begun(self, container: str, session: str, parent: str) -> None:
        """A conversation was begun by another one of the same container."""

    async def forget(self, container: str) -> None:
        """A container is no more."""
        for each in [each for each in self._sessions if each[0] == container]:
            del self._sessions[each]
        gone = sa.delete(session_tags).where(session_tags.c.container_uuid == container)
        await self._store.run(lambda connection: connection.execute(gone).close())
