"""The books: settlements and refusals, taken without waiting, written in batches.

`add` and `refuse` are called at the end of a call and never wait. A task writes what has come together to the
store; while the store is locked or failing, it keeps everything and tries again. When too much has come
together, `add` says so with a Fault, and the caller reports it. Costs are looked up here, off the call's way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from msgspec import Struct, structs

from bawn.errors import Fault
from bawn.guardrails.prices import Prices
from bawn.guardrails.settlement import Refusal, Settlement
from bawn.guardrails.tables import calls, refusals
from bawn.store.engine import Store

_log = structlog.get_logger("bawn.usage")

MOST_KEPT = 50_000
"""Settlements and refusals that wait for the store at most."""
REFUSALS_KEPT = 200
"""Refusals kept of one container."""
_EVERY_S = 0.2
_BATCH = 2000
_TEXT_LIMIT = 2000


class UsageRow(Struct, frozen=True):
    """Calls summed up."""

    key: str
    """The uuid of a container, or `provider/model`."""
    calls: int
    refused: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    cost_usd: Decimal | None
    """None when the cost of one of the calls is not known; a sum of the others would mislead."""


class UsageBook:
    def __init__(self, store: Store, prices: Prices | None = None) -> None:
        self._store = store
        self._prices = prices or Prices()
        self._settlements: deque[Settlement] = deque()
        self._refusals: deque[Refusal] = deque()
        self._writing = asyncio.Lock()
        self.trouble = ""
        """Why the last attempt to write failed; empty when all is well. For `bawn status`."""

    @property
    def waiting(self) -> int:
        return len(self._settlements) + len(self._refusals)

    def add(self, settlement: Settlement) -> None:
        """Take a settlement in. Fault `store.unavailable` when too many wait already."""
        if self.waiting >= MOST_KEPT:
            raise Fault("store.unavailable", "Too many settlements wait for the store.")
        self._settlements.append(settlement)

    def refuse(self, refusal: Refusal) -> None:
        """Take a refusal in. Of these the oldest that wait give way: a container could cause any number."""
        self._refusals.append(refusal)
        while len(self._refusals) > MOST_KEPT // 10:
            self._refusals.popleft()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.flush()
            except Fault as fault:
                if not self.trouble:
                    _log.error("usage.not_written", code=fault.code, sentence=fault.sentence, waiting=self.waiting)
                self.trouble = fault.sentence
            else:
                self.trouble = ""

    async def flush(self) -> None:
        """Write everything that waits now. Fault `store.unavailable`; then nothing of it is lost."""
        async with self._writing:
            while self._settlements or self._refusals:
                settled = [self._settlements[i] for i in range(min(_BATCH, len(self._settlements)))]
                refused = [self._refusals[i] for i in range(min(_BATCH, len(self._refusals)))]
                await self._store.run(lambda connection: self._write(connection, settled, refused))
                for _ in settled:
                    self._settlements.popleft()
                # Some may have given way meanwhile.
                written = set(map(id, refused))
                self._refusals = deque(each for each in self._refusals if id(each) not in written)

    async def summary(self, by: Literal["container", "model"], since: datetime | None) -> Sequence[UsageRow]:
        """Calls since a moment, summed up, the most expensive in tokens first."""
        key = calls.c.container_uuid if by == "container" else calls.c.provider + "/" + calls.c.model
        query = (
            sa.select(
                key.label("key"),
                sa.func.count().label("calls"),
                sa.func.sum(sa.case((calls.c.outcome == "ok", 0), else_=1)).label("refused"),
                sa.func.coalesce(sa.func.sum(calls.c.tokens_in), 0).label("tokens_in"),
                sa.func.coalesce(sa.func.sum(calls.c.tokens_out), 0).label("tokens_out"),
                sa.func.coalesce(sa.func.sum(calls.c.tokens_cached), 0).label("tokens_cached"),
            )
            .group_by(key)
            .order_by(sa.desc("tokens_in"), "key")
        )
        costs = sa.select(key.label("key"), calls.c.cost_usd)
        if since is not None:
            query, costs = query.where(calls.c.time >= since), costs.where(calls.c.time >= since)

        def read(connection: sa.Connection) -> list[UsageRow]:
            sums: dict[str, Decimal | None] = {}
            for name, cost in connection.execute(costs):
                before = sums.get(name, Decimal(0))
                # Summed here: the store keeps money as text, which a sum of floats would round.
                sums[name] = None if cost is None or before is None else before + cost
            return [
                UsageRow(cost_usd=sums.get(row["key"]), **row) for row in map(dict, connection.execute(query).mappings())
            ]

        return await self._store.read(read)

    async def last_refusals(self, container_uuid: str, count: int) -> Sequence[Refusal]:
        """Newest first."""
        query = (
            sa.select(refusals)
            .where(refusals.c.container_uuid == container_uuid)
            .order_by(refusals.c.id.desc())
            .limit(count)
        )

        def read(connection: sa.Connection) -> list[Refusal]:
            return [
                Refusal(**{name: value for name, value in row.items() if name != "id"})
                for row in map(dict, connection.execute(query).mappings())
            ]

        return await self._store.read(read)

    def _write(self, connection: sa.Connection, settled: list[Settlement], refused: list[Refusal]) -> None:
        if settled:
            # A batch whose commit was acknowledged too late is written again; the call's id makes that harmless.
            connection.execute(
                sa.insert(calls).prefix_with("OR IGNORE", dialect="sqlite"), [self._row(each) for each in settled]
            ).close()
        if refused:
            rows = [
                {name: value[:_TEXT_LIMIT] if isinstance(value, str) else value for name, value in row.items()}
                for row in map(structs.asdict, refused)
            ]
            connection.execute(sa.insert(refusals), rows).close()
            for uuid in {each.container_uuid for each in refused}:
                _trim(connection, uuid)

    def _row(self, settlement: Settlement) -> dict[str, Any]:
        usage = settlement.usage
        row = structs.asdict(settlement)
        del row["usage"]
        cost = settlement.cost_usd
        if cost is None:
            cost = self._prices.cost(settlement.provider, settlement.model, usage, settlement.time)
        return row | {
            "wire": settlement.wire.value,
            "endpoint": settlement.endpoint.value,
            "cost_usd": cost,
            "session": settlement.session[:_TEXT_LIMIT],
            "model_requested": settlement.model_requested[:_TEXT_LIMIT],
            "tokens_in": usage.input_tokens if usage is not None else None,
            "tokens_out": usage.output_tokens if usage is not None else None,
            "tokens_cached": usage.cached_tokens if usage is not None else None,
            "tokens_cache_write": usage.cache_write_tokens if usage is not None else None,
            "tokens_reasoning": usage.reasoning_tokens if usage is not None else None,
        }


def _trim(connection: sa.Connection, uuid: str) -> None:
    oldest_kept = (
        sa.select(refusals.c.id)
        .where(refusals.c.container_uuid == uuid)
        .order_by(refusals.c.id.desc())
        .offset(REFUSALS_KEPT - 1)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(
        sa.delete(refusals).where(refusals.c.container_uuid == uuid, refusals.c.id < oldest_kept)
    ).close()
