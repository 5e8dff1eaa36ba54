"""When nobody answers, and when the request itself is to blame, the client gets a clear error in time."""

from __future__ import annotations

import time

import pytest
from tests.gateway.failover.conftest import IMPATIENT, Chained, accounted, at, read, tries
from tests.gateway.test_faults import GEMINI, WIRES, call, code

from bawn.gateway.settings import Allow

# when nobody answers


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize(("model", "status"), [("fault-429", 429), ("fault-500", 500), ("fault-529", 529)])
async def test_when_all_fail_the_last_real_error_of_a_provider_passes(
    chained: Chained, path: str, model: str, status: int, stream: bool
) -> None:
    yard = await chained(chain=(f"second/{model}", "third/echo"), more={"third": at("http://127.0.0.1:1/v1")})
    async with yard.client() as client:
        answer = await client.post(**call("fault-502", path, stream=stream))
    assert answer.status_code == status
    assert "error" in answer.json()
    assert answer.headers.get("retry-after") == (None if status == 500 else "7")
    await accounted(yard)
    assert [word for _, word in tries(yard)][-1] == "unreachable"
    told = yard.books.refusals[-1]
    assert told.code == "upstream.exhausted"
    assert told.cause.startswith(
        "1: scripted/fault-502 failing (502); 2: after 0.0 s scripted/fault-502 failing (502); 3:"
    )
    assert "third/echo unreachable" in told.cause


async def test_when_none_is_reached_the_client_is_told_so(chained: Chained) -> None:
    yard = await chained(chain=("third/echo",), more={"third": at("http://127.0.0.1:1/v1")}, timeouts=IMPATIENT)
    async with yard.client() as client:
        answer = await client.post(**call("fault-stall-before-headers", "messages"))
    assert (answer.status_code, code(answer)) == (502, "upstream.unreachable")
    assert "127.0.0.1" not in answer.text
    assert "1: scripted/fault-stall-before-headers silent" in yard.cause()


async def test_a_refused_key_stays_the_operators_matter(chained: Chained) -> None:
    yard = await chained(chain=("second/fault-403",))
    async with yard.client() as client:
        answer = await client.post(**call("fault-401", "messages"))
    assert (answer.status_code, code(answer)) == (503, "upstream.key_refused")


async def test_an_error_of_a_provider_goes_before_a_refused_key(chained: Chained) -> None:
    yard = await chained(chain=("second/fault-401",))
    async with yard.client() as client:
        answer = await client.post(**call("fault-500", "messages"))
    assert answer.status_code == 500


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_deadline_holds_whatever_is_tried(chained: Chained, stream: bool) -> None:
    yard = await chained(chain=("second/late",), deadline_seconds=0.6, answer_seconds=0.2)
    began = time.monotonic()
    async with yard.client() as client:
        answer = await client.post(**call("late", "chat/completions", stream=stream))
    assert time.monotonic() - began < 4
    assert (answer.status_code, code(answer)) == (504, "upstream.timeout")
    await accounted(yard)


async def test_a_client_that_says_how_long_it_waits_is_answered_before(chained: Chained) -> None:
    yard = await chained(chain=())
    async with yard.client() as client:
        began = time.monotonic()
        answer = await client.post(**call("late", "messages"), headers={"x-stainless-timeout": "0.6"})
        assert time.monotonic() - began < 4
    assert answer.status_code == 504


async def test_the_last_target_has_all_the_time_that_is_left(chained: Chained) -> None:
    yard = await chained(chain=("second/slow", "second/fault-404"), answer_seconds=0.1, first_token_seconds=0.1)
    async with yard.client() as client:
        answer = await client.post(**call("slow", "messages"))
    assert answer.status_code == 404, "there was somewhere to go on, so both slow ones were left"
    other = await chained(chain=("third/x",), allow=Allow(models=("scripted/*",)), answer_seconds=0.1)
    async with other.client() as client:
        answer = await client.post(**call("slow", "messages"))
    assert answer.status_code == 200, "the other target may not be asked, so the first is waited for"
    assert "slow" in answer.text


# what the request itself is to blame for


@pytest.mark.parametrize("path", WIRES)
async def test_what_is_too_long_is_an_error_unless_the_operator_says_otherwise(chained: Chained, path: str) -> None:
    yard, other = await chained(), await chained(on_context_length="next")
    async with yard.client() as client, other.client() as beside:
        refused, answered = await client.post(**call("too-long", path)), await beside.post(**call("too-long", path))
    assert refused.status_code == 400
    assert "maximum context length" in refused.text
    assert tries(yard) == [("scripted/too-long", "too_long")]
    assert (answered.status_code, "hello" in answered.text) == (200, True)
    assert tries(other) == [("scripted/too-long", "too_long"), ("second/echo", "begun")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", WIRES)
async def test_a_filter_is_never_routed_around_unless_the_operator_says_so(
    chained: Chained, path: str, stream: bool
) -> None:
    yard, other = await chained(), await chained(on_content_filter="next")
    asked = call("filtered", path, stream=stream)
    async with yard.client() as client, other.client() as beside:
        refused, answered = await client.post(**asked), await beside.post(**asked)
    assert refused.status_code == 400
    assert "content management policy" in refused.text
    assert tries(yard) == [("scripted/filtered", "filtered")]
    assert (answered.status_code, "hello" in answered.text) == (200, True)


FILTERED = {"chat/completions": "content_filter", "messages": "refusal", GEMINI: "SAFETY"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", FILTERED)
async def test_an_answer_that_a_filter_ended_is_the_answer_unless_the_operator_says_otherwise(
    chained: Chained, path: str, stream: bool
) -> None:
    yard, other = await chained(), await chained(on_content_filter="next")
    asked = call(f"ends-{FILTERED[path]}", path, stream=stream)
    async with yard.client() as client, other.client() as beside:
        ended, answered = await client.post(**asked), await beside.post(**asked)
    assert ended.status_code == 200
    assert FILTERED[path] in ended.text
    assert "hello" not in ended.text
    assert [word for _, word in tries(yard)] == ["begun"]
    assert "hello" in answered.text
    assert FILTERED[path] not in answered.text
    assert [word for _, word in tries(other)] == ["filtered", "begun"]


async def test_a_filter_that_speaks_in_the_stream_is_not_routed_around_either(chained: Chained) -> None:
    yard, other = await chained(), await chained(on_content_filter="next")
    asked = call("filtered-event", "messages", stream=True)
    async with yard.client() as client, client.stream("POST", **asked) as answer:
        received, whole = await read(answer)
    assert b"content management policy" in received
    assert not whole
    assert tries(yard) == [("scripted/filtered-event", "begun")]
    async with other.client() as client:
        assert "hello" in (await client.post(**asked)).text


@pytest.mark.parametrize("status", [400, 413])
async def test_a_request_that_is_wrong_is_not_asked_of_everybody(chained: Chained, status: int) -> None:
    yard = await chained()
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{status}", "messages"))
    assert answer.status_code == status
    assert len(tries(yard)) == 1


async def test_an_empty_answer_that_ends_well_is_an_answer(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client:
        answer = await client.post(**call("empty", "messages", stream=True))
    assert "message_stop" in answer.text
    assert tries(yard) == [("scripted/empty", "begun")]
