"""Whatever the first provider does, the client gets a right answer or a clear error in time, and every try is accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from tests.gateway.conftest import UUID, Start, Yard, until
from tests.gateway.host import CHAT_ANSWER, Heard, Said, host, refusal, said
from tests.gateway.judges import NEVER
from tests.gateway.test_faults import GEMINI, WIRES, call, code
from tests.gateway.test_interception import CALLED, Speaks
from tests.gateway.test_interception import WIRES as SPEAKS

import bawn
from bawn.errors import Fault
from bawn.gateway.failover_settings import Backoff, Breaker, Failover
from bawn.gateway.settings import Allow, Interception, Provider, ProviderKind, Timeouts, Withheld
from bawn.terms.exchange import Endpoint

SHORT = Backoff(base_seconds=0.02, cap_seconds=0.05)
IMPATIENT = Timeouts(first_byte_seconds=0.3, idle_seconds=0.3, total_seconds=20)
PATIENT = Timeouts()
WAYS = [
    pytest.param("chat/completions", ProviderKind.SCRIPTED, ProviderKind.SCRIPTED, id="chat, native then native"),
    pytest.param("chat/completions", ProviderKind.SCRIPTED, ProviderKind.ANTHROPIC, id="chat, native then carried"),
    pytest.param(
        "messages", ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, id="messages, carried then native"
    ),
    pytest.param("responses", ProviderKind.SCRIPTED, ProviderKind.GEMINI, id="responses, native then carried"),
    pytest.param(GEMINI, ProviderKind.ANTHROPIC, ProviderKind.OPENAI_COMPATIBLE, id="gemini, carried then carried"),
]
ENDS = {
    "chat/completions": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed", GEMINI: b"finishReason",
}  # fmt: skip
FEW = [WAYS[2]]
"""For failures that a wire's reader or the pool tells apart, and failover does not."""
ROWS: dict[str, tuple[str, int]] = {
    # model of the first provider → what is on record of it, and how often it is tried
    "fault-429": ("busy", 1),  # its retry-after is longer than anybody waits here
    "fault-500": ("failing", 2),
    "fault-502": ("failing", 2),
    "fault-503": ("failing", 1),
    "fault-529": ("failing", 1),
    "fault-408": ("failing", 2),
    "fault-401": ("key", 1),
    "fault-403": ("key", 1),
    "fault-404": ("missing", 1),
    "fault-close-before-headers": ("broken", 2),
    "fault-close-after-headers": ("broken", 2),
    "fault-html": ("broken", 2),
    "fault-bad-status-line": ("broken", 2),
    "fault-gzip": ("broken", 2),
    "fault-stall-before-headers": ("silent", 1),
    "fault-stall-after-headers": ("silent", 1),
    "late": ("silent", 1),
}
STREAMED: dict[str, tuple[str, int]] = {
    "cut-early": ("broken", 2),
    "reset-early": ("broken", 2),
    "unended-early": ("broken", 2),
    "unended-empty": ("broken", 2),
    "garbage-early": ("broken", 2),
    "error-early": ("broken", 2),
    "tool-cut-early": ("broken", 2),
    "stall-early": ("silent", 1),
    "late-token": ("silent", 1),
}
WHOLE: dict[str, tuple[str, int]] = {
    "fault-truncated-json": ("broken", 2),
    "fault-two-documents": ("broken", 2),
    "fault-empty-body": ("broken", 2),
    "fault-content-length-too-long": ("broken", 2),
    "fault-bad-chunking": ("broken", 2),
}
ALL_WAYS = frozenset(
    ("fault-429", "fault-500", "fault-close-before-headers", "fault-stall-before-headers", "fault-truncated-json", "cut-early",
     "unended-empty", "garbage-early", "error-early", "tool-cut-early", "stall-early")
)  # fmt: skip


def by_ways(models: list[str]) -> list[Any]:
    return [
        pytest.param(*way.values, model, id=f"{model}, {way.id}")
        for model in models
        for way in (WAYS if model in ALL_WAYS else FEW)
    ]


ROOTS = {ProviderKind.GEMINI: "/v1beta"}


@pytest.fixture(scope="module")
def failing() -> Iterator[str]:
    """The address of a scripted provider that also plays `failing.yaml`."""
    script = Path(__file__).with_name("failing.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--script", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(str(bawn.__file__)).parent.parent)},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().removeprefix("ready ").strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


CARRIED = {"carried": Provider(kind=ProviderKind.ANTHROPIC, base_url="http://127.0.0.1:1/v1", key="none")}
Chained = Callable[..., Awaitable[Yard]]


