"""A slow start is hedged, and the loser is left and settled."""

from __future__ import annotations

import time

import httpx
import pytest
from tests.gateway.conftest import UUID, until
from tests.gateway.failover.conftest import Chained, accounted, tries
from tests.gateway.test_faults import call


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_slow_start_is_hedged_and_the_loser_is_left_and_settled(chained: Chained, stream: bool) -> None:
    yard = await chained(hedge_ms=100)
    began = time.monotonic()
    async with yard.client() as client:
        answer = await client.post(**call("late", "messages", stream=stream))
    assert time.monotonic() - began < 4
    assert "hello" in answer.text
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    await accounted(yard)
    assert sorted(tries(yard)) == [("scripted/late", "cut"), ("second/echo", "begun")]
    lost, won = sorted(yard.books.settlements, key=lambda row: row.outcome)
    assert (lost.provider, lost.outcome, lost.usage_estimated) == ("scripted", "cut", True)
    assert (won.provider, won.outcome) == ("second", "ok")


async def test_a_quick_answer_is_not_hedged(chained: Chained) -> None:
    yard = await chained(hedge_ms=1000)
    async with yard.client() as client:
        await client.post(**call("echo", "messages"))
    assert tries(yard) == [("scripted/echo", "begun")]


async def test_the_first_may_still_win(chained: Chained) -> None:
    yard = await chained(chain=("second/late",), hedge_ms=50)
    async with yard.client() as client:
        answer = await client.post(**call("slow", "messages"))
    assert answer.headers["x-bawn-served-by"] == "scripted/slow"
    await accounted(yard)


async def test_a_hedge_that_has_no_place_does_no_harm(chained: Chained) -> None:
    yard = await chained(hedge_ms=50, concurrent=1)
    async with yard.client() as client:
        answer = await client.post(**call("slow", "messages"))
    assert answer.status_code == 200
    await until(lambda: yard.ledger.running(UUID) == 0)


async def test_a_client_that_leaves_ends_both_lanes(chained: Chained) -> None:
    yard = await chained(chain=("second/late",), hedge_ms=50)
    async with yard.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(**call("late", "messages"), timeout=0.3)
    await until(lambda: len(yard.record.of("attempt.settled")) == 2)
    await accounted(yard)
