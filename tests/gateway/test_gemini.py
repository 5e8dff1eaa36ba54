"""Google's package speaks Gemini through a door, and gets what it gets without one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from tests.gateway.conftest import UUID, Start, Yard
from tests.gateway.judges import NEVER

from bawn.gateway.settings import Allow, ProviderKind
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given

BASH = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="bash",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"command": types.Schema(type=types.Type.STRING)}
            ),
        )
    ]
)
CALLED = 'call bash with {"command": "ls"}'
NO_AUTOMATIC = types.AutomaticFunctionCallingConfig(disable=True)


def client_of(url: str) -> genai.Client:
    return genai.Client(api_key="container-dev", http_options=types.HttpOptions(base_url=url))


@pytest.fixture
async def through(yard: Yard) -> AsyncIterator[Any]:
    async with client_of(yard.url).aio as client:
        yield client


@pytest.fixture
async def directly(scripted: Path) -> AsyncIterator[Any]:
    async with client_of(f"http://{(scripted / 'address').read_text()}").aio as client:
        yield client


_OF_THE_REQUEST = ("sdk_http_response", "response_id", "id")


def told(value: Any) -> dict[str, Any]:
    """Without what follows from the bytes and the path of a request."""
    said: dict[str, Any] = _plain(value.model_dump())
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _OF_THE_REQUEST}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def config(**more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        system_instruction="be kind",
        temperature=0.5,
        max_output_tokens=500,
        labels=None,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
            )
        ],
        tools=[BASH],
        automatic_function_calling=NO_AUTOMATIC,
        **more,
    )


@pytest.mark.parametrize("said", ["hello", CALLED])
async def test_an_answer_is_the_same_through_a_door(yard: Yard, through: Any, directly: Any, said: str) -> None:
    here = await through.models.generate_content(model="scripted/agent", contents=said, config=config())
    there = await directly.models.generate_content(model="agent", contents=said, config=config())
    assert told(here) == told(there)
    settled = await yard.settled()
    assert (settled.endpoint, settled.wire, settled.outcome) == ("generateContent", "gemini", "ok")
    assert settled.usage is not None
    assert settled.usage.input_tokens == there.usage_metadata.prompt_token_count
    assert settled.usage.output_tokens == there.usage_metadata.candidates_token_count


@pytest.mark.parametrize("said", ["one two three", CALLED])
async def test_a_stream_is_the_same_through_a_door(yard: Yard, through: Any, directly: Any, said: str) -> None:
    found = []
    for client, model in ((through, "scripted/agent"), (directly, "agent")):
        stream = await client.models.generate_content_stream(model=model, contents=said, config=config())
        found.append([told(chunk) async for chunk in stream])
    assert found[0] == found[1]
    assert found[0][-1]["candidates"][0]["finish_reason"] == types.FinishReason.STOP
    settled = await yard.settled()
    assert settled.outcome == "ok"
    assert settled.usage is not None
    assert settled.usage.output_tokens


async def test_a_provider_of_this_kind_is_called_by_its_own_paths(start: Start, scripted: Path) -> None:
    base = f"http://{(scripted / 'address').read_text()}/v1beta"
    yard = await start(kind=ProviderKind.GEMINI, provider=base)
    async with client_of(yard.url).aio as client:
        assert (await client.models.generate_content(model="scripted/echo", contents="hello")).text == "hello"
        stream = await client.models.generate_content_stream(model="scripted/echo", contents="one two")
        assert "".join([chunk.text or "" async for chunk in stream]) == "one two"
        assert (await client.models.count_tokens(model="scripted/echo", contents="one two")).total_tokens
        assert (await client.models.embed_content(model="scripted/echo", contents="one")).embeddings
        with pytest.raises(errors.ClientError, match="cannot stand"):
            await client.models.generate_content(model="scripted/a//b", contents="hello")
    await yard.settled(4)


async def test_models_that_are_named_in_any_form_are_reached(yard: Yard, through: Any) -> None:
    for model in ("scripted/echo", "models/scripted/echo", "default", "house", "scripted%2Fecho"):
        answer = await through.models.generate_content(model=model, contents="hello")
        assert answer.text == "hello", model
    await yard.settled(5)


async def test_a_tool_call_is_judged_and_answered(yard: Yard, through: Any) -> None:
    chat = through.chats.create(model="scripted/agent", config=config())
    answer = await chat.send_message(CALLED)
    (call,) = answer.function_calls
    assert (call.name, call.args) == ("bash", {"command": "ls"})
    report = await chat.send_message(types.Part.from_function_response(name="bash", response={"output": "a file"}))
    assert "a file" in report.text
    released = yard.record.of("tool.released")
    assert released
    assert dict(released[0].detail)["tool"] == "bash"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_call_that_is_not_allowed_does_not_come(start: Start, streamed: bool) -> None:
    yard = await start(judges=(NEVER,))
    async with client_of(yard.url).aio as client:
        if streamed:
            stream = await client.models.generate_content_stream(
                model="scripted/agent", contents=CALLED, config=config()
            )
            chunks = [chunk async for chunk in stream]
        else:
            chunks = [await client.models.generate_content(model="scripted/agent", contents=CALLED, config=config())]
    assert not any(chunk.function_calls for chunk in chunks)
    assert "it is never allowed" in "".join(chunk.text or "" for chunk in chunks), "the model was told"
    assert yard.record.of("tool.withheld")


async def test_counts_and_embeddings_are_the_same_through_a_door(yard: Yard, through: Any, directly: Any) -> None:
    found = []
    for client, model in ((through, "scripted/echo"), (directly, "echo")):
        counted = await client.models.count_tokens(model=model, contents="one two three")
        embedded = await client.models.embed_content(model=model, contents=["one", "two"])
        found.append((told(counted), told(embedded)))
    assert found[0] == found[1]
    assert found[0][0]["total_tokens"]
    assert len(found[0][1]["embeddings"]) == 2
    assert (await yard.settled(2)).endpoint == "batchEmbedContents"


async def test_the_models_of_a_container_are_listed_and_found(yard: Yard, through: Any) -> None:
    listed = [model.name async for model in await through.models.list()]
    assert listed == ["models/scripted/echo", "models/scripted/agent"]
    one = await through.models.get(model=listed[0])
    assert (one.name, one.display_name) == ("models/scripted/echo", "scripted/echo")
    with pytest.raises(errors.ClientError, match="There is no model"):
        await through.models.get(model="scripted/none")
    async with yard.client("") as client:
        answer = await client.get("/v1/models", headers={"x-goog-api-key": "container-dev"})
    assert answer.json()["models"][0]["name"] == "models/scripted/echo"


@pytest.mark.parametrize(
    ("tool", "code"),
    [
        (types.Tool(google_search=types.GoogleSearch()), "request.hosted_tool_refused"),
        (types.Tool(url_context=types.UrlContext()), "request.hosted_tool_refused"),
        (types.Tool(code_execution=types.ToolCodeExecution()), "request.hosted_tool_refused"),
    ],
)
async def test_tools_of_the_provider_are_refused(yard: Yard, through: Any, tool: types.Tool, code: str) -> None:
    with pytest.raises(errors.ClientError) as refused:
        await through.models.generate_content(
            model="scripted/echo", contents="hello", config=types.GenerateContentConfig(tools=[tool])
        )
    assert refused.value.code == 403
    assert refused.value.status == "PERMISSION_DENIED"
    assert code in str(refused.value.details)
    assert yard.books.settlements == []


async def test_files_are_fetched_or_owned(yard: Yard, through: Any) -> None:
    there = types.Part.from_uri(file_uri="https://x.example/a.png", mime_type="image/png")
    with pytest.raises(errors.ClientError, match="would fetch"):
        await through.models.generate_content(model="scripted/echo", contents=["hello", there])
    kept = types.Part.from_uri(file_uri="files/abc", mime_type="image/png")
    with pytest.raises(errors.ClientError, match="There is no object"):
        await through.models.generate_content(model="scripted/echo", contents=["hello", kept])
    yard.makers.made["scripted", "files/abc"] = UUID
    answer = await through.models.generate_content(model="scripted/echo", contents=["hello", kept])
    assert answer.text == "hello"


async def test_a_wrong_token_and_a_token_in_the_path_are_refused(yard: Yard) -> None:
    other = genai.Client(api_key="container-other", http_options=types.HttpOptions(base_url=yard.url))
    async with other.aio as client:
        with pytest.raises(errors.ClientError) as refused:
            await client.models.generate_content(model="scripted/echo", contents="hello")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    async with yard.client("") as plain:
        answer = await plain.post("/v1beta/models/scripted/echo:generateContent?key=AIza-very-secret", json={})
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert "x-goog-api-key" in answer.text
    assert "AIza" not in answer.text
    assert not any("AIza" in str(event) for event in yard.record.events)
    assert not any("AIza" in str(refusal) for refusal in yard.books.refusals)


async def test_code_that_nobody_asked_for_does_not_come(start: Start) -> None:
    """What the provider tells of a tool of its own passes where a request asked for it, and nowhere else."""
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
    body = {"contents": [{"parts": [{"text": "hello"}]}]}
    yard = await start(
        allow=Allow(models=("*",), hosted_tools=("codeExecution",)), stages=(Answers({"content": {"parts": [code]}}),)
    )
    async with yard.client() as client:
        path = "/v1beta/models/scripted/echo:generateContent"
        refused = await client.post(path, json=body)
        passed = await client.post(path, json={**body, "tools": [{"codeExecution": {}}]})
    assert refused.status_code == 502
    assert passed.json()["candidates"][0]["content"]["parts"] == [code]


class Answers:
    """A stage that answers itself."""

    name = "answers"

    def __init__(self, candidate: dict[str, Any]) -> None:
        self._candidate = candidate

    async def request(self, asked: Asked) -> Given:
        return Given(json.dumps({"candidates": [{**self._candidate, "finishReason": "STOP"}]}).encode())

    def view(self, asked: Asked) -> None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        """Nothing is kept."""
