"""Who may call: the door decides, the token is only compared, and a withdrawn right is withdrawn now."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.gateway.conftest import Yard, until

CHAT = {"model": "scripted/echo", "messages": [{"role": "user", "content": "hello"}]}
LONG = {"model": "scripted/bench-stream", "messages": [{"role": "user", "content": "count"}], "stream": True}


async def chat(yard: Yard, *headers: tuple[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=yard.url, trust_env=False) as client:
        return await client.post("/v1/chat/completions", json=CHAT, headers=list(headers))


@pytest.mark.parametrize("name", ["container-dev", "container-7"])
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
async def test_a_container_may_name_itself_by_name_or_number_in_any_key_header(
    yard: Yard, header: str, name: str
) -> None:
    value = f"Bearer {name}" if header == "authorization" else name
    assert (await chat(yard, (header, value))).status_code == 200


async def test_two_equal_tokens_are_fine(yard: Yard) -> None:
    answer = await chat(yard, ("authorization", "Bearer container-dev"), ("x-api-key", "container-dev"))
    assert answer.status_code == 200


CLAIMS = {
    "no token": ([], "no token was sent"),
    "another container's name": ([("authorization", "Bearer container-other")], "does not name"),
    "another container's number": ([("authorization", "Bearer container-8")], "does not name"),
    "a real key": ([("authorization", "Bearer sk-ant-api03-0000000000000000")], "does not name"),
    "a bare name": ([("authorization", "Bearer dev")], "does not name"),
    "another case": ([("authorization", "Bearer Container-Dev")], "does not name"),
    "a longer name": ([("authorization", "Bearer container-dev2")], "does not name"),
    "a number with zeros": ([("authorization", "Bearer container-07")], "does not name"),
    "two tokens": (
        [("authorization", "Bearer container-dev"), ("x-api-key", "container-other")],
        "two different tokens",
    ),
    "two names of one container": (
        [("authorization", "Bearer container-dev"), ("x-api-key", "container-7")],
        "two different tokens",
    ),
    "an empty token": ([("x-api-key", "")], "does not name"),
}


@pytest.mark.parametrize(("headers", "cause"), CLAIMS.values(), ids=CLAIMS.keys())
async def test_every_other_claim_is_refused_with_the_same_words(
    yard: Yard, headers: list[tuple[str, str]], cause: str
) -> None:
    answer = await chat(yard, *headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "auth.refused"
    assert error["message"].startswith("This call is not authorised.")
    assert cause not in answer.text
    assert cause in yard.cause()
    [refused] = yard.record.of("call.refused")
    assert cause in refused.cause


async def test_the_refusal_of_identity_is_in_the_format_of_the_clients_wire(yard: Yard) -> None:
    async with yard.client(token="container-other") as client:
        answer = await client.post("/v1/messages", json=CHAT)
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["x-should-retry"] == "false"


STANDINGS = {
    "AI is disabled": ({"ai": False}, "AI is disabled"),
    "it is stopped": ({"state": "stopped"}, "the container is stopped"),
    "it is deleted": ({"state": "deleted"}, "the container is deleted"),
    "it is only created": ({"state": "created"}, "the container is created"),
    "it has expired": ({"expires": datetime.now(UTC) - timedelta(seconds=1)}, "expired"),
}


@pytest.mark.parametrize(("changes", "cause"), STANDINGS.values(), ids=STANDINGS.keys())
async def test_the_very_next_request_is_refused_when(yard: Yard, changes: dict[str, object], cause: str) -> None:
    async with yard.client() as client:
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
        yard.registry.change(**changes)
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 401
    assert cause in yard.cause()


@pytest.mark.parametrize("changes", [{"ai": False}, {"state": "deleted"}], ids=["disabled", "deleted"])
async def test_a_running_stream_is_cut_within_a_tenth_of_a_second(yard: Yard, changes: dict[str, object]) -> None:
    received, withdrawn = b"", 0.0
    async with yard.client() as client, client.stream("POST", "/v1/chat/completions", json=LONG) as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            async for data in answer.aiter_bytes():
                if not received:
                    yard.registry.change(**changes)
                    withdrawn = asyncio.get_running_loop().time()
                received += data
        assert asyncio.get_running_loop().time() - withdrawn < 0.1
    assert b"call.revoked" in received
    assert b"[DONE]" not in received
    settled = await yard.settled()
    assert settled.outcome == "revoked"


async def test_a_call_that_waits_for_the_provider_is_cut_as_well(yard: Yard) -> None:
    async with yard.client() as client:
        waiting = asyncio.create_task(
            client.post("/v1/chat/completions", json=CHAT | {"model": "scripted/fault-stall-before-headers"})
        )
        await until(lambda: bool(yard.record.of("call.opened")))
        yard.registry.change(ai=False)
        withdrawn = asyncio.get_running_loop().time()
        answer = await waiting
    assert asyncio.get_running_loop().time() - withdrawn < 0.1
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "call.revoked"


async def test_a_right_that_ends_while_the_record_is_written_is_not_used(yard: Yard) -> None:
    record = yard.record.record

    async def slowly(event: object) -> str:
        yard.registry.change(ai=False)
        return await record(event)  # type: ignore[arg-type]

    yard.record.record = slowly  # type: ignore[method-assign]
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 401


async def test_forwarded_headers_change_nothing(yard: Yard) -> None:
    spoofed = [
        ("authorization", "Bearer container-other"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-bawn-container", "dev"),
        ("host", "exec-1.bawn.internal"),
    ]
    assert (await chat(yard, *spoofed)).status_code == 401


async def test_a_door_that_is_closed_cuts_its_connections(yard: Yard) -> None:
    async with yard.client() as client:
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
        yard.doors.close(yard.registry.now.container.uuid)
        await asyncio.sleep(0)
        with pytest.raises(httpx.TransportError):
            await client.post("/v1/chat/completions", json=CHAT)
