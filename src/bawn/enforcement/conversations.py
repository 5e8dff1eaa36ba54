"""What rules have done to each conversation: when they fired, and what they put in.

An agent sends its whole history again with each call, without what was put in here; so everything that was is kept, and
put in again at the same place. Written down before it is sent, so that a restart neither forgets nor repeats it.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.sqlite import insert

from bawn.enforcement.tables import firings
from bawn.store.engine import Store
from bawn.terms.clock import Clock

_IN_MEMORY = 4096
MOST_FIRINGS = 2000
"""Kept of one conversation; the oldest are forgotten first."""
KEPT = timedelta(days=30)
_LONGEST_KEY = 200


class Place(StrEnum):
    """Where something was put in."""

    NOWHERE = ""
    SYSTEM_FIRST = "system-first"
    SYSTEM_LAST = "system-last"
    USER_FIRST = "user-first"
    USER_LAST = "user-last"
    MESSAGE = "message"
    """As a message of the user, behind what it is about."""


class Firing(Struct, frozen=True):
    rule: str
    key: str
    """What it fired on within the conversation."""
    place: Place
    content: str
    monotonic: float
    """Seconds of this process's clock; of a firing before it began, less than its first."""


class Conversation:
    __slots__ = ("_last", "container", "fired", "session")

    def __init__(self, container: str, session: str, fired: list[Firing]) -> None:
        self.container = container
        self.session = session
        self.fired: dict[tuple[str, str], Firing] = {}
        self._last: dict[str, float] = {}
        for firing in fired:
            self.add(firing)

    def add(self, firing: Firing) -> None:
        self.fired[firing.rule, firing.key] = firing
        self._last[firing.rule] = max(firing.monotonic, self._last.get(firing.rule, firing.monotonic))
        while len(self.fired) > MOST_FIRINGS:
            del self.fired[next(iter(self.fired))]

    def has(self, rule: str, key: str) -> bool:
        return (rule, key) in self.fired

    def rests(self, rule: str, seconds: float, now: float) -> bool:
        """Whether its last firing is less than `seconds` ago."""
        last = self._last.get(rule)
        return seconds > 0 and last is not None and now - last < seconds

    def put_in(self) -> list[Firing]:
        """What was put in, in that order."""
        return [firing for firing in self.fired.values() if firing.place is not Place.NOWHERE]


class Conversations:
    """In memory as long as they are talked in, and in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], Conversation] = OrderedDict()

    async def of(self, container: str, session: str) -> Conversation:
        found = self._known.get((container, session))
        if found is None:
            rows = await self._store.read(lambda connection: connection.execute(_of(container, session)).all())
            now, monotonic = self._clock.now(), self._clock.monotonic()
            fired = [
                Firing(row.rule, row.key, Place(row.place), row.content, monotonic - _seconds(now, row.at))
                for row in reversed(rows)
            ]
            # Another call of the same conversation may have been as quick.
            found = self._known.setdefault((container, session), Conversation(container, session, fired))
        self._known.move_to_end((container, session))
        while len(self._known) > _IN_MEMORY:
            self._known.popitem(last=False)
        return found

    async def fire(self, conversation: Conversation, rule: str, key: str, place: Place, content: str) -> Firing:
        """Write down that a rule fires. Fault `store.unavailable`: then it has not fired."""
        firing = Firing(rule, key[:_LONGEST_KEY], place, content, self._clock.monotonic())
        row = {
            "container_uuid": conversation.container,
            "session": conversation.session,
            "rule": rule,
            "key": firing.key,
            "place": place.value,
            "content": content,
            "at": self._clock.now(),
        }
        # In memory first, so that of two equal calls at the same time one only fires.
        conversation.add(firing)
        try:
            await self._store.run(
                lambda connection: connection.execute(insert(firings).values(row).on_conflict_do_nothing()).close()
            )
        except BaseException:
            conversation.fired.pop((rule, firing.key), None)
            raise
        return firing

    async def sweep(self) -> None:
        """Forget what is too old to matter."""
        before = self._clock.now() - KEPT
        await self._store.run(
            lambda connection: connection.execute(sa.delete(firings).where(firings.c.at < before)).close()
        )

    async def forget(self, container: str) -> None:
        """A container is no more."""
        for each in [each for each in self._known if each[0] == container]:
            del self._known[each]
        gone = sa.delete(firings).where(firings.c.container_uuid == container)
        await self._store.run(lambda connection: connection.execute(gone).close())


def _of(container: str, session: str) -> sa.Select[tuple[str, str, str, str, datetime]]:
    columns = firings.c
    return (
        sa.select(columns.rule, columns.key, columns.place, columns.content, columns.at)
        .where(columns.container_uuid == container, columns.session == session)
        .order_by(columns.id.desc())
        .limit(MOST_FIRINGS)
    )


def _seconds(now: datetime, then: datetime) -> float:
    return max(0.0, (now - then).total_seconds())
