"""Quotas hold: in parallel, over restarts, over midnight, and for models without a price."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.transforms.calls import DEV, FOREIGN, NOON, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_document
from tests.transforms.driving import OK

from bawn.config.load import load
from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending
from bawn.store import Store, open_store
from bawn.terms.exchange import Endpoint, Usage
from bawn.terms.principal import Container
from bawn.transforms.cache import NOTE
from bawn.transforms.counts import Counts
from bawn.transforms.quota import Quota, QuotaStage
from bawn.transforms.quota_book import Limit, QuotaBook
from bawn.transforms.tables import quota_uses


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    opened.run_blocking(quota_uses.create)
    yield opened
    opened.close()


def resolve(name: str) -> str:
    if "/" not in name:
        raise Fault("request.unknown_model", "No.")
    return name


def price(model: str, usage: Usage) -> Decimal | None:
    return None if model == "own/unpriced" else Decimal(usage.input_tokens + usage.output_tokens) / 1000


class Yard:
    def __init__(self, store: Store, customers: dict[str, Any], **settings: Any) -> None:
        self.clock = Clock()
        self.book = QuotaBook(store)
        self.counts = Counts()
        made = Quota.model_validate({"customers": customers, **settings})
        self.stage = QuotaStage(made, self.book, resolve, price, self.clock, self.counts)

    def asked(self, container: Container = DEV, model: str = "scripted/demo", output: int = 100) -> Asked:
        return asked(chat("x", model=model, max_tokens=output), container=container, read=chat_document)

    async def call(self, used: int, container: Container = DEV, **more: Any) -> Asked:
        one = self.asked(container, **more)
        await self.stage.request(one)
        self.stage.over(one, ending(used))
        return one


def ending(used: int, usd: float | None = None, **change: Any) -> Ending:
    return structs.replace(OK, usage=Usage(used, 0), cost_usd=used / 1000 if usd is None else usd, **change)


async def test_what_is_used_up_is_refused_with_the_time_when_it_is_full_again(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["dev"], "tokens_per_day": 1000}})
    await yard.call(400)
    await yard.call(550)
    with pytest.raises(Fault) as caught:
        await yard.call(1)
    assert caught.value.code == "quota.exceeded"
    assert caught.value.status == 429
    assert "2030-01-02T00:00Z" in caught.value.sentence
    assert caught.value.cause == "the quota acme"
    assert yard.counts["refused"] == 1
    yard.clock.forward(hours=12)
    await yard.call(400)


async def test_who_belongs_to_no_customer_has_no_quota(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["dev"], "tokens_per_day": 0}})
    await yard.call(10_000, TEST)
    with pytest.raises(Fault):
        await yard.call(1)


async def test_containers_of_a_customer_share_a_quota_or_have_one_each(store: Store) -> None:
    for each, refused in ((False, True), (True, False)):
        yard = Yard(store, {"acme": {"projects": ["shop"], "tokens_per_day": 600, "each": each}})
        await yard.call(500)
        await yard.call(10_000, FOREIGN)
        if refused:
            with pytest.raises(Fault):
                await yard.call(1, TEST)
        else:
            await yard.call(1, TEST)


async def test_all_quotas_that_a_container_is_in_hold(store: Store) -> None:
    customers = {
        "all": {"containers": ["*"], "tokens_per_day": 10_000},
        "dev": {"containers": ["dev"], "tokens_per_day": 500},
    }
    yard = Yard(store, customers)
    await yard.call(450)
    with pytest.raises(Fault) as caught:
        await yard.call(1)
    assert caught.value.cause == "the quota dev"
    assert yard.book.used("all", NOON).tokens == 450


async def test_calls_that_run_hold_what_they_may_use(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 1000}})
    first = yard.asked(output=900)
    await yard.stage.request(first)
    with pytest.raises(Fault):
        await yard.stage.request(yard.asked(output=100))
    yard.stage.over(first, ending(20))
    await yard.stage.request(yard.asked(output=900))


async def test_of_a_thousand_calls_at_once_only_as_many_pass_as_fit(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 5000}})
    calls = [yard.asked(output=100) for _ in range(1000)]
    done = await asyncio.gather(*(yard.stage.request(each) for each in calls), return_exceptions=True)
    passed = [one for one, result in zip(calls, done, strict=True) if not isinstance(result, BaseException)]
    size = len(calls[0].exchange.body) // 4 + 100
    assert len(passed) == 5000 // size
    for one in passed:
        yard.stage.over(one, ending(size))
    assert yard.book.used("acme", NOON).tokens <= 5000


_ACTS = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "unknown", "refused"]), st.integers(0, 12), st.integers(0, 300)),
    max_size=60,
)


@given(_ACTS, st.integers(0, 1000))
def test_whatever_comes_between_no_quota_is_ever_overspent(acts: list[tuple[str, int, int]], most: int) -> None:
    # Nothing is written without `start`, so no store is needed.
    book = QuotaBook.__new__(QuotaBook)
    QuotaBook.__init__(book, None)  # type: ignore[arg-type]
    limits = [Limit("a", most), Limit("b", None, Decimal(most) / 2)]
    running: dict[str, int] = {}
    spent = 0
    for number, (act, which, amount) in enumerate(acts):
        if act == "begin":
            name = f"call_{number}"
            try:
                book.reserve(name, limits, amount, Decimal(amount) / 4, NOON)
            except Fault:
                assert spent + sum(running.values()) + amount > most or most == spent + sum(running.values())
                continue
            running[name] = amount
        elif running:
            name = sorted(running)[which % len(running)]
            held = running.pop(name)
            used = {"end": min(amount, held), "unknown": None, "refused": 0}[act]
            book.settle(name, used, None if used is None else Decimal(used) / 4)
            spent += held if used is None else used
            book.settle(name, 10**6, None)  # a second time changes nothing
        assert book.used("a", NOON).tokens == spent + sum(running.values()) <= max(most, 0)
        assert book.used("b", NOON).usd <= Decimal(most) / 2


async def test_what_was_used_outlives_a_restart_and_a_crash(tmp_path: Path, store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 10_000}})
    await yard.call(300)
    running = yard.asked(output=500)
    await yard.stage.request(running)
    held = len(running.exchange.body) // 4 + 500
    await yard.book.close()
    after = QuotaBook(store)
    await after.load(NOON)
    assert after.used("acme", NOON).tokens == 300 + held
    tomorrow = QuotaBook(store)
    yard.clock.forward(days=1)
    await tomorrow.load(yard.clock.now())
    assert tomorrow.used("acme", yard.clock.now()).tokens == 0


@pytest.mark.parametrize(
    ("end", "tokens"),
    [
        (ending(40), 40),
        (structs.replace(OK, usage=None, outcome="refused", status=403), 0),
        (structs.replace(OK, usage=None, outcome="upstream_error", status=502), 0),
        (structs.replace(OK, usage=None, outcome="client_left"), None),
        (structs.replace(OK, usage=None), None),
    ],
)
async def test_a_call_counts_with_what_it_used_and_with_what_it_held_when_nobody_knows(
    store: Store, end: Ending, tokens: int | None
) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 10_000}})
    one = yard.asked(output=500)
    await yard.stage.request(one)
    held = yard.book.used("acme", NOON).tokens
    yard.stage.over(one, end)
    assert yard.book.used("acme", NOON).tokens == (held if tokens is None else tokens)


async def test_an_answer_from_memory_counts_with_nothing(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 10_000}})
    one = yard.asked()
    await yard.stage.request(one)
    one.notes.append(NOTE)
    yard.stage.over(one, ending(500))
    assert yard.book.used("acme", NOON).tokens == 0


async def test_a_quota_of_cost_holds_and_refuses_what_has_no_price(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "usd_per_day": 1}})
    await yard.call(500)
    with pytest.raises(Fault) as caught:
        await yard.call(1, output=600)
    assert "0.5000 of 1 US dollars" in caught.value.sentence
    with pytest.raises(Fault) as caught:
        await yard.call(1, model="own/unpriced")
    assert caught.value.code == "quota.model_refused"
    lenient = Yard(store, {"acme": {"containers": ["*"], "usd_per_day": 1}}, unpriced="allow")
    await lenient.call(1, model="own/unpriced")


async def test_a_model_outside_the_quota_is_replaced_or_refused(store: Store) -> None:
    models = {"containers": ["*"], "models": ["scripted/*"]}
    with pytest.raises(Fault) as caught:
        await Yard(store, {"acme": models}).call(1, model="dear/model")
    assert caught.value.code == "quota.model_refused"
    yard = Yard(store, {"acme": {**models, "default_model": "scripted/small"}})
    for wanted in ("dear/model", "unheard-of"):
        replaced = await yard.call(1, model=wanted)
        assert replaced.document is not None
        assert replaced.document.model == "scripted/small"
        assert replaced.notes == [("quota.model", "scripted/small")]
    kept = await yard.call(1, model="scripted/demo")
    assert not kept.changed
    embedding = asked({"model": "dear/model", "input": "a"}, endpoint=Endpoint.EMBEDDINGS)
    with pytest.raises(Fault):
        await yard.stage.request(embedding)


async def test_a_model_that_stands_in_must_be_allowed_by_all(store: Store) -> None:
    customers = {
        "a": {"containers": ["*"], "models": ["x/*"], "default_model": "x/1"},
        "b": {"containers": ["*"], "models": ["y/*"], "default_model": "y/1"},
    }
    with pytest.raises(Fault) as caught:
        await Yard(store, customers).call(1, model="z/1")
    assert caught.value.code == "quota.model_refused"


async def test_counting_tokens_costs_nothing(store: Store) -> None:
    yard = Yard(store, {"acme": {"containers": ["*"], "tokens_per_day": 0}})
    with pytest.raises(Fault):
        await yard.call(1)
    counting = yard.asked()
    counting.exchange = structs.replace(counting.exchange, endpoint=Endpoint.COUNT_TOKENS)
    await yard.stage.request(counting)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {tokens_per_day: 5}", "counts for nobody"),
        ("a: {containers: ['*']}", "needs `tokens_per_day`"),
        ("a: {containers: ['*'], models: [x/y], default_model: x/z}", "`default_model` is none of `models`"),
        ("a: {containers: ['re:(?=x)'], tokens_per_day: 5}", "RE2 has no lookahead"),
    ],
)
def test_a_quota_that_says_nothing_is_refused(text: str, told: str) -> None:
    with pytest.raises(Fault) as caught:
        load(f"customers:\n  {text}\n", "bawn.yaml", Quota)
    assert told in caught.value.sentence
