"""A provider that fails too often is left alone, and found well by one call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.gateway.conftest import UUID, Yard, until
from tests.gateway.failover.conftest import Chained, accounted, posted
from tests.gateway.host import CHAT_ANSWER, Heard, Said, host, refusal, said
from tests.gateway.test_faults import call, code

from bawn.gateway.failover_settings import Breaker


async def test_a_provider_that_fails_too_often_is_left_alone_until_one_call_finds_it_well(tried: Any) -> None:
    state = {"well": False}
    async with host(lambda heard: said(CHAT_ANSWER) if state["well"] else refusal(500)) as first:
        yard = await tried(first.url, retries=0, breaker=Breaker(failures=3))
        for _ in range(6):
            assert (await posted(yard)).headers["x-bawn-served-by"] == "second/echo"
        assert len(first.heard) == 3, "then it is not asked any more"
        assert "left alone" in yard.record.of("attempt.skipped")[-1].cause
        await time_passes(yard)
        first.open.clear()
        asked = [asyncio.create_task(posted(yard)) for _ in range(4)]
        await until(lambda: len(first.heard) == 4)
        await until(lambda: sum(task.done() for task in asked) == 3)
        first.open.set()
        await asyncio.gather(*asked)
        assert len(first.heard) == 4, "one of four tries it"
        state["well"] = True
        await time_passes(yard)
        for _ in range(3):
            assert (await posted(yard)).headers["x-bawn-served-by"] == "first/m"


async def time_passes(yard: Yard) -> None:
    """Breakers have been open for long enough."""
    assert yard.gateway.works.failover is not None
    yard.gateway.works.failover.breakers.settle(Breaker(failures=3, open_seconds=0.001))
    await asyncio.sleep(0.01)


async def test_when_every_breaker_is_open_the_client_is_told_when_to_come_back(tried: Any) -> None:
    async with host(lambda heard: refusal(500)) as first:
        yard = await tried(first.url, chain=(), retries=0, breaker=Breaker(failures=2, open_seconds=20))
        assert [(await posted(yard)).status_code for _ in range(2)] == [500, 500]
        answer = await posted(yard)
    assert (answer.status_code, code(answer)) == (503, "upstream.exhausted")
    assert 18 <= int(answer.headers["retry-after"]) <= 20
    assert "left alone" in yard.cause()
    assert len(first.heard) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
async def test_what_callers_bring_about_themselves_opens_no_provider(tried: Any, status: int) -> None:
    async with host(lambda heard: refusal(status)) as first:
        yard = await tried(first.url, chain=(), retries=0, breaker=Breaker(failures=2))
        for _ in range(4):
            await posted(yard)
        assert len(first.heard) == 4


async def test_a_client_that_leaves_while_it_tries_for_all_closes_nothing(tried: Any) -> None:
    state = {"status": 500}
    async with host(lambda heard: refusal(500) if state["status"] == 500 else said(CHAT_ANSWER)) as first:
        yard = await tried(first.url, retries=0, breaker=Breaker(failures=1))
        await posted(yard)
        await time_passes(yard)
        first.open.clear()
        leaving = asyncio.create_task(posted(yard))
        await until(lambda: len(first.heard) == 2)
        leaving.cancel()
        await until(lambda: yard.ledger.running(UUID) == 0)
        first.open.set()
        state["status"] = 200
        assert (await posted(yard)).headers["x-bawn-served-by"] == "first/m"


async def test_a_flapping_provider_costs_tries_and_no_answer(tried: Any) -> None:
    count = {"calls": 0}

    def flapping(heard: Heard) -> Said:
        count["calls"] += 1
        return refusal(500) if count["calls"] % 2 else said(CHAT_ANSWER)

    async with host(flapping) as first:
        yard = await tried(first.url, breaker=Breaker(failures=4))
        answers = [await posted(yard) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    await accounted(yard)


async def test_a_container_without_patience_opens_no_provider(chained: Chained) -> None:
    yard = await chained(retries=0, breaker=Breaker(failures=1))
    async with yard.client() as client:
        for _ in range(2):
            hurried = await client.post(**call("late", "messages"), headers={"x-stainless-timeout": "0.1"})
            assert hurried.status_code == 504
        assert (await client.post(**call("echo", "messages"))).headers["x-bawn-served-by"] == "scripted/echo"
