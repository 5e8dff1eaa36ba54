"""The official package speaks OpenAI's other wires through a door, and gets what it gets without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.conftest import UUID, Start, Yard

from bawn.gateway.settings import Allow

TOOL: Any = {
    "type": "function", "name": "bash", "strict": False,
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
}  # fmt: skip


def client_of(yard: Yard) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{yard.url}/api/v1", api_key="container-dev", max_retries=0)


@pytest.fixture
async def through(yard: Yard) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(yard) as client:
        yield client


@pytest.fixture
async def directly(scripted: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    address = (scripted / "address").read_text()
    async with openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client:
        yield client


_OF_THE_REQUEST = ("id", "item_id", "created_at", "created", "store")


def told(value: Any) -> dict[str, Any]:
    """Without what follows from the bytes of a request, of which ours says `store` as well, or from the clock."""
    said: dict[str, Any] = _plain(value.model_dump())
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _OF_THE_REQUEST}
    return [_plain(item) for item in value] if isinstance(value, list) else value


async def test_a_response_is_the_same_through_a_door(
    yard: Yard, through: openai.AsyncOpenAI, directly: openai.AsyncOpenAI
) -> None:
    asked: dict[str, Any] = {"input": "hello", "instructions": "be kind", "tools": [TOOL]}
    here = await through.responses.create(model="scripted/echo", **asked)
    there = await directly.responses.create(model="echo", **asked)
    assert told(here) == told(there)
    assert here.output_text == "hello"
    settled = await yard.settled()
    assert (settled.endpoint, settled.wire, settled.outcome) == ("responses", "responses", "ok")
    assert settled.usage is not None
    assert there.usage is not None
    assert settled.usage.input_tokens == there.usage.input_tokens


async def test_a_streamed_response_is_the_same_through_a_door(
    yard: Yard, through: openai.AsyncOpenAI, directly: openai.AsyncOpenAI
) -> None:
    found = []
    for client, model in ((through, "scripted/echo"), (directly, "echo")):
        stream = await client.responses.create(model=model, input="one two three", stream=True)
        found.append([told(event) async for event in stream])
    assert found[0] == found[1]
    assert found[0][-1]["type"] == "response.completed"
    await yard.settled()


async def test_a_tool_call_of_a_response_is_judged_and_answered(yard: Yard, through: openai.AsyncOpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": 'call bash with {"command": "ls"}'}]
    async with through.responses.stream(model="scripted/agent", input=asked, tools=[TOOL]) as stream:
        async for _event in stream:
            pass
        answer = await stream.get_final_response()
    (call,) = (item for item in answer.output if item.type == "function_call")
    assert (call.name, call.arguments) == ("bash", '{"command": "ls"}')
    asked += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "a file"},
    ]
    report = await through.responses.create(model="scripted/agent", input=asked, tools=[TOOL])
    assert "a file" in report.output_text
    released = yard.record.of("tool.released")
    assert released
    assert dict(released[0].detail)["tool"] == "bash"


async def test_the_provider_keeps_nothing_unless_it_is_allowed(through: openai.AsyncOpenAI) -> None:
    client = through
    with pytest.raises(openai.PermissionDeniedError, match="store"):
        await client.responses.create(model="scripted/echo", input="hello", store=True)
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="scripted/echo", input="hello", previous_response_id="resp_of_somebody")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_provider_keeps_belongs_to_the_container_that_made_it(start: Start, stream: bool) -> None:
    yard = await start(allow=Allow(models=("*",), hosted_tools=("store",)))
    async with client_of(yard) as client:
        if stream:
            async with client.responses.stream(model="scripted/echo", input="hello", store=True) as events:
                made = (await events.get_final_response()).id
        else:
            made = (await client.responses.create(model="scripted/echo", input="hello", store=True)).id
        assert yard.makers.made == {("scripted", made): UUID}
        again = await client.responses.create(model="scripted/echo", input="more", previous_response_id=made)
        assert again.output_text == "more"
        yard.makers.made["scripted", made] = "somebody else"
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="scripted/echo", input="more", previous_response_id=made)


async def test_completions_are_the_same_through_a_door(
    yard: Yard, through: openai.AsyncOpenAI, directly: openai.AsyncOpenAI
) -> None:
    for client, model in ((through, "scripted/echo"), (directly, "echo")):
        whole = await client.completions.create(model=model, prompt="one two three")
        assert whole.choices[0].text == "one two three"
        parts = await client.completions.create(model=model, prompt="one two three", stream=True)
        assert "".join([part.choices[0].text async for part in parts if part.choices]) == "one two three"
    settled = await yard.settled(2)
    assert settled.usage is not None
    assert settled.usage.output_tokens == 3


async def test_moderations_pictures_and_ranks_pass(yard: Yard, through: openai.AsyncOpenAI) -> None:
    client = through
    judged = await client.moderations.create(model="scripted/echo", input=["peace", "attack"])
    assert [result.flagged for result in judged.results] == [False, True]
    drawn = await client.images.generate(model="scripted/echo", prompt="a yard")
    assert drawn.data
    assert drawn.data[0].b64_json
    async with yard.client() as plain:
        ranked = await plain.post(
            "/v1/rerank",
            json={"model": "scripted/echo", "query": "a wall", "documents": ["a door", "a wall"], "top_n": 1},
        )
    assert ranked.json()["results"] == [{"index": 1, "relevance_score": 1.0}]
    settled = await yard.settled(3)
    assert settled.endpoint == "rerank"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("moderations", {"input": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}),
        ("rerank", {"query": "x", "documents": [{"image": "https://x.example/a.png"}]}),
        ("images/generations", {"prompt": "x", "svg": {"model": "another"}}),
        ("completions", {"prompt": "x", "store": True}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.example/"}]}]}),
        ("responses", {"input": "x", "tools": [{"type": "web_search"}]}),
        ("responses", {"input": "x", "tools": [{"type": "levitate"}]}),
        ("responses", {"input": "x", "mystery": "https://x.example/"}),
    ],
)  # fmt: skip
async def test_ways_out_are_refused_on_every_path(yard: Yard, path: str, body: dict[str, Any]) -> None:
    async with yard.client() as client:
        answer = await client.post(f"/v1/{path}", json={"model": "scripted/echo", **body})
    assert answer.status_code == 403
    assert yard.books.settlements == []
