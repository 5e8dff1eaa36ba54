"""Whatever the first provider does, a right answer comes from the next one while nothing was seen of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.gateway.failover.conftest import IMPATIENT, Chained, accounted, read, tries
from tests.gateway.test_faults import GEMINI, call

from bawn.gateway.settings import ProviderKind, Timeouts

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