@pytest.fixture
async def chained(start: Start, failing: str) -> Chained:
    """A gateway whose `scripted` provider goes on to `second/echo`."""

    async def begin(
        first: ProviderKind = ProviderKind.SCRIPTED,
        second: ProviderKind = ProviderKind.SCRIPTED,
        chain: tuple[str, ...] = ("second/echo",),
        more: dict[str, Provider] | None = None,
        **said: Any,
    ) -> Yard:
        options = {
            name: said.pop(name)
            for name in ("timeouts", "allow", "concurrent", "judges", "interception")
            if name in said
        }
        said = {"backoff": SHORT, "retry_after_seconds": 3, "deadline_seconds": 8, **said}
        return await start(
            kind=first,
            provider=f"http://{failing}{ROOTS.get(first, '/v1')}",
            more={"second": at(f"http://{failing}{ROOTS.get(second, '/v1')}", second), **(more or {})},
            failover=Failover(chains={"scripted/*": chain}, **said),
            **options,
        )

    return begin


def at(url: str, kind: ProviderKind = ProviderKind.OPENAI_COMPATIBLE) -> Provider:
    return Provider(kind=kind, base_url=url, key="none")


async def read(answer: httpx.Response) -> tuple[bytes, bool]:
    """What came of a stream, and whether HTTP says that it is whole."""
    received = b""
    try:
        async for data in answer.aiter_bytes():
            received += data
    except httpx.RemoteProtocolError:
        return received, False
    return received, True


def tries(yard: Yard) -> list[tuple[str, str]]:
    """What became of each try, in order, as target and word."""
    events = yard.record.of("attempt.settled")
    return [(f"{event.provider}/{event.model}", dict(event.detail)["outcome"]) for event in events]


async def accounted(yard: Yard) -> None:
    """Every try was on record before it was sent, and nothing that was reserved is left."""
    await until(lambda: any(row.call.count(".") == 0 for row in yard.books.settlements))
    await until(lambda: yard.ledger.running(UUID) == 0)
    opened = len(yard.record.of("call.opened")) + len(yard.record.of("attempt.opened"))
    assert opened == len(yard.record.of("attempt.settled"))
    assert yard.lost == []


# each row of the table, by every wire, as one piece and as a stream


@pytest.mark.parametrize(("path", "first", "second", "model"), by_ways([*ROWS, *WHOLE]))
async def test_a_whole_answer_comes_from_the_next_provider(
    chained: Chained, path: str, first: ProviderKind, second: ProviderKind, model: str
) -> None:
    word, count = (ROWS | WHOLE)[model]
    yard = await chained(first, second, timeouts=IMPATIENT if word == "silent" else PATIENT)
    async with yard.client() as client:
        answer = await client.post(**call(model, path))
    assert answer.status_code == 200, answer.text
    assert "hello" in answer.text
    assert "three" not in answer.text, "nothing of the first provider's answer came through"
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert answer.headers["x-bawn-attempts"] == str(count + 1)
    assert tries(yard) == [(f"scripted/{model}", word)] * count + [("second/echo", "begun")]
    await accounted(yard)
    served = yard.books.settlements[-1]
    assert (served.provider, served.outcome, served.code) == ("second", "ok", "")
    assert served.usage is not None


@pytest.mark.parametrize(("path", "first", "second", "model"), by_ways([*ROWS, *STREAMED]))
async def test_a_stream_comes_from_the_next_provider_while_nothing_was_seen_of_the_first(
    chained: Chained, path: str, first: ProviderKind, second: ProviderKind, model: str
) -> None:
    word, count = (ROWS | STREAMED)[model]
    yard = await chained(first, second, timeouts=IMPATIENT if word == "silent" else PATIENT)
    async with yard.client() as client, client.stream("POST", **call(model, path, stream=True)) as answer:
        received, whole = await read(answer)
    assert answer.status_code == 200
    assert whole
    assert b"hello" in received
    assert received.count(ENDS[path]) >= 1
    assert not re.search(rb"\bone\b", received), "no frame of the first one"
    assert received.count(b'"message_start"') <= 2, "one opening, by event and type"
    assert received.count(b"response.created") <= 2
    assert received.count(b'"role":"assistant"') <= 1 or path in ("responses", GEMINI)
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert tries(yard) == [(f"scripted/{model}", word)] * count + [("second/echo", "begun")]
    await accounted(yard)
    assert yard.books.settlements[-1].outcome == "ok"
    assert yard.record.of("tool.released") == []


