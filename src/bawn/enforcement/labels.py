"""Which tags a conversation carries: those of its container, those that an operator gave it, those that it names, and all
of those that it came from.

What comes from inside a container only adds: there is no way to take a tag away from in there. Those of the container are
told apart (`of_container`), for whoever would let something pass by them. Which conversation a call belongs to is said from
inside as well, so between conversations of one container no tag is a secret; what must hold is given to the container.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from bawn.config.patterns import Pattern
from bawn.enforcement.kinship import MOST_TAGS, Kinship
from bawn.enforcement.tables import session_tags
from bawn.stages.asked import UNNAMED, Asked
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.principal import Container
from bawn.terms.tags import HEADER
from bawn.terms.tags import named as tags_of

PARENTS = (b"x-bawn-parent-session", b"x-parent-session-id", b"x-codex-parent-thread-id")
"""By which agents tell the conversation that this one came from: Bawn's own first, then OpenCode's and Codex's. Agents within
one session of Claude Code are that session."""
_HEARD = frozenset((HEADER, *PARENTS))
_MOST = 20_000
_NONE: frozenset[str] = frozenset()


class Labels:
    def __init__(self, store: Store, clock: Clock, containers: Mapping[str, Sequence[str]] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._sessions: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self.kinship = Kinship(store, clock, self._of_line)
        self.hold(containers or {})

    def hold(self, containers: Mapping[str, Sequence[str]]) -> None:
        """The tags that containers have from now on, by name or glob."""
        patterns = [(Pattern(name), frozenset(tags)) for name, tags in containers.items()]

        def of(name: str) -> frozenset[str]:
            return _NONE.union(*(tags for pattern, tags in patterns if pattern.fits(name)))

        self._of_name = lru_cache(_MOST)(of) if patterns else lambda name: _NONE

    async def load(self) -> None:
        query = sa.select(session_tags).order_by(session_tags.c.at.desc()).limit(_MOST)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in reversed(rows):
            self._sessions[row.container_uuid, row.session] = frozenset(json.loads(row.tags))
        await self.kinship.load()

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

    # what they are

    def of_container(self, container: Container) -> frozenset[str]:
        """What an operator gave the container, by the configuration or when it was made: the only ones that nobody inside can
        claim. What an operator gave a conversation is not among them, since any agent in its container can take its name."""
        tags = self._of_name(container.name)
        return tags.union(container.tags) if container.tags else tags

    def of(self, container: Container, session: str, named: bytes = b"") -> frozenset[str]:
        """All of them; `named`: what the request names itself."""
        tags = self.of_container(container)
        if self._sessions:
            tags = tags | self._sessions.get((container.uuid, session), _NONE)
        if named:
            tags |= tags_of(named)
        if self.kinship.knows(uuid := container.uuid):
            kinship = self.kinship
            tags = tags.union(kinship.named(uuid, session), self._inherited(uuid, session), kinship.left(uuid, session))
        return tags

    def _inherited(self, uuid: str, session: str) -> frozenset[str]:
        return _NONE.union(*self._of_line(uuid, self.kinship.ancestors(uuid, session)))

    def _of_line(self, uuid: str, line: Iterable[str]) -> tuple[list[str], list[str]]:
        """Of these sessions: what operators gave them, and as much as there may be of what they named, the first ones' first."""
        given: list[str] = []
        named: dict[str, None] = {}
        for each in line:
            given += sorted(self._sessions.get((uuid, each), _NONE))
            if (more := self.kinship.named(uuid, each)) and len(named) < MOST_TAGS:
                # Their order matters only where not all of them find room.
                named.update(dict.fromkeys(more if len(named) + len(more) <= MOST_TAGS else sorted(more)))
        return given, list(named)[:MOST_TAGS]

    # what agents say

    def heard(self, asked: Asked) -> None:
        """What a call says of its conversation: the tags that it names stay with it, and so does where it came from."""
        self.kinship.heard(asked.container.uuid, asked.session)
        said = {name: value for name, value in asked.headers if name in _HEARD}
        if not said or asked.session.startswith(UNNAMED):
            return
        uuid, session = asked.container.uuid, asked.session
        if tags := tags_of(said.get(HEADER, b"")):
            self.kinship.name(uuid, session, tags)
        parent = next((said[name] for name in PARENTS if said.get(name)), b"")
        if parent:
            self._begun(uuid, session, parent.decode("ascii", "replace"))

    async def begun(self, container: str, session: str, parent: str) -> None:
        """A conversation was begun by another one of the same container."""
        self._begun(container, session, parent)

    def _begun(self, uuid: str, session: str, parent: str) -> None:
        if session.startswith(UNNAMED) or parent.startswith(UNNAMED):
            return  # nobody can know what those are called

        def has() -> list[str]:
            given, named = self._of_line(uuid, (parent, *self.kinship.ancestors(uuid, parent)))
            return given + named

        self.kinship.begun(uuid, session, parent, has)

    async def forget(self, container: str) -> None:
        """A container is no more."""
        for each in [each for each in self._sessions if each[0] == container]:
            del self._sessions[each]
        gone = sa.delete(session_tags).where(session_tags.c.container_uuid == container)
        await self._store.run(lambda connection: connection.execute(gone).close())
        await self.kinship.forget(container)
