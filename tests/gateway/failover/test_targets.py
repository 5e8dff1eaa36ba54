"""Who may be asked in the place of another, and that each try is on record before it is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.gateway.conftest import UUID, Start, until
from tests.gateway.failover.conftest import Chained, at, tries
from tests.gateway.host import host, refusal
from tests.gateway.test_faults import call, code

from bawn.errors import Fault
from bawn.gateway.failover_settings import Failover
from bawn.gateway.settings import Allow, Provider, ProviderKind
from bawn.terms.exchange import Endpoint

CARRIED = {"carried": Provider(kind=ProviderKind.ANTHROPIC, base_url="http://127.0.0.1:1/v1", key="none")}


async def test_a_target_that_the_container_may_not_call_is_skipped_and_on_record(chained: Chained) -> None:
    yard = await chained(chain=("keyed/echo", "second/echo"), allow=Allow(models=("scripted/*", "second/*")))
    async with yard.client() as client:
        answer = await client.post(**call("fault-404", "messages"))
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert answer.headers["x-bawn-attempts"] == "2"
    (skipped,) = yard.record.of("attempt.skipped")
    assert (skipped.provider, skipped.model, skipped.code) == ("keyed", "echo", "request.unknown_model")
    assert "not among the models allowed" in skipped.cause


async def test_a_chain_of_what_may_not_be_called_leads_nowhere(chained: Chained) -> None:
    yard = await chained(chain=("second/echo",), allow=Allow(models=("scripted/*",)))
    async with yard.client() as client:
        answer = await client.post(**call("fault-500", "messages"))
    assert answer.status_code == 500
    assert "second" not in answer.text
    assert not any(provider.startswith("second") for provider, _ in tries(yard))


async def test_a_target_that_refuses_a_feature_of_the_request_is_skipped_and_on_record(chained: Chained) -> None:
    yard = await chained(chain=("carried/echo", "second/echo"), more=CARRIED)
    asked = call("fault-404", "chat/completions")
    asked["json"] |= {"logprobs": True, "n": 2}
    async with yard.client() as client:
        answer = await client.post(**asked)
    assert answer.headers["x-bawn-served-by"] == "second/echo", answer.text
    (skipped,) = yard.record.of("attempt.skipped")
    assert (skipped.provider, skipped.code) == ("carried", "request.not_translatable")


async def test_a_target_of_another_wire_is_skipped_for_what_nobody_carries(start: Start) -> None:
    async with host(lambda heard: refusal(404)) as first:
        more = {"first": at(first.url), "second": at(first.url), **CARRIED}
        yard = await start(more=more, failover=Failover(chains={"first/*": ("carried/m", "second/m")}))
        async with yard.client() as client:
            await client.post("/v1/embeddings", json={"model": "first/m", "input": "x"})
    (skipped,) = yard.record.of("attempt.skipped")
    assert (skipped.provider, skipped.code) == ("carried", "request.wire_mismatch")
    assert [target for target, _ in tries(yard)] == ["first/m", "second/m"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [("embeddings", {"input": "x"}), ("messages/count_tokens", {"messages": [{"role": "user", "content": "x"}]})],
)
async def test_vectors_and_counts_of_another_model_never_stand_in(
    start: Start, path: str, asked: dict[str, Any]
) -> None:
    async with host(lambda heard: refusal(404)) as first:
        provider = Provider(
            kind=ProviderKind.OPENAI_COMPATIBLE,
            base_url=first.url,
            key="none",
            capabilities={Endpoint.COUNT_TOKENS: True},
        )
        more = {"first": provider, "second": provider}
        yard = await start(more=more, failover=Failover(chains={"first/*": ("second/b", "second/a")}))
        async with yard.client() as client:
            await client.post(f"/v1/{path}", json={"model": "first/a", **asked})
    assert [target for target, _ in tries(yard)] == ["first/a", "second/a"]
    assert "cannot stand in" in yard.record.of("attempt.skipped")[0].cause


async def test_a_target_without_a_key_is_skipped(chained: Chained) -> None:
    yard = await chained(chain=("keyless/echo", "second/echo"))
    async with yard.client() as client:
        answer = await client.post(**call("fault-404", "chat/completions"))
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert [event.code for event in yard.record.of("attempt.skipped")] == ["upstream.no_key"]


async def test_a_right_that_is_withdrawn_holds_for_the_next_try(chained: Chained) -> None:
    yard = await chained(chain=())
    record = yard.record.record

    async def withdrawn(event: Any) -> str:
        if event.event == "attempt.opened":
            yard.registry.now = yard.registry.other
        return await record(event)

    yard.record.record = withdrawn  # type: ignore[method-assign]
    async with yard.client() as client:
        answer = await client.post(**call("fault-500", "messages"))
    assert answer.status_code == 401
    assert len(tries(yard)) == 1


async def test_a_try_that_cannot_be_recorded_is_not_sent(chained: Chained) -> None:
    yard = await chained()
    record = yard.record.record

    async def broken(event: Any) -> str:
        if event.event == "attempt.opened":
            yard.record.broken = True
        return await record(event)

    yard.record.record = broken  # type: ignore[method-assign]
    async with yard.client() as client:
        answer = await client.post(**call("fault-404", "messages"))
    assert (answer.status_code, code(answer)) == (503, "audit.unavailable")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_that_cannot_be_recorded_as_begun_is_left_and_settled(chained: Chained, stream: bool) -> None:
    yard = await chained()
    note = yard.record.note

    def broken(event: Any) -> None:
        if event.event == "attempt.settled":
            raise Fault("audit.unavailable", "This cannot be recorded now.")
        note(event)

    yard.record.note = broken  # type: ignore[method-assign]
    async with yard.client() as client:
        answer = await client.post(**call("echo", "messages", stream=stream))
    assert (answer.status_code, code(answer)) == (503, "audit.unavailable")
    assert "hello" not in answer.text
    await until(lambda: yard.ledger.running(UUID) == 0)


async def test_a_try_that_has_no_place_ends_the_call_and_is_told_as_unsent(chained: Chained) -> None:
    yard = await chained(concurrent=1)
    async with yard.client() as client:
        slow = asyncio.create_task(client.post(**call("slow", "messages")))
        await until(lambda: yard.ledger.running(UUID) == 1)
        answer = await client.post(**call("echo", "messages"))
        assert (answer.status_code, code(answer)) == (429, "limit.concurrency")
        assert tries(yard)[0] == ("scripted/echo", "unsent")
        assert (await slow).status_code == 200
