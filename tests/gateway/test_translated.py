"""Clients of one wire at providers of another, with the official packages: what comes back is what was said."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai.types import HttpOptions
from tests.gateway.conftest import SECRET
from tests.gateway.host import host, said
from tests.gateway.test_faults import GEMINI, call, code

from bawn.gateway.settings import Provider, ProviderKind

Start = Callable[..., Awaitable[Any]]
TARGETS = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, ProviderKind.GEMINI, ProviderKind.BEDROCK)
ROOTS = {ProviderKind.GEMINI: "/v1beta", ProviderKind.BEDROCK: ""}
CALL = 'call look with {"path": "a/b", "deep": {"n": [1, 2.5, null]}}'
ARGUMENTS = {"path": "a/b", "deep": {"n": [1, 2.5, None]}}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "deep": {"type": "object"}}}


@pytest.fixture
def at(start: Start, scripted: Path) -> Callable[[ProviderKind], Awaitable[Any]]:
    """A gateway whose provider is of one kind and speaks that kind's wires only."""

    async def begin(kind: ProviderKind, **options: Any) -> Any:
        address = (scripted / "address").read_text()
        return await start(kind=kind, provider=f"http://{address}{ROOTS.get(kind, '/v1')}", **options)

    return begin


def chat(yard: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{yard.url}/api/v1", api_key="container-dev", max_retries=0)


def messages(yard: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=f"{yard.url}/api", api_key="container-dev", max_retries=0)


OTHERS_OF_CHAT = (ProviderKind.ANTHROPIC, ProviderKind.GEMINI, ProviderKind.BEDROCK)
OTHERS_OF_GEMINI = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, ProviderKind.BEDROCK)
OTHERS_OF_MESSAGES = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.GEMINI, ProviderKind.BEDROCK)


@pytest.mark.parametrize("kind", OTHERS_OF_CHAT)
async def test_chat_completions_are_carried_whole_and_streamed(at: Any, kind: ProviderKind) -> None:
    yard = await at(kind)
    asked: dict[str, Any] = {
        "model": "scripted/echo",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "one two three"}],
    }
    async with chat(yard) as client:
        whole = await client.chat.completions.create(**asked)
        assert whole.choices[0].message.content == "one two three"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens > 0
        stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "one two three"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    settled = await yard.settled(2)
    assert (settled.wire, settled.outcome) == ("openai", "ok")
    assert settled.usage.input_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", OTHERS_OF_CHAT)
async def test_a_tool_is_called_and_its_result_told_over_chat_completions(
    at: Any, kind: ProviderKind, streamed: bool
) -> None:
    yard = await at(kind)
    tools: list[Any] = [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
    ]
    said: list[Any] = [{"role": "user", "content": CALL}]
    async with chat(yard) as client:
        if streamed:
            async with client.chat.completions.stream(model="scripted/agent", messages=said, tools=tools) as stream:
                message: Any = (await stream.get_final_completion()).choices[0].message
        else:
            message = (
                (await client.chat.completions.create(model="scripted/agent", messages=said, tools=tools))
                .choices[0]
                .message
            )
        assert message.tool_calls is not None
        call: Any = message.tool_calls[0]
        assert (call.function.name, json.loads(call.function.arguments)) == ("look", ARGUMENTS)
        said += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "a file"}]
        last = await client.chat.completions.create(model="scripted/agent", messages=said, tools=tools)
        assert last.choices[0].message.content == "The tool look said: a file"
    assert len(yard.record.of("tool.released")) == 1


@pytest.mark.parametrize("kind", OTHERS_OF_MESSAGES)
async def test_messages_are_carried_whole_and_streamed(at: Any, kind: ProviderKind) -> None:
    yard = await at(kind)
    asked: dict[str, Any] = {
        "model": "scripted/echo",
        "max_tokens": 100,
        "system": "be kind",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one two three"}]}],
    }
    async with messages(yard) as client:
        whole: Any = await client.messages.create(**asked)
        assert [block.type for block in whole.content] == ["text"]
        assert whole.content[0].text == "one two three"
        assert whole.stop_reason == "end_turn"
        async with client.messages.stream(**asked) as stream:
            final: Any = await stream.get_final_message()
        assert final.content[0].text == "one two three"
        assert final.usage.output_tokens == whole.usage.output_tokens
    settled = await yard.settled(2)
    assert settled.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", OTHERS_OF_MESSAGES)