@pytest.mark.parametrize(("path", "first", "second"), WAYS)
@pytest.mark.parametrize(
    "fault", ["close-mid-stream", "reset-mid-stream", "stall-mid-stream", "truncated", "garbage-frame", "error-event"]
)
async def test_after_something_was_seen_the_answer_ends_in_an_error_and_nobody_else_is_asked(
    chained: Chained, failing: str, path: str, first: ProviderKind, second: ProviderKind, fault: str
) -> None:
    yard = await chained(first, second, timeouts=IMPATIENT if "stall" in fault else PATIENT)
    model = f"seen-{fault}"
    async with yard.client() as client, client.stream("POST", **call(model, path, stream=True)) as answer:
        received, whole = await read(answer)
    assert answer.status_code == 200
    assert not whole, "HTTP says that it is not complete"
    assert b"one" in received
    assert b'"error"' in received
    assert b"hello" not in received
    assert ENDS[path] not in received
    assert tries(yard) == [(f"scripted/{model}", "begun")]
    await accounted(yard)
    settled = yard.books.settlements[-1]
    assert settled.outcome == "upstream_error"
    assert settled.usage is not None, "what was said is counted"


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


# who may be asked


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


# waiting


def sequence(*answers: Said) -> Callable[[Heard], Said]:
    """These answers in turn, then a right one."""
    left = list(answers)
    return lambda heard: left.pop(0) if left else said(CHAT_ANSWER)


async def posted(yard: Yard, model: str = "first/m", **options: Any) -> httpx.Response:
    async with yard.client() as client:
        return await client.post(
            "/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": "hello"}]},
            **options,
        )


@pytest.fixture
async def tried(start: Start, failing: str) -> Chained:
    """A gateway whose provider `first` is the given one and goes on to `second/echo`."""

    async def begin(url: str, chain: tuple[str, ...] = ("second/echo",), **said: Any) -> Yard:
        options = {name: said.pop(name) for name in ("timeouts", "concurrent", "allow") if name in said}
        more = {
            "first": said.pop("first", at(url)),
            "second": at(f"http://{failing}/v1"),
            "third": at(f"http://{failing}/v1"),
        }
        said = {"backoff": SHORT, "retry_after_seconds": 3, "deadline_seconds": 8, **said}
        return await start(more=more, failover=Failover(chains={"first/*": chain}, **said), **options)

    return begin


async def test_a_single_429_is_over_after_the_time_it_asked_for(tried: Any) -> None:
    async with host(sequence(refusal(429, retry_after="1"))) as first:
        yard = await tried(first.url)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began >= 0.99
    assert answer.headers["x-bawn-served-by"] == "first/m"
    assert tries(yard) == [("first/m", "busy"), ("first/m", "begun")]
    assert dict(yard.record.of("attempt.opened")[0].detail)["waited_ms"] == "1000"


async def test_a_429_without_a_time_is_tried_again_after_a_backoff(tried: Any) -> None:
    async with host(sequence(refusal(429), refusal(429))) as first:
        yard = await tried(first.url, retries=2)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began < 2.5
    assert answer.headers["x-bawn-attempts"] == "3"
    assert answer.headers["x-bawn-served-by"] == "first/m"


async def test_a_single_503_is_over_with_the_second_try(tried: Any) -> None:
    async with host(sequence(refusal(503))) as first:
        yard = await tried(first.url)
        assert (await posted(yard)).headers["x-bawn-served-by"] == "first/m"


async def test_milliseconds_are_heeded_as_well(tried: Any) -> None:
    async with host(sequence(refusal(503, retry_after_ms="200", retry_after="3"))) as first:
        yard = await tried(first.url)
        began = time.monotonic()
        await posted(yard)
    assert 0.19 < time.monotonic() - began < 2.5


@pytest.mark.parametrize("asked", ["30", "9"], ids=["over the limit", "over what is left"])
async def test_a_longer_time_sends_the_call_on_at_once(tried: Any, asked: str) -> None:
    async with host(lambda heard: refusal(429, retry_after=asked)) as first:
        yard = await tried(first.url, retry_after_seconds=10)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began < 2.5
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert len(first.heard) == 1


async def test_after_too_many_calls_another_key_is_used_at_once(tried: Any) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(429, retry_after="9") if heard.headers["authorization"].endswith("aaaa") else said(CHAT_ANSWER)

    async with host(answer) as first:
        yard = await tried(first.url, first=Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=first.url))
        yard.held.hold("first", "sk-aaaa", "sk-bbbb")
        began = time.monotonic()
        answered = await posted(yard)
        assert time.monotonic() - began < 2.5
        assert answered.headers["x-bawn-served-by"] == "first/m"
        assert [heard.headers["authorization"][-4:] for heard in first.heard] == ["aaaa", "bbbb"]


