"""What was used of each quota today, and what calls that run may still use.

Reserving is one step in the event loop: all limits of a call are looked at and taken together, so of two calls that would
both fit alone only one is sent. A call is written down when it reserves and again when it ends; after a crash those that
ran count with what they had reserved, never with nothing.

Days are those of UTC. A call belongs to the day on which it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import sqlalchemy as sa
from msgspec import Struct

from bawn.errors import Fault
from bawn.guardrails.batches import Batches
from bawn.store.engine import Store
from bawn.store.tables import money_units
from bawn.terms.value import Value
from bawn.transforms.tables import quota_uses

LIMIT = 100_000
"""Rows that may wait for the store."""
_ZERO = Decimal(0)
_INSERT = "INSERT OR REPLACE INTO quota_uses (call, subject, day, tokens, cost_usd) VALUES (?, ?, ?, ?, ?)"
_Row = tuple[str, str, str, int, int]


class Limit(Value, frozen=True):
    """What one quota allows in a day; None: as much as there is."""

    subject: str
    """Whose quota: `customer` or `customer/container`."""
    tokens: int | None = None
    usd: Decimal | None = None


class Use(Struct):
    """What was used of a quota, with what running calls hold."""

    tokens: int = 0
    usd: Decimal = _ZERO


class _Held(Struct):
    day: str
    subjects: tuple[str, ...]
    tokens: int
    usd: Decimal


class QuotaBook:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = Batches[_Row](store, _write, LIMIT)
        self._day = ""
        self._uses: dict[str, Use] = {}
        self._running: dict[str, _Held] = {}

    async def load(self, now: datetime) -> None:
        """What was used today before this process began."""
        day = _day(now)
        await self._store.run(partial(_forget_before, day))
        self._day, self._uses = day, await self._store.read(partial(_summed, day))

    def start(self) -> None:
        """Begins to write in the background of this event loop."""
        self._rows.start()

    async def close(self) -> None:
        await self._rows.close()

    def used(self, subject: str, now: datetime) -> Use:
        self._turn(now)
        use = self._uses.get(subject, Use())
        return Use(use.tokens, use.usd)

    def reserve(self, call: str, limits: Sequence[Limit], tokens: int, usd: Decimal | None, now: datetime) -> None:
        """Hold this much of all of them until `settle`. Fault `quota.exceeded` when one of them has not enough left, and
        then nothing is held; None for a cost that nobody knows counts as nothing here."""
        self._turn(now)
        cost = usd if usd is not None else _ZERO
        for limit in limits:
            self._fits(limit, tokens, cost, now)
        held = _Held(self._day, tuple(limit.subject for limit in limits), tokens, cost)
        self._write_down(call, held)
        for subject in held.subjects:
            use = self._uses.setdefault(subject, Use())
            use.tokens += tokens
            use.usd += cost
        self._running[call] = held

    def settle(self, call: str, tokens: int | None, usd: Decimal | None) -> None:
        """The call used this much in the end; None: nobody knows, so it was what it held. Never raises."""
        held = self._running.pop(call, None)
        if held is None:
            return
        used = _Held(
            held.day,
            held.subjects,
            held.tokens if tokens is None else tokens,
            held.usd if usd is None else usd,
        )
        if held.day == self._day:
            for subject in held.subjects:
                use = self._uses[subject]
                use.tokens += used.tokens - held.tokens
                use.usd += used.usd - held.usd
        if (used.tokens, used.usd) != (held.tokens, held.usd):
            try:
                self._write_down(call, used)
            except Fault:
                # In memory it is right; on the disk the call stays with what it held, which is more.
                return

    def _fits(self, limit: Limit, tokens: int, usd: Decimal, now: datetime) -> None:
        use = self._uses.get(limit.subject, Use())
        what = ""
        if limit.tokens is not None and (use.tokens >= limit.tokens or use.tokens + tokens > limit.tokens):
            what = f"{use.tokens} of {limit.tokens} tokens are used or held by running calls, and about {tokens} are needed"
        elif limit.usd is not None and (use.usd >= limit.usd or use.usd + usd > limit.usd):
            what = f"{use.usd:.4f} of {limit.usd} US dollars are used or held by running calls"
        if what:
            resets = (now + timedelta(days=1)).strftime("%Y-%m-%dT00:00Z")
            raise Fault(
                "quota.exceeded",
                f"The quota of the day is used up: {what}. It is full again at {resets}.",
                cause=f"the quota {limit.subject}",
            )

    def _turn(self, now: datetime) -> None:
        """A new day begins with nothing used; what runs belongs to the day before."""
        day = _day(now)
        if day > self._day:
            self._day, self._uses = day, {}

    def _write_down(self, call: str, held: _Held) -> None:
        units = money_units(held.usd)
        for subject in held.subjects:
            self._rows.add((call, subject, held.day, held.tokens, units))


def _day(now: datetime) -> str:
    return now.strftime("%Y-%m-%d")


def _write(connection: sa.Connection, rows: list[_Row]) -> None:
    for row in {(row[0], row[1]): row for row in rows}.values():  # of a call that ended already only its end
        connection.exec_driver_sql(_INSERT, row)


def _forget_before(day: str, connection: sa.Connection) -> None:
    connection.execute(sa.delete(quota_uses).where(quota_uses.c.day < day))


def _summed(day: str, connection: sa.Connection) -> dict[str, Use]:
    table = quota_uses.c
    query = (
        sa.select(table.subject, sa.func.sum(table.tokens), sa.func.sum(table.cost_usd, type_=table.cost_usd.type))
        .where(table.day == day)
        .group_by(table.subject)
    )
    return {subject: Use(int(tokens), usd) for subject, tokens, usd in connection.execute(query)}
