"""Which conversation came from which, and which tags each has named: both as agents say it, within one container.

Agents tell the parent with every call of a child, or once by a hook of theirs. The first one told stays, and nobody is
their own ancestor; so a walk up the line ends. What is said here only ever adds tags.

Of a container only so many conversations are known. Where that drives out one that was in use, its tags stay with the
container: whoever is not known there, or comes from somebody who is not, has them. So nobody is rid of a tag by making up
conversations.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from msgspec import Struct
from sqlalchemy.dialects.sqlite import insert

from bawn.enforcement.tables import session_kin
from bawn.errors import Fault
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.tags import MOST_NAMED

MOST = 2000
"""Conversations of one container; those that rest longest are forgotten first."""
RESTS = timedelta(days=1)
"""One that was not heard of for so long is forgotten with its tags."""
DEEPEST = 16
"""Generations. What would be deeper has its parent's tags as they are then, and no parent."""
MOST_TAGS = 256
"""That one has from its whole line, beside those that operators gave."""
KEPT = timedelta(days=30)
_NOTED = timedelta(hours=1)
"""How far what is written down of when one was heard of may be behind."""
_LOADED = 50_000
_LONGEST_NAME = 200
_WRITE_PAUSE_S = 0.1
_log = structlog.get_logger("bawn.rules")


class Kin(Struct):
    parent: str = ""
    """Empty: none that is known."""
    named: frozenset[str] = frozenset()
    heard: datetime = datetime.min.replace(tzinfo=UTC)
    """When it was spoken in last."""


_NOBODY: Mapping[str, Kin] = {}
_NO_TAGS: frozenset[str] = frozenset()
_LEFT = ""
"""In the place of a conversation's name, which is never empty."""
Line = Callable[[str, Iterable[str]], tuple[list[str], list[str]]]


