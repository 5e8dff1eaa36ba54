"""The book of what was used: one row a call, summed up for `bawn usage`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any, Literal

import sqlalchemy as sa

from bawn.guardrails.batches import Batches
from bawn.guardrails.settlement import Settlement
from bawn.guardrails.tables import calls
from bawn.store.engine import Store
from bawn.store.tables import Money, moment_text, money_units
from bawn.terms.value import Value

_Row = tuple[str | int | bool | None, ...]
"""A settlement in the order of the table's columns."""

LIMIT = 100_000
"""Settlements that may wait for the store."""


class UsageRow(Value, frozen=True):
    """Calls summed up."""

    container_uuid: str
    """Empty when summed up by model."""
    container_number: int | None
    model: str
    """`provider/model`; empty when summed up by container."""
    calls: int
    refused: int
    """Of these calls, those that did not end well."""
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    known_cost_usd: Decimal
    unpriced: int
    """Calls that used something whose price is not known."""

    @property
    def cost_usd(self) -> Decimal | None:
        """None when a part is not known: a sum of the known parts would mislead."""
        return None if self.unpriced else self.known_cost_usd


class UsageBook:
    def __init__(self, store: Store, limit: int = LIMIT) -> None:
        self._store = store
        self.batches = Batches[_Row](store, _write, limit)

    def add(self, settlement: Settlement) -> None:
        """Never waits. Fault `store.unavailable` when too many wait already."""
        # Made a row here: two microseconds of a call's own time, where the store's thread would take the interpreter
        # from the calls of that moment for as long as it makes rows of hundreds.
        self.batches.add(_row_of(settlement))

    async def summary(self, by: Literal["container", "model"], since: datetime | None = None) -> list[UsageRow]:
        """What was used since then, most expensive and most used first; includes calls that just ended."""
        await self.batches.flush()
        rows = await self._store.read(lambda connection: connection.execute(_summed(by, since)).mappings().all())
        return [_row(by, row) for row in rows]

    async def of(self, container_uuid: str) -> UsageRow | None:
        """What one container used; includes calls that just ended. None: it made none."""
        await self.batches.flush()
        query = _summed("container", None).where(calls.c.container_uuid == container_uuid)
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return _row("container", rows[0]) if rows else None


def _write(connection: sa.Connection, rows: list[_Row]) -> None:
    begin = 0
    while begin < len(rows):
        size = next(size for size in _SIZES if size <= len(rows) - begin)
        some = rows[begin : begin + size]
        connection.exec_driver_sql(_insert(size), tuple(chain.from_iterable(some)))
        begin += size


_SIZES = (256, 64, 16, 4, 1)
"""Rows of one statement. The driver gives the interpreter up once a statement: a statement a row would have
the event loop's thread and this one hand it to each other a thousand times a second. The sizes are few, since
the driver keeps each statement that it has seen, and one of hundreds of rows takes half a megabyte."""


@cache
def _insert(rows: int) -> str:
    # A call is one row however often it is written. Straight to the driver: at thousands of calls a second the
    # processing of parameters, done here by `moment_text` and `money_units`, was most of what a row cost.
    row = f"({', '.join('?' * len(calls.c))})"
    return f"INSERT OR IGNORE INTO calls ({', '.join(calls.c.keys())}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - our own names


def _row_of(settlement: Settlement) -> _Row:
    """In the order of the table's columns."""
    usage, cost = settlement.usage, settlement.cost_usd
    return (
        settlement.call,
        moment_text(settlement.time),
        settlement.container_uuid,
        settlement.container_number,
        settlement.session,
        settlement.wire.value,
        settlement.endpoint.value,
        settlement.provider,
        settlement.model_requested,
        settlement.model,
        usage.input_tokens if usage else None,
        usage.output_tokens if usage else None,
        usage.cached_tokens if usage else None,
        usage.cache_write_tokens if usage else None,
        usage.reasoning_tokens if usage else None,
        settlement.usage_estimated,
        None if cost is None else money_units(cost),
        settlement.first_byte_ms,
        settlement.total_ms,
        settlement.status,
        settlement.outcome,
        settlement.code,
    )


def _summed(by: Literal["container", "model"], since: datetime | None) -> sa.Select[Any]:
    # A call that reached no provider used nothing, so it needs no price.
    unpriced = calls.c.cost_usd.is_(None) & (calls.c.tokens_in.is_not(None) | calls.c.outcome.not_in(_USED_NOTHING))
    groups: list[sa.ColumnElement[Any]]
    if by == "container":
        groups = [calls.c.container_uuid, calls.c.container_number]
    else:
        groups = [(calls.c.provider + "/" + calls.c.model).label("model")]
    cost = sa.func.coalesce(sa.func.sum(calls.c.cost_usd, type_=Money), sa.literal_column("0"), type_=Money)
    query = (
        sa.select(
            *groups,
            sa.func.count().label("calls"),
            _count(calls.c.outcome != "ok").label("refused"),
            sa.func.coalesce(sa.func.sum(calls.c.tokens_in), 0).label("tokens_in"),
            sa.func.coalesce(sa.func.sum(calls.c.tokens_out), 0).label("tokens_out"),
            sa.func.coalesce(sa.func.sum(calls.c.tokens_cached), 0).label("tokens_cached"),
            cost.label("known_cost_usd"),
            _count(unpriced).label("unpriced"),
        )
        .group_by(*groups)
        .order_by(sa.desc("known_cost_usd"), sa.desc("calls"))
    )
    return query if since is None else query.where(calls.c.time >= since)


_USED_NOTHING = ("refused", "upstream_error")


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _row(by: Literal["container", "model"], row: sa.RowMapping) -> UsageRow:
    named = {"model": ""} if by == "container" else {"container_uuid": "", "container_number": None}
    return UsageRow(**named, **row)
