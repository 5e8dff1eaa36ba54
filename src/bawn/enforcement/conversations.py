"""What rules have done to each conversation: when they fired, and what they put in.

An agent sends its whole history again with each call, without what was put in here; so everything that was is kept, and
put in again at the same place. What is put in is written down before it is sent, so that a restart neither forgets nor
repeats it; firings that put nothing in are written a moment later, several at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
import structlog
from msgspec import Struct
from sqlalchemy.dialects.sqlite import insert

from bawn.enforcement import keys
from bawn.enforcement.tables import firings
from bawn.errors import Fault
from bawn.store.engine import Store
from bawn.terms.clock import Clock

_log = structlog.get_logger("bawn.rules")
_IN_MEMORY = 4096
_WAITING = 10_000
_WRITE_PAUSE_S = 0.1
_MOST_CLEARED = 20_000
MOST_FIRINGS = 2000
"""Kept of one conversation of those that put something to its messages, and of those that put nothing in; the oldest are
forgotten first. What stands in the system text, one of each rule at most, is never forgotten: whoever is to be kept to it
could otherwise be rid of it by making other rules fire."""
KEPT = timedelta(days=30)
MOST_OF_CONTAINER = 200_000
"""Kept of all conversations of one container, beside what stands in system texts."""
_SWEPT_AT_ONCE = 10_000
"""Rows; the writer has other things to do as well."""


class Place(StrEnum):
    """Where something was put in."""

    NOWHERE = ""
    SYSTEM = "system"
    """In the system text; what the rule says now, and only while there is such a rule."""
    USER_FIRST = "user-first"
    USER_LAST = "user-last"
    MESSAGE = "message"
    """As a message of the user, behind what it is about."""


class Firing(Struct, frozen=True):
    rule: str
    key: str
    """What it fired on within the conversation."""
    place: Place
    anchor: str
    """The key of what it was put to, where that is a place among the messages."""
    content: str
    monotonic: float
    """Seconds of this process's clock; of a firing before it began, less than its first."""


class Conversation:
    __slots__ = ("_cleared", "_judged_by", "_last", "_placed", "_silent", "_system", "container", "session")

    def __init__(self, container: str, session: str, fired: list[Firing]) -> None:
        self.container = container
        self.session = session
        self._system: dict[tuple[str, str], Firing] = {}
        self._placed: dict[tuple[str, str], Firing] = {}
        self._silent: dict[tuple[str, str], Firing] = {}
        self._last: dict[str, float] = {}
        self._cleared: set[int] = set()
        self._judged_by: object = None
        for firing in fired:
            self.add(firing)

    def add(self, firing: Firing) -> None:
        held = self._held(firing.place)
        held[firing.rule, firing.key] = firing
        self._last[firing.rule] = max(firing.monotonic, self._last.get(firing.rule, firing.monotonic))
        if len(held) > MOST_FIRINGS and held is not self._system:
            del held[next(iter(held))]

    def _held(self, place: Place) -> dict[tuple[str, str], Firing]:
        match place:
            case Place.NOWHERE:
                return self._silent
            case Place.SYSTEM:
                return self._system
            case _:
                return self._placed

    def take_back(self, firing: Firing, last: float | None) -> None:
        """It did not fire after all; `last`: when its rule had fired before."""
        self._held(firing.place).pop((firing.rule, firing.key), None)
        if self._last.get(firing.rule) == firing.monotonic:
            if last is None:
                del self._last[firing.rule]
            else:
                self._last[firing.rule] = last

    def has(self, rule: str, key: str) -> bool:
        name = (rule, key)
        return name in self._silent or name in self._placed or name in self._system

    def has_anywhere(self, rule: str, key: str) -> bool:
        """As `has`, for a call of which it is not known where it was proposed."""
        return any(by == rule and keys.same_call(fired, key) for by, fired in (*self._placed, *self._silent))

    def last(self, rule: str) -> float | None:
        return self._last.get(rule)

    def rests(self, rule: str, seconds: float, now: float) -> bool:
        """Whether its last firing is less than `seconds` ago."""
        last = self._last.get(rule)
        return seconds > 0 and last is not None and now - last < seconds

    def put_in(self) -> list[Firing]:
        """What was put in: to the system text, and to messages in that order."""
        return [*self._system.values(), *self._placed.values()]

    def cleared(self, by: object, what: int) -> bool:
        """Whether no rule of the set `by` refuses it, as was found before."""
        return self._judged_by is by and what in self._cleared

    def clear(self, by: object, what: int) -> None:
        if self._judged_by is not by or len(self._cleared) >= _MOST_CLEARED:
            self._judged_by, self._cleared = by, set()
        self._cleared.add(what)