async def test_a_tool_is_called_and_its_result_told_over_messages(at: Any, kind: ProviderKind, streamed: bool) -> None:
    yard = await at(kind)
    asked: dict[str, Any] = {
        "model": "scripted/agent",
        "max_tokens": 1000,
        "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
    }
    said: list[Any] = [{"role": "user", "content": CALL}]
    async with messages(yard) as client:
        if streamed:
            async with client.messages.stream(**asked, messages=said) as stream:
                answer = await stream.get_final_message()
        else:
            answer = await client.messages.create(**asked, messages=said)
        assert answer.stop_reason == "tool_use"
        use: Any = answer.content[-1]
        assert (use.name, use.input) == ("look", ARGUMENTS)
        result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "a file"}]}
        said += [
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
            {"role": "user", "content": [result]},
        ]
        last: Any = await client.messages.create(**asked, messages=said)
        assert last.content[-1].text == "The tool look said: a file"


@pytest.mark.parametrize("kind", TARGETS)
async def test_responses_are_carried_whole_and_streamed(at: Any, kind: ProviderKind) -> None:
    yard = await at(kind)
    asked: dict[str, Any] = {"model": "scripted/echo", "input": "one two three", "instructions": "be kind"}
    async with chat(yard) as client:
        whole = await client.responses.create(**asked)
        assert whole.output_text == "one two three"
        assert whole.status == "completed"
        async with client.responses.stream(**asked) as stream:
            final = await stream.get_final_response()
        assert final.output_text == "one two three"
        assert final.usage == whole.usage


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
async def test_a_tool_is_called_and_its_result_told_over_responses(at: Any, kind: ProviderKind, streamed: bool) -> None:
    yard = await at(kind)
    function = {"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}
    asked: dict[str, Any] = {"model": "scripted/agent", "tools": [function]}
    said: list[Any] = [{"role": "user", "content": CALL}]
    async with chat(yard) as client:
        if streamed:
            async with client.responses.stream(**asked, input=said) as stream:
                answer: Any = await stream.get_final_response()
        else:
            answer = await client.responses.create(**asked, input=said)
        [call] = [item for item in answer.output if item.type == "function_call"]
        assert (call.name, json.loads(call.arguments)) == ("look", ARGUMENTS)
        said += [*answer.output, {"type": "function_call_output", "call_id": call.call_id, "output": "a file"}]
        last = await client.responses.create(**asked, input=said)
        assert last.output_text == "The tool look said: a file"


@pytest.mark.parametrize("kind", OTHERS_OF_CHAT)
async def test_an_error_of_the_provider_reads_as_one_of_the_clients_wire(at: Any, kind: ProviderKind) -> None:
    yard = await at(kind)
    async with chat(yard) as client:
        with pytest.raises(openai.RateLimitError, match="told to fail"):
            await client.chat.completions.create(
                model="scripted/fault-429", messages=[{"role": "user", "content": "hi"}]
            )


async def test_what_cannot_be_carried_is_refused_before_anything_is_sent_and_what_tunes_is_named(at: Any) -> None:
    yard = await at(ProviderKind.ANTHROPIC)
    said: list[Any] = [{"role": "user", "content": "hi"}]
    async with chat(yard) as client:
        with pytest.raises(openai.BadRequestError, match="several_answers") as refused:
            await client.chat.completions.create(model="scripted/echo", messages=said, n=2)
        assert refused.value.code == "request.not_translatable"
        assert not yard.record.of("call.opened")
        raw = await client.chat.completions.with_raw_response.create(
            model="scripted/echo", messages=said, seed=4, presence_penalty=0.5
        )
        assert raw.headers["x-bawn-dropped"] == "seed, penalties"
    [opened] = yard.record.of("call.opened")
    assert dict(opened.detail)["translated"] == "openai to anthropic"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", OTHERS_OF_GEMINI)
async def test_a_tool_is_called_and_its_result_told_over_gemini(at: Any, kind: ProviderKind, streamed: bool) -> None:
    yard = await at(kind)
    options = HttpOptions(base_url=yard.url, api_version="v1beta")
    tool = {"function_declarations": [{"name": "look", "description": "Looks.", "parameters_json_schema": SCHEMA}]}
    config: Any = {"tools": [tool], "automatic_function_calling": {"disable": True}}
    said: list[Any] = [{"role": "user", "parts": [{"text": CALL}]}]
    with genai.Client(api_key="container-dev", http_options=options) as client:
        asked: dict[str, Any] = {"model": "scripted/agent", "config": config}
        if streamed:
            stream = await client.aio.models.generate_content_stream(**asked, contents=said)
            parts: Any = [part async for each in stream for part in each.parts or ()]
        else:
            answer = await client.aio.models.generate_content(**asked, contents=said)
            parts = answer.parts
        [call] = [part.function_call for part in parts if part.function_call]
        assert (call.name, call.args) == ("look", ARGUMENTS)
        given = {"id": call.id, "name": call.name, "response": {"output": "a file"}}
        said += [
            {"role": "model", "parts": [{"function_call": {"id": call.id, "name": call.name, "args": call.args}}]},
            {"role": "user", "parts": [{"function_response": given}]},
        ]
        last = await client.aio.models.generate_content(**asked, contents=said)
        assert last.text == "The tool look said: a file"
    settled = await yard.settled(2)
    assert (settled.wire, settled.outcome) == ("gemini", "ok")


@pytest.mark.parametrize("model", ["echo:online", "echo:ONLINE", "echo:online:nitro"])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "messages", "responses", GEMINI])
async def test_a_name_that_makes_the_provider_search_is_refused_on_every_wire(
    start: Start, path: str, model: str
) -> None:
    asked: dict[str, Any] = {"url": "/v1/completions", "json": {"model": f"keyed/{model}", "prompt": "hi"}}
    if path != "completions":
        asked = call(model, path)
        asked = {"url": asked["url"].replace("scripted/", "keyed/"), "json": asked["json"]}
        if "model" in asked["json"]:
            asked["json"]["model"] = f"keyed/{model}"
    yard = await start()
    async with yard.client() as client:
        answer = await client.post(**asked)
    assert answer.status_code == 403
    assert code(answer) == "request.hosted_tool_refused"
    assert not yard.record.of("call.opened")