async def test_when_all_keys_rest_the_next_target_is_asked_first(tried: Any) -> None:
    async with host(lambda heard: refusal(429, retry_after="9")) as first:
        yard = await tried(first.url, first=Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=first.url))
        yard.held.hold("first", "sk-aaaa")
        await posted(yard)
        await posted(yard)
        assert len(first.heard) == 1
    assert "All keys of the provider rest." in yard.record.of("attempt.skipped")[-1].cause


# the breaker


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


# hedging


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


# what is billed


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


# what stays as it was


async def test_a_model_without_a_chain_has_one_try(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client:
        answer = await client.post(
            "/v1/chat/completions", json={"model": "second/fault-500", "messages": [{"role": "user", "content": "x"}]}
        )
    assert answer.status_code == 500
    assert "x-bawn-attempts" not in answer.headers
    assert yard.record.of("attempt.settled") == []


async def test_a_provider_does_not_say_who_served(tried: Any) -> None:
    async with host(lambda heard: said(CHAT_ANSWER, x_bawn_served_by="me")) as first:
        answer = await posted(await tried(first.url))
    assert answer.headers.get_list("x-bawn-served-by") == ["first/m"]


async def test_a_name_of_a_model_puts_no_line_into_the_head(tried: Any) -> None:
    async with host() as first:
        answer = await posted(await tried(first.url), "first/m\r\nx-injected: yes")
    assert "x-injected" not in answer.headers
    assert answer.headers["x-bawn-served-by"] == "first/m??x-injected: yes"


async def test_thoughts_are_seen_and_not_held(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client, client.stream("POST", **call("thinks", "messages", stream=True)) as answer:
        received, whole = await read(answer)
    assert whole
    assert b"thinking_delta" in received
    assert received.count(b"event: message_start") == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("speaks", SPEAKS, ids=[each.wire.value for each in SPEAKS])
async def test_the_gate_judges_what_the_next_provider_calls_and_the_model_is_told_there(
    chained: Chained, speaks: Speaks, stream: bool
) -> None:
    first = speaks.asking(CALLED, stream)
    asked = json.loads(json.dumps(first).replace("scripted/agent", "scripted/fault-close-after-headers"))
    yard = await chained(
        chain=("second/agent",), judges=(NEVER,), interception=Interception(withheld=Withheld.FEEDBACK)
    )
    async with yard.client() as client:
        answer = await client.post(**asked)
    assert answer.status_code == 200, answer.text
    assert "never" in answer.text, "the model was told, and says so"
    assert yard.record.of("tool.released") == []
    assert len(yard.record.of("tool.withheld")) == 1
    told = [event for event in yard.record.of("call.opened") if ("told", "of a refused call") in event.detail]
    assert [event.provider for event in told] == ["second"]
    await until(lambda: yard.ledger.running(UUID) == 0)


# as official packages see it


async def test_the_package_of_openai_gets_a_stream_of_one_provider(chained: Chained) -> None:
    yard = await chained(second=ProviderKind.ANTHROPIC, timeouts=IMPATIENT)
    client = openai.AsyncOpenAI(base_url=f"{yard.url}/v1", api_key="container-dev", max_retries=0)
    text, roles = "", 0
    stream = await client.chat.completions.create(
        model="scripted/cut-early", messages=[{"role": "user", "content": "hello there"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            roles += chunk.choices[0].delta.role is not None
    assert (text, roles) == ("hello there", 1)
    await client.close()


async def test_the_package_of_anthropic_gets_a_message_of_one_provider(chained: Chained) -> None:
    yard = await chained(second=ProviderKind.OPENAI_COMPATIBLE, timeouts=IMPATIENT)
    client = anthropic.AsyncAnthropic(base_url=yard.url, api_key="container-dev", max_retries=0)
    async with client.messages.stream(
        model="scripted/stall-early", max_tokens=50, messages=[{"role": "user", "content": "hello there"}]
    ) as stream:
        message = await stream.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == ["hello there"]
    await client.close()


async def test_an_official_package_knows_the_error_when_nobody_answers(chained: Chained) -> None:
    yard = await chained(chain=("second/fault-529",))
    client = anthropic.AsyncAnthropic(base_url=yard.url, api_key="container-dev", max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as error:
        await client.messages.create(
            model="scripted/fault-500", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
    assert error.value.status_code == 529
    assert json.loads(error.value.response.content)["error"]["type"] == "overloaded_error"
    await client.close()
