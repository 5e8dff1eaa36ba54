"""What was used and refused is kept, without holding up a call and without growing."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from bawn.errors import Fault
from bawn.guardrails.books import Books
from bawn.guardrails.refusals import RefusalBook
from bawn.guardrails.settlement import Refusal, Settlement
from bawn.guardrails.tables import calls, refusals
from bawn.guardrails.usage import UsageBook
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade
from bawn.terms.exchange import Endpoint, Usage, WireName

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)

CALL = Settlement(
    call="call_1",
    time=NOON,
    container_uuid="uuid-7",
    container_number=7,
    session="",
    wire=WireName.OPENAI,
    endpoint=Endpoint.CHAT_COMPLETIONS,
    provider="openai",
    model_requested="gpt",
    model="gpt-5",
    usage=Usage(100, 10, 20),
    usage_estimated=False,
    cost_usd=Decimal("0.0025"),
    first_byte_ms=5,
    total_ms=9,
    status=200,
    outcome="ok",
    code="",
)
REFUSED = Refusal(NOON, "uuid-7", "call_1", "auth.refused", "No.", "AI is disabled", "Enable it.")


def call(number: int, **changes: Any) -> Settlement:
    return msgspec.structs.replace(CALL, call=f"call_{number}", **changes)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db", busy_timeout_s=0.1)
    upgrade(opened)
    yield opened
    opened.close()


async def count(store: Store, table: sa.Table) -> int:
    return await store.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


async def test_usage_is_summed_up_by_container_and_by_model(store: Store) -> None:
    book = UsageBook(store)
    book.add(call(1))
    book.add(call(2, model="gpt-5-mini", cost_usd=Decimal("0.0001")))
    book.add(call(3, container_uuid="uuid-8", container_number=8, outcome="cut"))
    by_container = await book.summary("container")
    assert [
        (r.container_number, r.calls, r.refused, r.tokens_in, r.tokens_cached, r.cost_usd) for r in by_container
    ] == [
        (7, 2, 0, 200, 40, Decimal("0.0026")),
        (8, 1, 1, 100, 20, Decimal("0.0025")),
    ]
    by_model = await book.summary("model")
    assert [(r.model, r.calls, r.tokens_out) for r in by_model] == [
        ("openai/gpt-5", 2, 20),
        ("openai/gpt-5-mini", 1, 10),
    ]


async def test_a_part_without_a_price_makes_the_sum_unknown(store: Store) -> None:
    book = UsageBook(store)
    book.add(call(1))
    book.add(call(2, model="own", cost_usd=None))
    (row,) = await book.summary("container")
    assert (row.cost_usd, row.known_cost_usd, row.unpriced) == (None, Decimal("0.0025"), 1)


async def test_a_call_that_used_nothing_needs_no_price(store: Store) -> None:
    book = UsageBook(store)
    book.add(call(1))
    book.add(call(2, usage=None, cost_usd=None, outcome="refused", status=403))
    (row,) = await book.summary("container")
    assert (row.cost_usd, row.calls, row.refused) == (Decimal("0.0025"), 2, 1)


async def test_one_container_is_summed_up_by_itself(store: Store) -> None:
    book = UsageBook(store)
    for number in (1, 2):
        book.add(call(number))
    book.add(call(3, container_uuid="uuid-8"))
    found = await book.of("uuid-7")
    assert found is not None
    assert (found.calls, found.tokens_in, found.tokens_out, found.cost_usd) == (2, 200, 20, Decimal("0.0050"))
    assert await book.of("uuid-9") is None


async def test_a_summary_begins_when_it_is_told(store: Store) -> None:
    book = UsageBook(store)
    book.add(call(1, time=NOON - timedelta(hours=2)))
    book.add(call(2))
    assert [row.calls for row in await book.summary("model", since=NOON - timedelta(hours=1))] == [1]
    assert await book.summary("model", since=NOON + timedelta(hours=1)) == []


async def test_settlements_reach_the_store_by_themselves(store: Store) -> None:
    books = Books(store)
    books.start()
    books.add(CALL)
    books.refuse(REFUSED)
    await asyncio.sleep(0.8)
    assert (await count(store, calls), await count(store, refusals)) == (1, 1)
    await books.close()


async def test_nothing_is_lost_while_the_store_is_locked(store: Store) -> None:
    books = Books(store)
    books.start()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1200):
        books.add(call(number))
        books.refuse(REFUSED)
    await asyncio.sleep(1.2)
    assert await count(store, calls) == 0
    other.execute("ROLLBACK")
    other.close()
    await books.close()
    assert await count(store, calls) == 1200
    assert len(await books.refusals.last("uuid-7", 500)) == 200


async def test_a_reader_who_leaves_in_the_middle_loses_and_doubles_nothing(store: Store) -> None:
    book = UsageBook(store)
    for number in range(2000):
        book.add(call(number))
    for _ in range(5):
        task = asyncio.create_task(book.summary("model"))
        await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (row,) = await book.summary("model")
    assert (row.calls, book.batches.waiting) == (2000, 0)


async def test_what_waits_is_bounded_and_the_caller_is_told(store: Store) -> None:
    book = UsageBook(store, limit=10)
    for number in range(10):
        book.add(call(number))
    with pytest.raises(Fault) as caught:
        book.add(call(10))
    assert caught.value.code == "store.unavailable"
    await book.batches.flush()
    book.add(call(10))


async def test_adding_does_not_wait_for_the_store(store: Store) -> None:
    book = UsageBook(store)
    begin = time.perf_counter()
    for number in range(5000):
        book.add(call(number))
    assert time.perf_counter() - begin < 0.5


async def test_the_last_refusals_come_newest_first_and_of_one_container(store: Store) -> None:
    book = RefusalBook(store)
    for number in range(5):
        book.refuse(msgspec.structs.replace(REFUSED, call=f"c{number}"))
    book.refuse(msgspec.structs.replace(REFUSED, container_uuid="uuid-8"))
    last = await book.last("uuid-7", 2)
    assert [refusal.call for refusal in last] == ["c4", "c3"]
    assert last[0] == msgspec.structs.replace(REFUSED, call="c4")


async def test_of_each_container_only_the_last_refusals_stay(store: Store) -> None:
    book = RefusalBook(store, kept=5)
    for turn in range(4):
        for number in range(7):
            book.refuse(msgspec.structs.replace(REFUSED, call=f"{turn}.{number}"))
        await book.flush()
    book.refuse(msgspec.structs.replace(REFUSED, container_uuid="uuid-8"))
    await book.flush()
    assert [refusal.call for refusal in await book.last("uuid-7", 9)] == ["3.6", "3.5", "3.4", "3.3", "3.2"]
    assert await count(store, refusals) == 6


async def test_memory_stays_flat_over_two_hundred_thousand_calls(store: Store) -> None:
    books = Books(store)

    async def run(begin: int, end: int) -> int:
        for number in range(begin, end):
            books.add(call(number))
            books.refuse(REFUSED)
            if number % 2000 == 0:
                await books.usage.batches.flush()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    warm = await run(0, 20_000)
    after = await run(20_000, 200_000)
    assert after - warm < 8 * 1024, f"grew by {(after - warm) / 1024:.1f} MB"
    await books.close()
    assert await count(store, calls) == 200_000


async def test_every_field_of_a_settlement_stands_in_its_own_column(store: Store) -> None:
    book = UsageBook(store)
    whole = call(1, session="s", usage=Usage(1, 2, 3, 4, 5), usage_estimated=True, code="c", outcome="cut", status=502)
    book.add(whole)
    await book.batches.flush()
    row = await store.read(lambda c: c.execute(sa.select(calls)).mappings().one())
    fields = msgspec.structs.asdict(whole)
    usage = fields.pop("usage")
    tokens = {
        "tokens_in": usage.input_tokens,
        "tokens_out": usage.output_tokens,
        "tokens_cached": usage.cached_tokens,
        "tokens_cache_write": usage.cache_write_tokens,
        "tokens_reasoning": usage.reasoning_tokens,
    }
    assert dict(row) == fields | tokens
