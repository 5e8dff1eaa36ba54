"""The official `openai` and `anthropic` packages take the scripted provider for a real one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

OPENAI_TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ANTHROPIC_TOOL: Any = {"name": "weather", "input_schema": OPENAI_TOOL["function"]["parameters"]}
ASK: Any = {"role": "user", "content": 'Please call weather with {"city": "Gaillimh"}'}
HELLO: Any = {"role": "user", "content": "Dia duit, a chara"}


@pytest.fixture
def openai_client(provider: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_openai(provider: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(provider: Any) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_anthropic(provider: Any) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
        yield client


def test_openai_reads_a_plain_answer_with_its_usage(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="scripted/echo", messages=[HELLO])
    assert answer.choices[0].message.content == "Dia duit, a chara"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_openai_reads_a_stream_whose_usage_comes_last_and_once(openai_client: openai.OpenAI) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model="scripted/echo", messages=[HELLO], stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Dia duit, a chara"
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len({c.id for c in chunks}) == 1


def test_openai_reads_no_usage_in_a_stream_that_was_not_asked_for_it(openai_client: openai.OpenAI) -> None:
    chunks = list(openai_client.chat.completions.create(model="scripted/echo", messages=[HELLO], stream=True))
    assert all(c.usage is None and c.choices for c in chunks)


def test_openai_joins_the_pieces_of_a_tool_call(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(model="agent", messages=[ASK], tools=[OPENAI_TOOL]) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls
    assert call is not None
    assert (call[0].function.name, json.loads(call[0].function.arguments)) == ("weather", {"city": "Gaillimh"})


def test_openai_finishes_a_task_with_a_tool(openai_client: openai.OpenAI) -> None:
    messages: list[Any] = [ASK]
    first = openai_client.chat.completions.create(model="agent", messages=messages, tools=[OPENAI_TOOL]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.tool_calls
    messages.append(first.message)
    messages.append({"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "rain"})
    last = openai_client.chat.completions.create(model="agent", messages=messages, tools=[OPENAI_TOOL])
    assert last.choices[0].message.content == "The tool weather said: rain"


def test_openai_reads_embeddings_that_are_equal_for_equal_texts(openai_client: openai.OpenAI) -> None:
    data = openai_client.embeddings.create(model="scripted/embed", input=["a", "b", "a"], dimensions=16).data
    assert data[0].embedding == data[2].embedding != data[1].embedding
    assert len(data[0].embedding) == 16


def test_openai_packed_embeddings_are_the_same_as_the_listed_ones(openai_client: openai.OpenAI) -> None:
    listed = openai_client.embeddings.create(model="m", input="x", encoding_format="float").data[0].embedding
    assert openai_client.embeddings.create(model="m", input="x").data[0].embedding == listed


def test_openai_lists_the_models(openai_client: openai.OpenAI) -> None:
    assert {"scripted/echo", "scripted/agent"} <= {model.id for model in openai_client.models.list()}
    assert openai_client.models.retrieve("scripted/echo").object == "model"


async def test_openai_async_reads_plain_and_streamed_alike(async_openai: openai.AsyncOpenAI) -> None:
    plain = await async_openai.chat.completions.create(model="echo", messages=[HELLO])
    stream = await async_openai.chat.completions.create(model="echo", messages=[HELLO], stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == plain.choices[0].message.content == "Dia duit, a chara"


def test_anthropic_reads_a_plain_answer_with_its_usage(anthropic_client: anthropic.Anthropic) -> None:
    answer = anthropic_client.messages.create(model="scripted/echo", max_tokens=50, messages=[HELLO])
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


def test_anthropic_reads_a_stream_into_the_same_message(anthropic_client: anthropic.Anthropic) -> None:
    plain = anthropic_client.messages.create(model="scripted/echo", max_tokens=50, messages=[HELLO])
    with anthropic_client.messages.stream(model="scripted/echo", max_tokens=50, messages=[HELLO]) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].model_dump(exclude={"parsed_output"}) == plain.content[0].model_dump()
    assert (streamed.stop_reason, streamed.usage) == (plain.stop_reason, plain.usage)


def test_anthropic_finishes_a_task_with_a_tool(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(
        model="agent", max_tokens=50, messages=[ASK], tools=[ANTHROPIC_TOOL]
    ) as stream:
        first = stream.get_final_message()
    call = first.content[-1]
    assert first.stop_reason == "tool_use"
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert (call.name, call.input) == ("weather", {"city": "Gaillimh"})
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]}
    answered: Any = {"role": "assistant", "content": [block.to_dict() for block in first.content]}
    last = anthropic_client.messages.create(
        model="agent", max_tokens=50, messages=[ASK, answered, result], tools=[ANTHROPIC_TOOL]
    )
    assert isinstance(last.content[0], anthropic.types.TextBlock)
    assert last.content[0].text == "The tool weather said: rain"


def test_anthropic_counts_tokens_as_the_answer_does(anthropic_client: anthropic.Anthropic) -> None:
    counted = anthropic_client.messages.count_tokens(model="echo", messages=[HELLO]).input_tokens
    answer = anthropic_client.messages.create(model="echo", max_tokens=50, messages=[HELLO])
    assert counted == answer.usage.input_tokens


def test_anthropic_lists_the_models(anthropic_client: anthropic.Anthropic) -> None:
    assert {"scripted/echo", "scripted/agent"} <= {model.id for model in anthropic_client.models.list()}


async def test_anthropic_async_reads_plain_and_streamed_alike(async_anthropic: anthropic.AsyncAnthropic) -> None:
    plain = await async_anthropic.messages.create(model="echo", max_tokens=50, messages=[HELLO])
    async with async_anthropic.messages.stream(model="echo", max_tokens=50, messages=[HELLO]) as stream:
        text = "".join([piece async for piece in stream.text_stream])
    assert isinstance(plain.content[0], anthropic.types.TextBlock)
    assert text == plain.content[0].text


THOUGHTS = """
scenes:
  - reply:
      thinking: Let me see.
      text: Two at once.
      tools: [{name: weather, arguments: {city: A}}, {name: weather, arguments: {city: B}}]
      usage: {input: 100, output: 20, cached: 40, cache_write: 10, reasoning: 5}
