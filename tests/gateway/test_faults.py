"""Whatever a provider answers, the client learns the truth in its own format, and the gateway stays whole."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Start, Yard

from bawn.gateway.settings import Limits, Timeouts

ASKED = [{"role": "user", "content": "hello"}]
GEMINI = "generateContent"
WIRES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": ASKED}, "messages": {"messages": ASKED, "max_tokens": 50}, "responses": {"input": ASKED},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}  # fmt: skip
IMPATIENT = Timeouts(first_byte_seconds=0.3, idle_seconds=0.3, total_seconds=3)

BROKEN = [
    "close-before-headers", "close-after-headers", "html", "empty-body", "content-length-too-long",
    "two-documents", "truncated-json", "bad-chunking", "bad-status-line", "huge-headers", "gzip", "redirect",
]  # fmt: skip
BROKEN_STREAMS = [
    "close-mid-stream", "reset-mid-stream", "truncated", "garbage-frame", "duplicate-keys", "error-event",
    "tool-cut", "bad-chunking",
]  # fmt: skip


def call(model: str, path: str, *, stream: bool = False) -> dict[str, Any]:
    """Where a call goes and what it says."""
    if path == GEMINI:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return {"url": f"/v1beta/models/scripted/{model}:{verb}", "json": WIRES[path]}
    return {
        "url": f"/v1/{path}",
        "json": {"model": f"scripted/{model}", **WIRES[path], **({"stream": True} if stream else {})},
    }


def code(answer: httpx.Response) -> str:
    """Our word for what went wrong, where the wire has it."""
    error: dict[str, Any] = answer.json()["error"]
    found: str = error["details"][0]["reason"] if "details" in error else error["code"]
    return found


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize("fault", BROKEN)
async def test_an_answer_that_is_not_whole_is_never_passed_on(start: Start, path: str, fault: str) -> None:
    yard = await start(timeouts=IMPATIENT)
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{fault}", path))
        after = await client.post(**call("echo", path))
    assert answer.status_code in (502, 504)
    assert code(answer).startswith("upstream.")
    assert "Traceback" not in answer.text
    assert "<html" not in answer.text
    await yard.settled(2)
    assert yard.books.settlements[0].outcome == "upstream_error"
    assert after.status_code == 200, "the next call is fine"


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize("fault", BROKEN_STREAMS)
async def test_a_stream_that_is_cut_ends_in_an_error_and_never_as_complete(start: Start, path: str, fault: str) -> None:
    yard = await start(timeouts=IMPATIENT)
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
    assert b"[DONE]" not in received
    assert b"message_stop" not in received
    assert b"response.completed" not in received
    assert b"finishReason" not in received
    settled = await yard.settled()
    assert settled.outcome == "upstream_error"


@pytest.mark.parametrize("path", WIRES)
async def test_half_a_tool_call_is_never_released(start: Start, path: str) -> None:
    yard = await start(timeouts=IMPATIENT)
    async with (
        yard.client() as client,
        client.stream("POST", **call("fault-tool-cut", path, stream=True)) as answer,
    ):
        received = b""
        with pytest.raises(httpx.RemoteProtocolError):
            async for data in answer.aiter_bytes():
                received += data
    assert b'"tool_calls"' not in received
    assert b"tool_use" not in received
    assert b"function_call" not in received
    assert b"functionCall" not in received
    assert yard.record.of("tool.released") == []


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize("fault", ["stall-before-headers", "stall-after-headers"])
async def test_a_provider_that_falls_silent_is_given_up(start: Start, path: str, fault: str) -> None:
    yard = await start(timeouts=IMPATIENT)
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{fault}", path))
    assert answer.status_code == 504
    assert code(answer) == "upstream.timeout"


@pytest.mark.parametrize("path", WIRES)
async def test_a_stream_that_falls_silent_is_given_up(start: Start, path: str) -> None:
    yard = await start(timeouts=IMPATIENT)
    received = b""
    async with (
        yard.client() as client,
        client.stream("POST", **call("fault-stall-mid-stream", path, stream=True)) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            async for data in answer.aiter_bytes():
                received += data
    assert b"upstream.broken" in received or b"upstream.timeout" in received


@pytest.mark.parametrize("path", WIRES)
async def test_a_stream_without_end_is_ended_by_its_total_time(start: Start, path: str) -> None:
    yard = await start(timeouts=Timeouts(idle_seconds=5, total_seconds=0.5))
    async with (
        yard.client() as client,
        client.stream("POST", **call("fault-endless", path, stream=True)) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in answer.aiter_bytes():
                pass
    assert (await yard.settled()).outcome == "upstream_error"


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize("status", [400, 404, 408, 409, 429, 500, 502, 503, 529])
async def test_an_error_of_the_provider_passes_in_its_own_words(yard: Yard, path: str, status: int) -> None:
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{status}", path))
    assert answer.status_code == status
    assert "error" in answer.json()
    if status == 429:
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_the_operators_matter_not_the_clients(yard: Yard, path: str, status: int) -> None:
    async with yard.client() as client:
        answer = await client.post(**call(f"fault-{status}", path))
    assert answer.status_code == 503
    assert code(answer) == "upstream.key_refused"


async def test_a_provider_that_cannot_be_reached_is_said_so(start: Start) -> None:
    yard = await start(provider="http://127.0.0.1:1/v1")
    async with yard.client() as client:
        answer = await client.post(**call("echo", "chat/completions"))
    assert answer.status_code == 502
    assert code(answer) == "upstream.unreachable"


async def test_an_answer_over_the_limit_is_broken(start: Start) -> None:
    yard = await start(limits=Limits(answer_bytes=1024))
    long = {"model": "scripted/echo", "messages": [{"role": "user", "content": "x" * 5000}]}
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=long)
    assert answer.status_code == 502


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"hello", "request.malformed_json"),
    "an empty body": (b"", "request.malformed_json"),
    "cut JSON": (b'{"model": "scripted/echo", "mess', "request.malformed_json"),
    "an array": (b"[]", "request.malformed_json"),
    "a repeated key": (b'{"model":"scripted/echo","model":"keyed/echo","messages":[]}', "request.malformed_json"),
    "an escaped repeated key": (b'{"model":"a","mod\\u0065l":"b","messages":[]}', "request.malformed_json"),
    "ten thousand arrays": (b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "request.malformed_json"),
    "a lone surrogate": (b'{"model":"x","messages":[{"role":"user","content":"\\ud800"}]}', "request.malformed_json"),
    "invalid UTF-8": (b'{"model":"\xff"}', "request.malformed_json"),
    "UTF-16": ('{"model":"x"}'.encode("utf-16"), "request.malformed_json"),
    "a NUL": (b'{"model":"a\x00b"}', "request.malformed_json"),
    "NaN": (b'{"model":"x","temperature":NaN}', "request.malformed_json"),
    "two documents": (b'{"model":"x"}{"model":"y"}', "request.malformed_json"),
    "a model that is no text": (b'{"model":5,"messages":[{"role":"user","content":"x"}]}', "request.invalid"),
    "no messages": (b'{"model":"scripted/echo","max_tokens":5}', "request.invalid"),
    "messages that are no list": (b'{"model":"scripted/echo","max_tokens":5,"messages":"x"}', "request.invalid"),
    "a stream that is no switch": (
        b'{"model":"scripted/echo","max_tokens":5,"stream":"yes","messages":[{"role":"user","content":"x"}]}',
        "request.invalid",
    ),
    "an endless number": (b'{"model":"x","seed":' + b"9" * 10_000 + b"}", "request.malformed_json"),
}


@pytest.mark.parametrize("path", WIRES)
@pytest.mark.parametrize(("content", "expected"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_bad_body_is_refused_clearly_in_the_wires_own_format(
    yard: Yard, path: str, content: bytes, expected: str
) -> None:
    async with yard.client() as client:
        answer = await client.post(call("echo", path)["url"], content=content)
        after = await client.post(**call("echo", path))
    assert answer.status_code == 400
    assert code(answer) == expected
    error = answer.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT" if path == GEMINI else error["type"] == "invalid_request_error"
    assert not re.search(r"Traceback|File \"|\.py", answer.text)
    assert after.status_code == 200, "the connection is in a known state"
    assert json.loads(answer.text)


@pytest.mark.parametrize(
    "path",
    ["/v1/responses/x", "/v1/files", "/v1/../v1/models", "//v1/models", "/v1/models/%2e%2e", "/v1/chat/completions/",
     "/v1/chat/completions?x=1", "/V1/models", "/v1/messages;x", "/metrics"],
)  # fmt: skip
async def test_every_other_path_is_unknown(yard: Yard, path: str) -> None:
    reader_answer = await _raw(yard, path)
    assert reader_answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))


async def test_an_absolute_path_names_no_other_host(yard: Yard) -> None:
    assert (await _raw(yard, "http://169.254.169.254/v1/models")).startswith(b"HTTP/1.1 400")


async def _raw(yard: Yard, path: str) -> bytes:
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", yard.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer container-dev\r\nconnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    return answer
