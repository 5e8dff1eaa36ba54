"""Which conversation came from which, and which tags each has named: both as agents say it, within one container.

Agents tell the parent with every call of a child, or once by a hook of theirs. The first one told stays, and nobody is
their own ancestor; so a walk up the line ends. What is said here only ever adds tags.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
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
"""Conversations of one container; those that have not said anything of this for longest are forgotten first."""
DEEPEST = 16
"""Generations. What would be deeper has its parent's tags as they are then, and no parent."""
MOST_TAGS = 256
"""That one has from its whole line, beside those that operators gave."""
KEPT = timedelta(days=30)
_LOADED = 50_000
_LONGEST_NAME = 200
_WRITE_PAUSE_S = 0.1
_log = structlog.get_logger("bawn.rules")


class Kin(Struct):
    parent: str = ""
    """Empty: none that is known."""
    named: frozenset[str] = frozenset()


_NOBODY: Mapping[str, Kin] = {}


class Kinship:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
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
            self._families.setdefault(row.container_uuid, OrderedDict())[row.session] = Kin(
                row.parent, frozenset(json.loads(row.named))
            )

    def knows(self, container: str) -> bool:
        return container in self._families

    def named(self, container: str, session: str) -> frozenset[str]:
        """What it has named so far."""
        kin = self._families.get(container, _NOBODY).get(session)
        return kin.named if kin is not None else frozenset()

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
        family.move_to_end(session)
        if len(family) > MOST:
            oldest, _ = family.popitem(last=False)
            self._soon(container, oldest, None)
        return kin

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