"""


def test_thinking_parallel_calls_and_cached_tokens_reach_anthropic(start: Callable[..., Any]) -> None:
    with anthropic.Anthropic(base_url=start(THOUGHTS).url, api_key="k") as client:
        plain = client.messages.create(model="m", max_tokens=50, messages=[HELLO], tools=[ANTHROPIC_TOOL])
        with client.messages.stream(model="m", max_tokens=50, messages=[HELLO], tools=[ANTHROPIC_TOOL]) as stream:
            streamed = stream.get_final_message()
    for answer in (plain, streamed):
        assert [block.type for block in answer.content] == ["thinking", "text", "tool_use", "tool_use"]
        calls = [block for block in answer.content if isinstance(block, anthropic.types.ToolUseBlock)]
        assert [call.input for call in calls] == [{"city": "A"}, {"city": "B"}]
        assert len({call.id for call in calls}) == 2
        usage = answer.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (50, 40, 10)


def test_parallel_calls_and_cached_tokens_reach_openai(start: Callable[..., Any]) -> None:
    with openai.OpenAI(base_url=f"{start(THOUGHTS).url}/v1", api_key="k") as client:
        plain = client.chat.completions.create(model="m", messages=[HELLO], tools=[OPENAI_TOOL])
        with client.chat.completions.stream(
            model="m", messages=[HELLO], tools=[OPENAI_TOOL], stream_options={"include_usage": True}
        ) as stream:
            streamed = stream.get_final_completion()
    for answer in (plain, streamed):
        calls = answer.choices[0].message.tool_calls or []
        assert [call.function.arguments for call in calls if call.type == "function"] == [
            '{"city": "A"}',
            '{"city": "B"}',
        ]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 100
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == 40


@pytest.mark.parametrize(
    ("model", "refusal"),
    [
        ("fault-400", openai.BadRequestError),
        ("fault-401", openai.AuthenticationError),
        ("fault-404", openai.NotFoundError),
        ("fault-409", openai.ConflictError),
        ("fault-429", openai.RateLimitError),
        ("fault-500", openai.InternalServerError),
        ("fault-503", openai.InternalServerError),
        ("no-such-model", openai.NotFoundError),
    ],
)
def test_openai_raises_its_own_error_for_each_status(
    openai_client: openai.OpenAI, model: str, refusal: type[openai.APIStatusError]
) -> None:
    with pytest.raises(refusal) as raised:
        openai_client.chat.completions.create(model=model, messages=[HELLO])
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("model", "refusal", "kind"),
    [
        ("fault-401", anthropic.AuthenticationError, "authentication_error"),
        ("fault-429", anthropic.RateLimitError, "rate_limit_error"),
        ("fault-529", anthropic.InternalServerError, "overloaded_error"),
        ("no-such-model", anthropic.NotFoundError, "not_found_error"),
    ],
)
def test_anthropic_raises_its_own_error_for_each_status(
    anthropic_client: anthropic.Anthropic, model: str, refusal: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(refusal) as raised:
        anthropic_client.messages.create(model=model, max_tokens=5, messages=[HELLO])
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.request_id


def test_an_error_event_in_mid_stream_raises_in_both_packages(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    with pytest.raises(openai.APIError):
        list(openai_client.chat.completions.create(model="fault-error-event", messages=[HELLO], stream=True))
    with pytest.raises(anthropic.APIError):
        list(anthropic_client.messages.create(model="fault-error-event", max_tokens=5, messages=[HELLO], stream=True))
