"""Calls whose key is refused, and the header by which Azure is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gateway.conftest import Start
from tests.gateway.credentials.conftest import (
    ASKED,
    FIRST,
    SECOND,
    bearer,
)
from tests.gateway.host import CHAT_ANSWER, Heard, Said, host, refusal, said

from bawn.gateway.settings import Provider, ProviderKind


@pytest.mark.parametrize("status", [401, 403])
async def test_a_call_whose_key_is_refused_is_made_again_with_another(start: Start, status: int) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(status) if bearer(heard) == FIRST else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            for _ in range(3):
                got = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
                assert got.status_code == 200
    assert [bearer(heard) for heard in there.heard] == [FIRST, SECOND, SECOND, SECOND]
    await yard.settled(3)
    assert yard.ledger.running(yard.registry.now.container.uuid) == 0
    assert [dict(event.detail)["key"] for event in yard.record.of("call.settled")] == ["k1"] * 3
    rested = yard.record.of("key.rests")[0]
    assert (rested.provider, dict(rested.detail)) == ("keyed", {"label": "", "seconds": "600"})
    assert FIRST not in str(yard.record.events)


async def test_a_call_is_made_again_once_and_not_with_every_key(start: Start) -> None:
    async with host(lambda heard: refusal(401)) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND, "sk-third-0123456789")
        async with yard.client() as client:
            got = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert (got.status_code, got.json()["error"]["code"]) == (503, "upstream.key_refused")
    assert len(there.heard) == 2
    assert len(yard.keyring.resting("keyed")) == 2


async def test_too_many_calls_pass_on_to_the_client_and_the_next_call_has_another_key(start: Start) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(429, retry_after="9") if bearer(heard) == FIRST else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            first = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
            then = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert (first.status_code, first.headers["retry-after"], then.status_code) == (429, "9", 200)
    assert [bearer(heard) for heard in there.heard] == [FIRST, SECOND]


async def test_a_refused_stream_is_made_again_as_well(start: Start, scripted: Path) -> None:
    frames = (
        b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )

    def answer(heard: Heard) -> Said:
        return refusal(401) if bearer(heard) == FIRST else (200, {"content-type": "text/event-stream"}, frames)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            asked = {"model": "keyed/m", "messages": ASKED, "stream": True}
            got = await client.post("/v1/chat/completions", json=asked)
    assert got.status_code == 200
    assert b"[DONE]" in got.content


# Azure


async def test_azure_is_called_by_openais_paths_with_its_own_header(start: Start) -> None:
    async with host() as there:
        azure = Provider(kind=ProviderKind.AZURE, base_url=f"{there.url}/openai/v1")
        yard = await start(more={"azure": azure})
        yard.held.hold("azure", "0123456789abcdef")
        async with yard.client() as client:
            got = await client.post("/v1/chat/completions", json={"model": "azure/house-gpt", "messages": ASKED})
    assert got.status_code == 200
    heard = there.heard[0]
    assert (heard.path, heard.headers["api-key"]) == ("/openai/v1/chat/completions", "0123456789abcdef")
    assert "authorization" not in heard.headers
    assert heard.json["model"] == "house-gpt"
