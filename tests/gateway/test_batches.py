"""Batches: many calls in one, each permitted as a call, and paid for once."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from tests.gateway.conftest import OTHER, UUID, Start, Yard
from tests.gateway.judges import NEVER
from tests.gateway.stand_in import stand_in

from bawn.gateway import batches
from bawn.gateway.settings import Allow
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending
from bawn.terms.exchange import Endpoint

ALL = Allow(models=("scripted/echo", "scripted/agent"), objects=("files", "batches"))
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


def line(number: int, url: str = CHAT, **said: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "echo"}
    if url == RESPONSES:
        body |= {"input": f"say {number}", "store": False}
    else:
        body["messages"] = [{"role": "user", "content": f"say {number}"}]
    return {"custom_id": f"c{number}", "method": "POST", "url": url, "body": body | said}


def jsonl(*lines: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


def client_of(yard: Yard, name: str = "dev") -> openai.AsyncOpenAI:
    port = yard.port if name == "dev" else yard.other_port
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=f"container-{name}", max_retries=0)


async def made(client: openai.AsyncOpenAI, content: bytes, url: str = CHAT) -> Any:
    file = await client.files.create(file=content, purpose="batch")
    endpoint: Any = url
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


@pytest.mark.parametrize("url", [CHAT, RESPONSES])
async def test_a_batch_is_made_read_and_paid_for_once(start: Start, url: str) -> None:
    yard = await start(allow=ALL)
    async with client_of(yard) as client, client_of(yard, "other") as other:
        batch = await made(client, jsonl(line(1, url), line(2, url)), url)
        assert [each.id for each in (await client.batches.list()).data] == [batch.id]
        assert (await other.batches.list()).data == []
        for asked in (other.batches.retrieve(batch.id), other.batches.cancel(batch.id)):
            with pytest.raises(openai.NotFoundError):
                await asked
        done = await client.batches.retrieve(batch.id)
        assert done.status == "completed"
        assert done.output_file_id is not None
        with pytest.raises(openai.NotFoundError):
            await other.files.content(done.output_file_id)
        results = [json.loads(each) for each in (await client.files.content(done.output_file_id)).text.splitlines()]
        assert [each["custom_id"] for each in results] == ["c1", "c2"]
        await client.batches.retrieve(batch.id)
        await client.files.content(done.output_file_id)
        await yard.settled(8)
        paid = [each for each in yard.books.settlements if each.usage is not None and each.usage.input_tokens]
        assert [(each.model, each.endpoint, each.container_uuid) for each in paid] == [("echo", Endpoint.BATCHES, UUID)]
        assert paid[0].usage is not None
        assert paid[0].usage.output_tokens == 4
        assert len(yard.record.of("batch.settled")) == 1
        free = [each for each in yard.books.settlements if each is not paid[0]]
        assert {each.cost_usd for each in free} == {Decimal(0)}


class Counts:
    """A stage that knows which calls it has seen begin and not end."""

    name = "counts"

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.ended: list[tuple[str, str]] = []

    async def request(self, asked: Asked) -> None:
        if asked.exchange.endpoint is Endpoint.CHAT_COMPLETIONS:
            assert asked.header(b"cache-control") == b"no-store", "what was kept answers no line"
            assert asked.call not in self.open
            self.open.add(asked.call)

    def view(self, asked: Asked) -> None:
        """It looks at no answer."""

    def over(self, asked: Asked, ending: Ending) -> None:
        if asked.exchange.endpoint is Endpoint.CHAT_COMPLETIONS:
            self.open.remove(asked.call)
            self.ended.append((asked.call.rpartition(".")[2], ending.outcome))


async def test_for_stages_each_line_is_a_call_that_ends(start: Start) -> None:
    counts = Counts()
    yard = await start(allow=ALL, stages=(counts,))
    async with client_of(yard) as client:
        await made(client, jsonl(line(1), line(2)))
        await refused(client, jsonl(line(1), line(2, model="secret-model")))
    assert counts.ended == [("1", "ok"), ("2", "ok"), ("1", "ok"), ("2", "refused")]
    assert not counts.open


async def refused(client: openai.AsyncOpenAI, content: bytes, url: str = CHAT) -> Any:
    with pytest.raises(openai.APIStatusError) as found:
        await made(client, content, url)
    return found.value.body


LINES: dict[str, tuple[Any, str]] = {
    "a model of another": (line(3, model="secret-model"), "request.unknown_model"),
    "the name of another provider's model": (line(3, model="keyed/echo"), "request.unknown_model"),
    "a name of ours": (line(3, model="scripted/echo"), "request.unknown_model"),
    "no model": (line(3, model=""), "request.unknown_model"),
    "a search of the web": (line(3, web_search_options={}), "request.hosted_tool_refused"),
    "a tool of the provider": (line(3, tools=[{"type": "web_search"}]), "request.hosted_tool_refused"),
    "an unknown tool": (line(3, tools=[{"type": "teleport"}]), "request.unknown_tool_refused"),
    "a picture elsewhere": (
        line(3, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x.y/z"}}]}]),
        "request.fetch_refused",
    ),
    "a file of another": (
        line(3, messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-other"}}]}]),
        "resource.not_found",
    ),
    "a stream": (line(3, stream=True), "request.invalid"),
    "another path": (line(3, RESPONSES), "request.invalid"),
    "a path of files": (line(3) | {"url": "/v1/files"}, "request.invalid"),
    "another method": (line(3) | {"method": "DELETE"}, "request.invalid"),
    "one field more": (line(3) | {"headers": {"a": "b"}}, "request.invalid"),
    "no body": ({"custom_id": "c", "method": "POST", "url": CHAT}, "request.invalid"),
    "two readings": (b'{"custom_id":"c","body":{},"body":{},"method":"POST","url":"%b"}' % CHAT.encode(),
                     "request.malformed_json"),
    "no json": (b"{", "request.malformed_json"),
    "a list": (b"[]", "request.malformed_json"),
}  # fmt: skip


@pytest.mark.parametrize("story", LINES)
async def test_one_line_that_may_not_be_asked_ends_the_whole_batch(start: Start, story: str) -> None:
    yard = await start(allow=ALL)
    yard.makers.made["scripted", "file-of-other"] = OTHER
    bad, code = LINES[story]
    async with client_of(yard) as client:
        said = await refused(client, jsonl(line(1), line(2), bad))
        assert said["code"] == code
        assert "Line 3 of the batch" in said["message"]
        assert (await client.batches.list()).data == []


async def test_a_line_of_responses_has_to_say_that_nothing_is_kept(start: Start) -> None:
    yard = await start(allow=ALL)
    async with client_of(yard) as client:
        assert "store" in (await refused(client, jsonl(line(1, RESPONSES, store=True)), RESPONSES))["message"]
        assert "store" in (await refused(client, jsonl(line(1, RESPONSES, store=None)), RESPONSES))["message"]
        assert "no lines" in (await refused(client, b"\n\n"))["message"]
        assert (await refused(client, jsonl(line(1)), "/v1/images/generations"))["code"] == "request.invalid"


async def test_a_file_of_another_makes_no_batch(start: Start) -> None:
    yard = await start(allow=ALL)
    async with client_of(yard) as client, client_of(yard, "other") as other:
        file = await other.files.create(file=jsonl(line(1)), purpose="batch")
        with pytest.raises(openai.NotFoundError):
            await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


async def test_what_the_lines_of_a_batch_make_the_provider_do_is_recorded_before_it_is_made(start: Start) -> None:
    yard = await start(allow=Allow(models=("*",), objects=("files", "batches"), hosted_tools=("web_search",)))
    async with client_of(yard) as client:
        await made(client, jsonl(line(1), *(line(n, tools=[{"type": "web_search"}]) for n in range(5))))
    assert [dict(event.detail)["type"] for event in yard.record.of("hosted.allowed")] == ["web_search"]


TOOL = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}


async def test_a_tool_call_in_the_results_passes_the_gate(start: Start) -> None:
    yard = await start(allow=ALL, judges=(NEVER,))
    asked = [{"role": "user", "content": 'call bash with {"command": "ls"}'}]
    async with client_of(yard) as client:
        batch = await made(client, jsonl(line(1), line(2, model="agent", messages=asked, tools=[TOOL])))
        done = await client.batches.retrieve(batch.id)
        assert done.output_file_id is not None
        with pytest.raises(openai.APIConnectionError):
            await client.files.content(done.output_file_id)
    assert len(yard.record.of("tool.withheld")) == 1
    assert yard.books.refusals[-1].code == "tool.refused"


async def test_a_batch_of_messages_is_made_read_and_paid_for_once(start: Start) -> None:
    yard = await start(allow=ALL)
    params: Any = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "one two"}]}
    ways: dict[str, Any] = {"api_key": "container-dev", "max_retries": 0}
    async with (
        anthropic.AsyncAnthropic(base_url=yard.url, **ways) as client,
        anthropic.AsyncAnthropic(
            base_url=f"http://127.0.0.1:{yard.other_port}", api_key="container-other", max_retries=0
        ) as other,
    ):
        mine = client.messages.batches
        batch = await mine.create(requests=[{"custom_id": f"c{n}", "params": params} for n in range(3)])
        assert [each.id async for each in await mine.list()] == [batch.id]
        assert [each.id async for each in await other.messages.batches.list()] == []
        for asked in (other.messages.batches.retrieve(batch.id), other.messages.batches.delete(batch.id)):
            with pytest.raises(anthropic.NotFoundError):
                await asked
        done = await mine.retrieve(batch.id)
        assert done.processing_status == "ended"
        assert done.results_url == f"{yard.url}/v1/messages/batches/{batch.id}/results"
        assert (await mine.list()).data[0].results_url == done.results_url
        for _ in range(2):
            found = [each async for each in await mine.results(batch.id)]
            assert [each.custom_id for each in found] == ["c0", "c1", "c2"]
        await mine.delete(batch.id)
        paid = [each for each in yard.books.settlements if each.usage is not None and each.usage.input_tokens]
        assert [(each.model, each.usage.output_tokens) for each in paid if each.usage is not None] == [("echo", 6)]
        assert ("scripted", batch.id) not in yard.makers.made
        again = await mine.create(requests=[{"custom_id": "c", "params": params}])
        await mine.delete(again.id)
        assert len(yard.record.of("batch.settled")) == 2


@pytest.mark.parametrize(
    ("third", "code"),
    [
        ({"model": "secret"}, "request.unknown_model"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "request.hosted_tool_refused"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_b"}}]}]},
         "resource.not_found"),
        ({"stream": True}, "request.invalid"),
        ({"messages": []}, "request.invalid"),
    ],
)  # fmt: skip
async def test_one_request_that_may_not_be_asked_ends_the_batch_of_messages(
    start: Start, third: dict[str, Any], code: str
) -> None:
    yard = await start(allow=ALL)
    params = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "one two"}]}
    asked = [{"custom_id": f"c{n}", "params": params | (third if n == 2 else {})} for n in range(4)]
    async with yard.client() as client:
        said = await client.post("/v1/messages/batches", json={"requests": asked})
        assert said.json()["error"]["code"] == code
        assert "Line 3 of the batch" in said.json()["error"]["message"]
    assert yard.record.of("call.opened") == []


async def test_results_that_are_of_another_are_not_told(start: Start) -> None:
    batch = {"id": "batch_1", "endpoint": CHAT, "status": "completed", "output_file_id": "file-of-other"}
    async with stand_in(lambda *_: (200, batch)) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "batch_1"] = UUID
        yard.makers.made["scripted", "file-of-other"] = OTHER
        async with yard.client() as client:
            said = await client.get("/v1/batches/batch_1")
        assert said.json()["error"]["code"] == "upstream.broken"
        assert "file-of-other" not in said.text


async def test_results_that_cannot_be_read_are_not_told_and_are_looked_at_again(start: Start) -> None:
    batch = {"id": "batch_1", "endpoint": CHAT, "status": "completed", "output_file_id": "file-2"}
    answer = {"choices": [], "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    good = jsonl({"custom_id": "a", "response": {"status_code": 200, "body": answer}})
    given = [(200, b"no json\n"), (200, good[:-20]), (200, good)]

    def answers(method: str, path: str, body: bytes) -> tuple[int, Any]:
        return (200, batch) if "batches" in path else given.pop(0)

    async with stand_in(answers) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "batch_1"] = UUID
        async with yard.client() as client:
            for code in (502, 502, 200, 200):
                assert (await client.get("/v1/batches/batch_1")).status_code == code
        await yard.settled(5)
        paid = [each for each in yard.books.settlements if each.usage is not None and each.usage.input_tokens]
        assert [each.usage.output_tokens for each in paid if each.usage is not None] == [4]


async def test_a_batch_of_too_many_lines_or_bytes_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = await start(allow=ALL)
    async with client_of(yard) as client:
        for name in ("MOST_LINES", "MOST_BYTES"):
            with monkeypatch.context() as patched:
                patched.setattr(batches, name, 2)
                assert (await refused(client, jsonl(*map(line, range(5)))))["code"] == "request.invalid"
        assert (await client.batches.list()).data == []
