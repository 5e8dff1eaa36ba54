"""Whatever goes wrong at a provider of another wire, the client learns it in its own, and nothing half goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Start
from tests.gateway.test_faults import BROKEN, BROKEN_STREAMS, GEMINI, IMPATIENT, call, code

from bawn.gateway.settings import ProviderKind, Timeouts

WAYS = [
    ("chat/completions", ProviderKind.GEMINI),
    ("messages", ProviderKind.OPENAI_COMPATIBLE),
    ("responses", ProviderKind.ANTHROPIC),
    (GEMINI, ProviderKind.BEDROCK),
]

ROOTS = {
    ProviderKind.GEMINI: "/v1beta",
    ProviderKind.BEDROCK: "",
    ProviderKind.OPENAI_COMPATIBLE: "/v1",
    ProviderKind.ANTHROPIC: "/v1",
}


@pytest.fixture
def at(start: Start, scripted: Path) -> Callable[..., Any]:
    async def begin(kind: ProviderKind, **options: Any) -> Any:
        return await start(kind=kind, provider=f"http://{(scripted / 'address').read_text()}{ROOTS[kind]}", **options)

    return begin


@pytest.mark.parametrize(("path", "kind"), WAYS)
@pytest.mark.parametrize("fault", BROKEN)
async def test_an_answer_that_is_not_whole_is_never_carried(
    at: Callable[..., Any], path: str, kind: ProviderKind, fault: str
) -> None:
    yard = await at(kind, timeouts=IMPATIENT)
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{fault}", path))
        after = await client.post(**call("echo", path))
    assert answer.status_code in (502, 504)
    assert code(answer).startswith("upstream.")
    assert "<html" not in answer.text
    assert after.status_code == 200, "the next call is fine"


@pytest.mark.parametrize(("path", "kind"), WAYS)
@pytest.mark.parametrize("fault", BROKEN_STREAMS)
async def test_a_carried_stream_that_is_cut_ends_in_an_error_and_never_as_complete(
    at: Callable[..., Any], path: str, kind: ProviderKind, fault: str
) -> None:
    yard = await at(kind, timeouts=IMPATIENT)
    received, whole = b"", True
    async with (
        yard.client() as client,
        client.stream("POST", **call(f"fault-{fault}", path, stream=True)) as answer,
    ):
        try:
            async for data in answer.aiter_bytes():
                received += data
        except httpx.RemoteProtocolError:
            whole = False
    if answer.status_code == 200:
        assert not whole, "HTTP too says that it is not complete"
        assert b'"error"' in received
    else:
        assert answer.status_code == 502
    for end in (b"[DONE]", b"message_stop", b"response.completed", b'"tool_calls":[', b"function_call", b"tool_use"):
        assert end not in received
    assert yard.record.of("tool.released") == []
    assert (await yard.settled()).outcome == "upstream_error"


@pytest.mark.parametrize(("path", "kind"), WAYS)
async def test_a_carried_stream_without_end_is_ended_by_its_total_time(
    at: Callable[..., Any], path: str, kind: ProviderKind
) -> None:
    yard = await at(kind, timeouts=Timeouts(idle_seconds=5, total_seconds=0.5))
    async with (
        yard.client() as client,
        client.stream("POST", **call("fault-endless", path, stream=True)) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in answer.aiter_bytes():
                pass
    assert (await yard.settled()).outcome == "upstream_error"


@pytest.mark.parametrize(("path", "kind"), WAYS)
@pytest.mark.parametrize("status", [400, 404, 429, 500, 529])
async def test_an_error_is_said_in_the_clients_wire_with_the_status_of_the_provider(
    at: Callable[..., Any], path: str, kind: ProviderKind, status: int
) -> None:
    yard = await at(kind)
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{status}", path))
        refused = await client.post(**call("fault-401", path))
    assert answer.status_code == status
    assert "told to fail" in answer.json()["error"]["message"]
    assert (status in (429, 529)) is ("retry-after" in answer.headers)
    assert code(refused) == "upstream.key_refused"


async def test_a_client_that_leaves_ends_a_carried_call_at_the_provider(at: Callable[..., Any]) -> None:
    yard = await at(ProviderKind.ANTHROPIC)
    async with (
        yard.client() as client,
        client.stream("POST", **call("bench-stream", "responses", stream=True)) as answer,
    ):
        await anext(answer.aiter_bytes())
    async with asyncio.timeout(5):
        settled = await yard.settled()
    assert settled.outcome == "client_left"
