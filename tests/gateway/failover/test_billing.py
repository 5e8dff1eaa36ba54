"""What was tried has its row and its place, and nothing is paid twice."""

from __future__ import annotations

import httpx
import pytest
from tests.gateway.failover.conftest import IMPATIENT, Chained, accounted, read, tries
from tests.gateway.test_faults import call, code

from bawn.gateway.settings import Allow, Timeouts


async def test_what_a_missed_try_used_has_a_row_of_its_own(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client:
        await client.post(**call("cut-early", "messages", stream=True))
    await accounted(yard)
    first, second, served = yard.books.settlements
    for number, row in enumerate((first, second), 1):
        assert row.call == f"{served.call}.{number}"
        assert (row.provider, row.model, row.outcome, row.code) == (
            "scripted", "cut-early", "upstream_error", "upstream.broken",
        )  # fmt: skip
        assert row.usage is not None
        assert row.usage.input_tokens > 0
        assert not row.usage_estimated, "the provider had told how long the request is"
    assert served.provider == "second"


async def test_what_was_refused_is_not_billed(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client:
        await client.post(**call("fault-500", "messages"))
    await accounted(yard)
    assert [row.provider for row in yard.books.settlements] == ["second"]


async def test_every_try_takes_a_place_of_its_own_and_gives_it_back_before_the_next(chained: Chained) -> None:
    yard = await chained(concurrent=1)
    async with yard.client() as client:
        answer = await client.post(**call("fault-500", "messages"))
    assert answer.status_code == 200


async def test_a_second_try_that_fails_before_anything_was_seen_is_not_the_last(chained: Chained) -> None:
    yard = await chained(chain=("second/garbage-early", "second/stall-early", "second/echo"), timeouts=IMPATIENT)
    async with yard.client() as client, client.stream("POST", **call("cut-early", "messages", stream=True)) as answer:
        received, whole = await read(answer)
    assert whole
    assert b"hello" in received
    assert [word for _, word in tries(yard)] == ["broken"] * 4 + ["silent", "begun"]
    await accounted(yard)
    assert len(yard.books.settlements) == 6, "each of them had begun to work"


async def test_what_was_tried_stays_in_the_book_when_the_client_leaves(chained: Chained) -> None:
    yard = await chained(chain=("second/late",), timeouts=Timeouts(idle_seconds=0.25))
    async with yard.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(**call("stall-early", "messages", stream=True), timeout=0.8)
    await accounted(yard)
    assert [(row.provider, row.outcome) for row in yard.books.settlements] == [
        ("scripted", "upstream_error"), ("second", "cut"), ("second", "client_left"),
    ]  # fmt: skip


async def test_a_job_in_the_background_is_not_begun_twice(chained: Chained) -> None:
    yard = await chained(allow=Allow(models=("*",), hosted_tools=("background", "store"), objects=("responses",)))
    asked = call("fault-close-before-headers", "responses")
    asked["json"] |= {"background": True, "store": True}
    async with yard.client() as client:
        answer = await client.post(**asked)
    assert (answer.status_code, code(answer)) == (502, "upstream.broken")
    assert tries(yard) == [("scripted/fault-close-before-headers", "broken")]
