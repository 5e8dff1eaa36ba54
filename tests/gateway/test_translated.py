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

from bawn.gateway.settings import ProviderKind

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