class Conversations:
    """In memory as long as they are talked in, and in the store."""

    def __init__(self, store: Store | None, clock: Clock) -> None:
        """Without a store, in memory alone: of what is only tried nothing is kept."""
        self._store = store
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._waiting: list[dict[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self.placed = False
        """Whether rules have ever put anything into a conversation that is still kept."""
        self.lost = 0
        """Firings that could not be written down; they count as long as this process lives."""

    async def of(self, container: str, session: str, *, new: bool = False) -> Conversation:
        """`new`: it is certain that nothing is kept of it. Fault `store.unavailable`."""
        found = self._known.get((container, session))
        if found is None:
            fired = [] if new else await self._kept(container, session)
            # Another call of the same conversation may have been as quick.
            found = self._known.setdefault((container, session), Conversation(container, session, fired))
        self._known.move_to_end((container, session))
        if len(self._known) > _IN_MEMORY:
            await self.written()  # what is forgotten here is read from the store when it is talked in again
            while len(self._known) > _IN_MEMORY:
                self._known.popitem(last=False)
        return found

    def note(self, conversation: Conversation, rule: str, key: str) -> None:
        """A rule fires that puts nothing in."""
        firing = Firing(rule, key, Place.NOWHERE, "", "", self._clock.monotonic())
        conversation.add(firing)
        if len(self._waiting) >= _WAITING:
            self.lost += 1
            return
        self._waiting.append(self._row(conversation, firing))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_soon(), name="firings of rules")

    async def fire(
        self, conversation: Conversation, rule: str, key: str, place: Place, anchor: str, content: str
    ) -> None:
        """Write down that a rule puts something in. Fault `store.unavailable`: then it has not."""
        self.placed = True
        before = conversation.last(rule)
        firing = Firing(rule, key, place, anchor, content, self._clock.monotonic())
        # In memory first, so that of two equal calls at the same time one only fires.
        conversation.add(firing)
        try:
            await self._write([self._row(conversation, firing)])
        except BaseException:
            conversation.take_back(firing, before)
            raise

    async def written(self) -> None:
        """Until all that fired is in the store, or cannot be."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        try:
            await self._write(rows)
        except Fault as fault:
            self.lost += len(rows)
            _log.warning("rule.firings_lost", firings=len(rows), code=fault.code)

    async def load(self) -> None:
        """Once, before the first call. Fault `store.unavailable`."""
        if self._store is None:
            return
        query = sa.select(firings.c.id).where(firings.c.place != "").limit(1)
        self.placed = bool(await self._store.read(lambda connection: connection.execute(query).all()))

    async def sweep(self) -> None:
        """Forget what is too old to matter, and what is more than is kept. Fault `store.unavailable`."""
        if self._store is None:
            return
        columns = firings.c
        await _delete(self._store, columns.at < self._clock.now() - KEPT, 0)
        system, nowhere = columns.place == Place.SYSTEM.value, columns.place == Place.NOWHERE.value
        for container, session in await _fuller(self._store, MOST_FIRINGS, columns.container_uuid, columns.session):
            mine = sa.and_(columns.container_uuid == container, columns.session == session)
            for kind in (nowhere, sa.not_(sa.or_(system, nowhere))):
                await _delete(self._store, sa.and_(mine, kind), MOST_FIRINGS)
        for (container,) in await _fuller(self._store, MOST_OF_CONTAINER, columns.container_uuid):
            mine = sa.and_(columns.container_uuid == container, sa.not_(system))
            await _delete(self._store, mine, MOST_OF_CONTAINER)

    async def forget(self, container: str) -> None:
        """A container is no more."""
        for each in [each for each in self._known if each[0] == container]:
            del self._known[each]
        await self.written()
        if self._store is not None:
            gone = sa.delete(firings).where(firings.c.container_uuid == container)
            await self._store.run(lambda connection: connection.execute(gone).close())

    async def _kept(self, container: str, session: str) -> list[Firing]:
        if self._store is None:
            return []
        await self.written()
        columns = firings.c
        mine = sa.and_(columns.container_uuid == container, columns.session == session)
        wanted = (columns.rule, columns.key, columns.place, columns.anchor, columns.content, columns.at, columns.id)

        def rows(connection: sa.Connection) -> list[Any]:
            found: list[Any] = []
            system, nowhere = columns.place == Place.SYSTEM.value, columns.place == Place.NOWHERE.value
            found += connection.execute(sa.select(*wanted).where(mine, system)).all()
            for placed in (sa.not_(sa.or_(system, nowhere)), nowhere):
                query = sa.select(*wanted).where(mine, placed).order_by(columns.id.desc()).limit(MOST_FIRINGS)
                found += connection.execute(query).all()
            return sorted(found, key=lambda row: row.id)

        kept = await self._store.read(rows)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        return [
            Firing(row.rule, row.key, Place(row.place), row.anchor, row.content, monotonic - _seconds(now, row.at))
            for row in kept
        ]

    def _row(self, conversation: Conversation, firing: Firing) -> dict[str, Any]:
        return {
            "container_uuid": conversation.container,
            "session": conversation.session,
            "rule": firing.rule,
            "key": firing.key,
            "place": firing.place.value,
            "anchor": firing.anchor,
            "content": firing.content,
            "at": self._clock.now(),
        }

    async def _write(self, rows: list[dict[str, Any]]) -> None:
        if self._store is None:
            return
        # Of a block, which fires each time, the last time counts.
        put = insert(firings)
        put = put.on_conflict_do_update(
            index_elements=["container_uuid", "session", "rule", "key"], set_={"at": put.excluded.at}
        )
        act: Callable[[sa.Connection], None] = lambda connection: connection.execute(put, rows).close()  # noqa: E731
        await self._store.run(act)

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(_WRITE_PAUSE_S)
            await self.written()


async def _delete(store: Store, which: sa.ColumnElement[bool], but: int) -> None:
    """These, but for the newest."""
    oldest = sa.select(firings.c.id).where(which).order_by(firings.c.id.desc()).offset(but).limit(_SWEPT_AT_ONCE)
    gone = sa.delete(firings).where(firings.c.id.in_(oldest))
    while await store.run(lambda connection: connection.execute(gone).rowcount) == _SWEPT_AT_ONCE:
        pass


async def _fuller(store: Store, most: int, *by: sa.Column[str]) -> list[tuple[str, ...]]:
    """Of what more rows than so many are kept."""
    query = sa.select(*by).group_by(*by).having(sa.func.count() > most)
    return await store.read(lambda connection: [tuple(row) for row in connection.execute(query)])


def _seconds(now: datetime, then: datetime) -> float:
    return max(0.0, (now - then).total_seconds())