class Kinship:
    def __init__(self, store: Store, clock: Clock, line: Line) -> None:
        """`line`: what operators gave these conversations of a container, and what they named."""
        self._store = store
        self._line = line
        self._left: dict[str, frozenset[str]] = {}
        """Tags of those that were driven out."""
        self._clock = clock
        self._families: dict[str, OrderedDict[str, Kin]] = {}
        self._waiting: dict[tuple[str, str], Kin | None] = {}
        """What is not written down yet; None: forgotten."""
        self._writing: asyncio.Task[None] | None = None

    async def load(self) -> None:
        old = sa.delete(session_kin).where(session_kin.c.at < self._clock.now() - KEPT)
        await self._store.run(lambda connection: connection.execute(old).close())
        query = sa.select(session_kin).order_by(session_kin.c.at.desc()).limit(_LOADED)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in reversed(rows):
            named = frozenset(json.loads(row.named))
            family = self._families.setdefault(row.container_uuid, OrderedDict())
            if row.session == _LEFT:
                self._left[row.container_uuid] = named
            else:
                family[row.session] = Kin(row.parent, named, row.at)

    def knows(self, container: str) -> bool:
        return container in self._families

    def named(self, container: str, session: str) -> frozenset[str]:
        """What it has named so far."""
        kin = self._families.get(container, _NOBODY).get(session)
        return kin.named if kin is not None else frozenset()

    def left(self, container: str, session: str) -> frozenset[str]:
        """What those that were driven out had, as far as this one may be one of them or come from one."""
        left = self._left.get(container, _NO_TAGS)
        if not left:
            return left
        *_, first = (session, *self.ancestors(container, session))
        return _NO_TAGS if first in self._families[container] else left

    def heard(self, container: str, session: str) -> None:
        """Somebody speaks in it."""
        family = self._families.get(container)
        if family is None or (kin := family.get(session)) is None:
            return
        before, kin.heard = kin.heard, self._clock.now()
        family.move_to_end(session)
        if kin.heard - before > _NOTED:
            self._soon(container, session, kin)

    def ancestors(self, container: str, session: str) -> Iterator[str]:
        """The parent first."""
        family = self._families.get(container, _NOBODY)
        # Two lines that were joined may be as long as both.
        for _ in range(2 * DEEPEST):
            kin = family.get(session)
            if kin is None or not kin.parent:
                return
            session = kin.parent
            yield session

    def name(self, container: str, session: str, tags: frozenset[str]) -> None:
        """A conversation names tags, beside those that it named before."""
        before = self.named(container, session)
        if tags <= before:
            return
        room = max(MOST_NAMED - len(before), 0)
        kin = self._kin(container, session)
        kin.named = before | frozenset(sorted(tags - before)[:room])
        self._soon(container, session, kin)

    def begun(self, container: str, session: str, parent: str, tags: Callable[[], Sequence[str]]) -> None:
        """One was begun by another, which has these tags now, the weightiest first."""
        session, parent = session[:_LONGEST_NAME], parent[:_LONGEST_NAME]
        known = self._families.get(container, _NOBODY).get(session)
        if not parent or not session or parent == session or (known is not None and known.parent):
            return
        line = list(self.ancestors(container, parent))
        if session in line:
            return
        kin = self._kin(container, session)
        if len(line) + 1 > DEEPEST:
            # The parent's go first: what a child names itself, it names again with its next call.
            kin.named = frozenset([*dict.fromkeys([*tags(), *sorted(kin.named)])][:MOST_TAGS])
        else:
            kin.parent = parent
        self._soon(container, session, kin)

    async def forget(self, container: str) -> None:
        """A container is no more."""
        self._families.pop(container, None)
        self._left.pop(container, None)
        for each in [each for each in self._waiting if each[0] == container]:
            del self._waiting[each]
        gone = sa.delete(session_kin).where(session_kin.c.container_uuid == container)
        await self._store.run(lambda connection: connection.execute(gone).close())

    async def written(self) -> None:
        """What waits is written down now; what cannot be stays known until the process ends."""
        waiting, self._waiting = self._waiting, {}
        now = self._clock.now()
        gone = [name for name, kin in waiting.items() if kin is None]
        known = [(name, kin.parent, kin.named) for name, kin in waiting.items() if kin is not None]

        def act(connection: sa.Connection) -> None:
            for container, session in gone:
                of_it = (session_kin.c.container_uuid == container) & (session_kin.c.session == session)
                connection.execute(sa.delete(session_kin).where(of_it)).close()
            put = [_row(container, session, parent, named, now) for (container, session), parent, named in known]
            if put:
                rows = insert(session_kin)
                said = {name: rows.excluded[name] for name in ("parent", "named", "at")}
                keys = ["container_uuid", "session"]
                connection.execute(rows.on_conflict_do_update(index_elements=keys, set_=said), put).close()

        try:
            await self._store.run(act)
        except Fault as fault:
            _log.warning("session.kin_not_kept", code=fault.code)

    def _kin(self, container: str, session: str) -> Kin:
        family = self._families.setdefault(container, OrderedDict())
        kin = family.setdefault(session, Kin())
        kin.heard = self._clock.now()
        family.move_to_end(session)
        if len(family) > MOST:
            oldest = next(iter(family))
            if kin.heard - family[oldest].heard < RESTS:
                self._leave(container, oldest)
            del family[oldest]
            self._soon(container, oldest, None)
        return kin

    def _leave(self, container: str, session: str) -> None:
        """Its tags stay, without those that an operator gave itself: they are kept elsewhere."""
        above = list(self.ancestors(container, session))
        given, _ = self._line(container, above)
        _, named = self._line(container, (session, *above))
        before = self._left.get(container, _NO_TAGS)
        # What an operator gave is never crowded out.
        room = max(MOST_TAGS - len(before), 0)
        left = before.union(given, [each for each in named if each not in before][:room])
        if left != before:
            self._left[container] = left
            self._soon(container, _LEFT, Kin(named=left))

    def _soon(self, container: str, session: str, kin: Kin | None) -> None:
        self._waiting[container, session] = kin
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="kinship of sessions")

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(_WRITE_PAUSE_S)
            await self.written()


def _row(container: str, session: str, parent: str, named: frozenset[str], at: datetime) -> dict[str, Any]:
    names = json.dumps(sorted(named))
    return {"container_uuid": container, "session": session, "parent": parent, "named": names, "at": at}
