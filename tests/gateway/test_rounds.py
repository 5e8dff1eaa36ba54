"""A model that is told of a refusal: its second answer comes behind the first, whose stream may still be open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.gateway.conftest import UUID, Start
from tests.gateway.judges import NEVER
from tests.gateway.stand_in import stand_in

from bawn.gateway.settings import ProviderKind
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given

USED = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
FUNCTION = {"index": 0, "id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
ASKING: dict[str, Any] = {
    "url": "/v1/chat/completions",
    "json": {"model": "scripted/agent", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


CALLS = chunk({"tool_calls": [FUNCTION]}) + chunk({}, "tool_calls", usage=USED) + b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSED = b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def provider(tail: bytes, *, tells: bool = True) -> AsyncIterator[str]:
    """Its first answer calls a tool, and its HTTP ends with `tail` only while the second answer is being told."""
    first: list[asyncio.StreamWriter] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        await reader.readexactly(length)
        if not first:
            first.append(writer)
            writer.write(HEAD + piece(CALLS))
            await writer.drain()
        elif tells:
            writer.write(HEAD + piece(chunk({"content": "I see. "})))
            await writer.drain()
            await asyncio.sleep(0.05)
            first[0].write(tail)
            await asyncio.sleep(0.05)
            ending = chunk({"content": "Then not."}) + chunk({}, "stop", usage=USED) + b"data: [DONE]\n\n"
            writer.write(piece(ending) + piece(b""))
        else:
            writer.write(REFUSED)
            first[0].write(tail)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for each in writers:
            each.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("tail", [piece(b""), b"nothing\r\n", piece(CALLS), piece(chunk({"content": "late"}))])
async def test_what_still_comes_of_the_first_answer_does_not_touch_the_second(start: Start, tail: bytes) -> None:
    async with provider(tail) as address:
        yard = await start(provider=address, judges=(NEVER,))
        async with yard.client() as client:
            answer = await client.post(**ASKING)
        assert "Then not." in answer.text, answer.text
        assert "late" not in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        settled = await yard.settled()
    assert settled.outcome == "ok"
    assert settled.usage is not None
    assert settled.usage.input_tokens == 200
    assert yard.ledger.running(UUID) == 0


async def test_an_answer_after_which_the_model_could_not_be_told_is_paid_for_once(start: Start) -> None:
    async with provider(piece(b""), tells=False) as address:
        yard = await start(provider=address, judges=(NEVER,))
        async with yard.client() as client:
            answer = await client.post(**ASKING)
        assert "was refused" in answer.text
        settled = await yard.settled()
    assert settled.usage is not None
    assert settled.usage.input_tokens == 100


SERVER_RAN = [
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    {"type": "tool_use", "id": "t1", "name": "bash", "input": {}},
]
SHELL_RAN = [
    {"type": "shell_call", "call_id": "s1", "action": {"commands": ["ls"]}, "environment": {"type": "container"}},
    {"type": "function_call", "call_id": "t1", "name": "bash", "arguments": "{}"},
]
AS_ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "tool_use",
    "usage": {},
}
AS_RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m"}


@pytest.mark.parametrize(
    ("path", "asking", "first", "second"),
    [
        (
            "/v1/messages",
            {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
            {**AS_ANTHROPIC, "content": SERVER_RAN},
            {**AS_ANTHROPIC, "content": [{"type": "text", "text": "fine"}], "stop_reason": "end_turn"},
        ),
        ("/v1/responses", {"input": "hi"}, {**AS_RESPONSE, "output": SHELL_RAN}, {**AS_RESPONSE, "output": []}),
    ],
)
async def test_a_refused_call_that_the_provider_has_run_does_not_go_out_with_the_next_answer(
    start: Start, path: str, asking: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    told = [first, second]
    kind = ProviderKind.ANTHROPIC if path == "/v1/messages" else ProviderKind.SCRIPTED
    async with stand_in(lambda *_: (200, told.pop(0))) as there:
        yard = await start(provider=there.address, kind=kind, judges=(NEVER,))
        async with yard.client() as client:
            answer = await client.post(path, json={"model": "scripted/agent", **asking})
    assert "tool.refused" in answer.text or "refused" in answer.json()["error"]["message"], answer.text
    assert "s1" not in answer.text


class Remembers:
    """A stage that gives an answer from memory."""

    name = "remembers"

    async def request(self, asked: Asked) -> Given:
        return Given(CALLS, free=True)

    def view(self, asked: Asked) -> None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        """Nothing is kept."""


async def test_an_answer_that_cost_nothing_makes_no_call_that_does(start: Start) -> None:
    yard = await start(stages=(Remembers(),), judges=(NEVER,))
    async with yard.client() as client:
        answer = await client.post(**ASKING)
    assert "was refused" in answer.text
    assert len(yard.record.of("call.opened")) == 1