async def test_what_a_provider_escaped_of_our_key_does_not_come_back_plain(start: Start) -> None:
    shown = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"no: %b"}}' % shown.encode()
    async with host(lambda heard: (400, {"content-type": "application/json"}, body)) as there:
        yard = await start(more={"other": Provider(kind=ProviderKind.ANTHROPIC, base_url=there.url)})
        yard.held.hold("other", SECRET)
        async with yard.client() as client:
            asked = {"model": "other/m", "messages": [{"role": "user", "content": "hi"}]}
            answer = await client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert "[redacted]" in answer.text


async def test_usage_is_settled_as_the_provider_counted_it_and_not_as_the_client_reads_it(start: Start) -> None:
    answer = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "model": "m"}
    counted: Any = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
    answers: list[Any] = [answer, {**answer, "usage": counted}]
    async with host(lambda heard: said(answers.pop(0))) as there:
        more = {"other": Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=there.url, key="none")}
        yard = await start(more=more)
        async with yard.client() as client:
            asked = {"model": "other/m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            for _ in range(2):
                assert (await client.post("/v1/messages", json=asked)).status_code == 200
    await yard.settled(2)
    first, second = (settlement.usage for settlement in yard.books.settlements)
    assert first is None, "what nobody counted is not nothing"
    assert (second.output_tokens, second.reasoning_tokens) == (5, 3)
