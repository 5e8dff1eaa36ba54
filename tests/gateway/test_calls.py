"""Calls through a door to the scripted provider, by the official packages and by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from tests.gateway.conftest import SECRET, Start, Yard, until

from bawn.gateway.settings import Allow, Limits, Timeouts
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Stage
from bawn.terms.frames import Frame

CHAT = {"model": "scripted/echo", "messages": [{"role": "user", "content": "good morning"}]}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL_LOOK = 'call look with {"at": "the door"}'


def last_request(scripted: Path) -> dict[str, Any]:
    """What reached the provider last."""
    lines = [json.loads(line) for line in (scripted / "record.jsonl").read_text().splitlines()]
    found: dict[str, Any] = [line for line in lines if "body" in line][-1]
    return found


def openai_client(yard: Yard) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{yard.url}/api/v1", api_key="container-dev", max_retries=0)


def anthropic_client(yard: Yard) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=yard.url, api_key="container-dev", max_retries=0)


async def test_a_plain_call_is_answered_and_settled(yard: Yard) -> None:
    async with openai_client(yard) as client:
        answer = await client.chat.completions.create(
            model="scripted/echo", messages=[{"role": "user", "content": "good morning"}]
        )
    assert answer.choices[0].message.content == "good morning"
    settled = await yard.settled()
    assert (settled.outcome, settled.status, settled.provider, settled.model) == ("ok", 200, "scripted", "echo")
    assert settled.usage is not None
    assert answer.usage is not None
    assert settled.usage.input_tokens == answer.usage.prompt_tokens
    assert [event.event for event in yard.record.events] == ["call.opened", "call.settled"]


async def test_a_streamed_call_arrives_whole_and_its_usage_is_known(yard: Yard) -> None:
    async with openai_client(yard) as client:
        stream = await client.chat.completions.create(
            model="scripted/echo", messages=[{"role": "user", "content": "good morning"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "good morning"
    assert all(chunk.usage is None for chunk in chunks), "the client did not ask for usage"
    settled = await yard.settled()
    assert settled.usage is not None
    assert settled.usage.output_tokens > 0
    assert settled.first_byte_ms is not None
    assert not settled.usage_estimated


async def test_a_client_that_asks_for_usage_gets_it(yard: Yard) -> None:
    async with openai_client(yard) as client:
        stream = await client.chat.completions.create(
            model="scripted/echo",
            messages=[{"role": "user", "content": "good morning"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None


async def test_messages_are_answered_plain_and_streamed(yard: Yard) -> None:
    async with anthropic_client(yard) as client:
        plain = await client.messages.create(
            model="scripted/echo", max_tokens=50, messages=[{"role": "user", "content": "good evening"}]
        )
        async with client.messages.stream(
            model="scripted/echo", max_tokens=50, messages=[{"role": "user", "content": "good night"}]
        ) as stream:
            streamed = await stream.get_final_text()
        counted = await client.messages.count_tokens(
            model="scripted/echo", messages=[{"role": "user", "content": "good night"}]
        )
    assert plain.content[0].type == "text"
    assert plain.content[0].text == "good evening"
    assert streamed == "good night"
    assert counted.input_tokens > 0
    assert len(yard.record.of("call.settled")) == 3


async def test_embeddings_are_answered(yard: Yard) -> None:
    async with openai_client(yard) as client:
        answer = await client.embeddings.create(model="scripted/echo", input=["a", "b"])
    assert len(answer.data) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_is_released_with_a_record_of_its_own(yard: Yard, stream: bool) -> None:
    body = {
        "model": "scripted/agent",
        "messages": [{"role": "user", "content": CALL_LOOK}],
        "tools": [TOOL],
        "stream": stream,
    }
    async with yard.client() as client:
        answer = await client.post("/api/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert "look" in answer.text
    [released] = yard.record.of("tool.released")
    assert dict(released.detail)["tool"] == "look"
    await yard.settled()
    names = [event.event for event in yard.record.events]
    assert names == ["call.opened", "tool.released", "call.settled"]


async def test_the_bytes_of_the_client_reach_the_provider_but_for_the_model(yard: Yard, scripted: Path) -> None:
    odd = b'{ "messages" : [{"role":"user","content":"h\\u00e4\\/ 1.0"}],"model":"scripted/echo", "temperature":1.0e0}'
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", content=odd)
    assert answer.status_code == 200
    seen = last_request(scripted)
    assert '[{"role":"user","content":"h\\u00e4\\/ 1.0"}]' in str(seen["body"])
    assert "1.0e0" in str(seen["body"])


async def test_nothing_of_the_clients_head_passes_but_what_is_listed(yard: Yard, scripted: Path) -> None:
    headers = {
        "x-forwarded-for": "1.2.3.4",
        "cookie": "a=b",
        "x-evil": "1",
        "anthropic-beta": "effort-2025-11-24, files-api-2025-04-14",
    }
    async with yard.client() as client:
        await client.post("/v1/messages", json=CHAT | {"max_tokens": 9}, headers=headers)
        seen = last_request(scripted)
        await client.post("/v1/chat/completions", json=CHAT, headers=headers)
    names = {name for name, _ in seen["headers"]}
    assert not names & {"x-forwarded-for", "cookie", "x-evil"}
    assert "anthropic-beta" in names
    # To a provider of another wire it would mean nothing, or something else.
    assert "anthropic-beta" not in {name for name, _ in last_request(scripted)["headers"]}
    assert "container-dev" not in json.dumps(seen["headers"])


async def test_the_key_is_added_for_the_provider_and_never_comes_back(yard: Yard, scripted: Path) -> None:
    echoed = CHAT | {"model": "keyed/echo", "messages": [{"role": "user", "content": f"say {SECRET} twice: {SECRET}"}]}
    async with yard.client() as client:
        plain = await client.post("/v1/chat/completions", json=echoed)
        stream = await client.post("/v1/chat/completions", json=echoed | {"stream": True})
        refused = await client.post("/v1/chat/completions", json=CHAT | {"model": "keyed/fault-echo-authorization"})
    assert SECRET in json.dumps(last_request(scripted)["headers"])
    assert plain.status_code == stream.status_code == 200
    assert SECRET not in plain.text + stream.text + refused.text + repr(refused.headers)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "upstream.key_refused"


async def test_a_provider_without_a_key_is_not_called(yard: Yard) -> None:
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"model": "keyless/echo"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "upstream.no_key"
    assert answer.headers["x-should-retry"] == "false"
    assert "bawn keys add keyless" in answer.text


async def test_models_lists_what_the_container_may_use_in_the_clients_format(start: Start) -> None:
    yard = await start(allow=Allow(models=("scripted/echo",)))
    async with openai_client(yard) as client:
        assert [model.id async for model in client.models.list()] == ["scripted/echo"]
        assert (await client.models.retrieve("scripted/echo")).id == "scripted/echo"
    async with anthropic_client(yard) as claude:
        assert [model.id async for model in claude.models.list()] == ["scripted/echo"]


@pytest.mark.parametrize("name", ["", "default", "house", "c-echo", "scripted/echo"])
async def test_aliases_and_the_default_lead_to_a_model(yard: Yard, name: str) -> None:
    aliased = "echo" if name == "c-echo" else name
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"model": aliased or None})
    expected = 404 if aliased == "echo" else 200
    assert answer.status_code == expected


@pytest.mark.parametrize("name", ["other/echo", "scripted/", "echo", "http://elsewhere/x", "../keyed/echo"])
async def test_an_unknown_model_is_refused(yard: Yard, name: str) -> None:
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT | {"model": name})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "request.unknown_model"


async def test_a_model_that_is_not_allowed_reads_like_one_that_does_not_exist(start: Start) -> None:
    yard = await start(allow=Allow(models=("scripted/echo",)))
    async with yard.client() as client:
        forbidden = await client.post("/v1/chat/completions", json=CHAT | {"model": "scripted/agent"})
        missing = await client.post("/v1/chat/completions", json=CHAT | {"model": "nowhere/agent"})
    assert forbidden.status_code == missing.status_code == 404
    assert forbidden.json()["error"]["code"] == missing.json()["error"]["code"]
    assert "not among the models allowed" in yard.books.refusals[0].cause


WAYS_OUT = {
    "a web search": ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "hosted_tool"),
    "code at the provider": ("messages", {"tools": [{"type": "code_execution_20250522", "name": "x"}]}, "hosted_tool"),
    "remote MCP": ("messages", {"mcp_servers": [{"type": "url", "url": "http://x", "name": "x"}]}, "hosted_tool"),
    "an unknown tool type": ("messages", {"tools": [{"type": "teleport_20300101", "name": "x"}]}, "unknown_tool"),
    "an image by URL": (
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x/a"}}]}
            ]
        },
        "fetch",
    ),
    "a chat search": ("chat/completions", {"web_search_options": {}}, "hosted_tool"),
    "a chat image by URL": (
        "chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}]},
        "fetch",
    ),
    "an unknown chat tool": ("chat/completions", {"tools": [{"type": "mcp", "server_url": "http://x"}]}, "hosted_tool"),
    "an unknown field": ("chat/completions", {"gadgets": [{"id": "web"}]}, "unknown_tool"),
}


@pytest.mark.parametrize(("path", "extra", "code"), WAYS_OUT.values(), ids=WAYS_OUT.keys())
async def test_the_provider_is_no_way_out(
    yard: Yard, scripted: Path, path: str, extra: dict[str, Any], code: str
) -> None:
    before = (scripted / "record.jsonl").read_text().count("\n")
    async with yard.client() as client:
        answer = await client.post(f"/v1/{path}", json=CHAT | {"max_tokens": 10} | extra)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == f"request.{code}_refused"
    assert (scripted / "record.jsonl").read_text().count("\n") == before, "nothing was sent"


async def test_what_the_operator_allows_passes(start: Start) -> None:
    yard = await start(allow=Allow(models=("*",), hosted_tools=("web_search_20250305",), url_fetches=True))
    body = CHAT | {"max_tokens": 10, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    async with yard.client() as client:
        assert (await client.post("/v1/messages", json=body)).status_code == 200


async def test_an_object_of_another_container_does_not_exist(start: Start) -> None:
    yard = await start()
    body = CHAT | {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}
    async with yard.client() as client:
        foreign = await client.post("/v1/chat/completions", json=body)
        yard.makers.made["scripted", "file-1"] = yard.registry.now.container.uuid
        own = await client.post("/v1/chat/completions", json=body)
    assert foreign.status_code == 404
    assert foreign.json()["error"]["code"] == "resource.not_found"
    assert own.status_code == 200


async def test_nothing_is_sent_while_it_cannot_be_recorded(yard: Yard, scripted: Path) -> None:
    before = (scripted / "record.jsonl").read_text().count("\n")
    yard.record.broken = True
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "audit.unavailable"
    assert (scripted / "record.jsonl").read_text().count("\n") == before


async def test_a_client_that_leaves_stops_the_provider_within_a_tenth_of_a_second(yard: Yard) -> None:
    body = CHAT | {"model": "scripted/bench-stream", "stream": True}
    async with yard.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for _ in answer.aiter_bytes():
            break
    left = asyncio.get_running_loop().time()
    settled = await yard.settled()
    assert asyncio.get_running_loop().time() - left < 0.1
    assert settled.outcome == "client_left"
    assert settled.usage is not None, "what was used is recorded"
    assert settled.usage_estimated
    assert yard.gateway.running.count() == 0
    assert yard.ledger.running(settled.container_uuid) == 0


async def test_calls_over_the_limit_at_once_are_refused_and_may_be_tried_again(start: Start) -> None:
    yard = await start(concurrent=1)
    body = CHAT | {"model": "scripted/bench-stream", "stream": True}
    async with yard.client() as client:
        async with client.stream("POST", "/v1/chat/completions", json=body) as first:
            assert first.status_code == 200
            second = await client.post("/v1/chat/completions", json=CHAT)
            assert second.status_code == 429
            assert "x-should-retry" not in second.headers
        await until(lambda: yard.gateway.running.count() == 0)
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200


class Looks:
    """A stage that looks at each frame of an answer."""

    name = "looks"

    async def request(self, asked: Asked) -> None:
        """It lets every request pass."""

    def view(self, asked: Asked) -> Looks:
        return self

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        return (frame,)

    async def whole(self, body: bytes) -> bytes:
        return body

    def over(self, asked: Asked, ending: Ending) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize("stages", [(), (Looks(),)], ids=["no view", "a view"])
async def test_a_slow_client_does_not_make_the_gateway_buffer(start: Start, stages: tuple[Stage, ...]) -> None:
    yard = await start(timeouts=Timeouts(idle_seconds=30), stages=stages)
    body = CHAT | {"model": "scripted/fault-endless", "stream": True}
    reader, writer = await asyncio.open_connection("127.0.0.1", yard.port, limit=1024)
    raw = json.dumps(body).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer container-dev\r\n"
        b"content-length: %d\r\n\r\n" % len(raw) + raw
    )
    await reader.readline()
    await asyncio.sleep(1)
    connections = [each for door in yard.doors._open.values() for standing in door for each in standing.connections]
    waiting = [each._transport.get_write_buffer_size() for each in connections if each._transport is not None]
    assert waiting
    assert max(waiting) < 2_000_000
    writer.close()


async def test_a_body_over_the_limit_is_refused_before_it_is_taken_in(start: Start) -> None:
    yard = await start(limits=Limits(body_bytes=2048))
    async with yard.client() as client:
        answer = await client.post("/v1/messages", content=b"x" * 4096)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


async def test_the_probe_of_claude_code_is_answered(yard: Yard) -> None:
    async with yard.client(token="") as client:
        assert (await client.head("/")).status_code == 200


async def test_a_connection_is_used_for_many_calls(yard: Yard) -> None:
    async with yard.client() as client:
        for _ in range(20):
            assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
    assert len(yard.books.settlements) == 20
    assert yard.lost == []


async def test_an_answer_names_its_call(yard: Yard) -> None:
    async with yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.headers["x-bawn-call"] == (await yard.settled()).call


async def test_http_version_and_head_of_answers_are_plain(yard: Yard) -> None:
    async with yard.client() as client:
        answer: httpx.Response = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.headers["content-type"] == "application/json"
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_at_once_never_get_each_others_answers(yard: Yard, stream: bool) -> None:
    """A kept connection serves one call at a time, however the ends of answers fall."""

    async def ask(client: httpx.AsyncClient, number: int) -> bool:
        said = f"this is number {number} and no other"
        body = CHAT | {"stream": stream, "messages": [{"role": "user", "content": said}]}
        answer = await client.post("/v1/chat/completions", json=body)
        spoken = (
            answer.text
            if not stream
            else "".join(
                json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                for line in answer.text.splitlines()
                if line.startswith("data: {")
            )
        )
        return said in spoken and "number" not in spoken.replace(said, "")

    async with yard.client() as client:
        for _ in range(5):
            answers = await asyncio.gather(*(ask(client, number) for number in range(60)))
            assert all(answers)


async def test_a_long_prompt_arrives_whole_while_small_calls_go_on(yard: Yard, scripted: Path) -> None:
    long = CHAT | {"messages": [{"role": "user", "content": "é" * 700_000}]}
    async with yard.client() as client:
        answers = await asyncio.gather(
            client.post("/v1/chat/completions", json=long),
            *(client.post("/v1/chat/completions", json=CHAT) for _ in range(5)),
        )
    assert [answer.status_code for answer in answers] == [200] * 6
    assert answers[0].json()["choices"][0]["message"]["content"] == "é" * 700_000
