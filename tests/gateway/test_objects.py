"""Objects that a provider keeps, through the doors of two containers: what one made does not exist for the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import openai
import pytest
from tests.gateway.conftest import OTHER, SECRET, UUID, Start, Yard, until
from tests.gateway.judges import NEVER
from tests.gateway.stand_in import stand_in

from bawn.errors import Fault
from bawn.gateway.settings import Allow, Limits
from bawn.terms.event import Event
from bawn.terms.exchange import Endpoint, Usage

ALL = Allow(
    models=("*",),
    hosted_tools=("store", "background"),
    objects=("responses", "conversations", "files", "vector_stores", "batches"),
)


@dataclass
class Two:
    """A yard in which both containers may make objects, and their clients."""

    yard: Yard
    mine: openai.AsyncOpenAI
    theirs: openai.AsyncOpenAI
    mine_too: anthropic.AsyncAnthropic
    theirs_too: anthropic.AsyncAnthropic


@pytest.fixture
async def two(start: Start) -> AsyncIterator[Two]:
    yard = await start(allow=ALL)
    here, there = yard.url, f"http://127.0.0.1:{yard.other_port}"
    async with (
        openai.AsyncOpenAI(base_url=f"{here}/api/v1", api_key="container-dev", max_retries=0) as mine,
        openai.AsyncOpenAI(base_url=f"{there}/api/v1", api_key="container-other", max_retries=0) as theirs,
        anthropic.AsyncAnthropic(base_url=f"{here}/api", api_key="container-dev", max_retries=0) as mine_too,
        anthropic.AsyncAnthropic(base_url=f"{there}/api", api_key="container-other", max_retries=0) as theirs_too,
    ):
        yield Two(yard, mine, theirs, mine_too, theirs_too)


async def not_found(asked: Any) -> str:
    """The words by which an id is refused."""
    with pytest.raises(Exception, match=r"resource\.not_found|There is no object") as refused:
        await asked
    assert isinstance(refused.value, openai.NotFoundError | anthropic.NotFoundError)
    body: Any = refused.value.body
    assert body.get("error", body)["code"] == "resource.not_found"
    return str(body.get("error", body)["message"])


async def test_a_response_is_read_and_deleted_by_the_container_that_made_it_alone(two: Two) -> None:
    made = await two.mine.responses.create(model="scripted/echo", input="hello", store=True)
    assert (await two.mine.responses.retrieve(made.id)).output_text == "hello"
    again = await two.mine.responses.retrieve(made.id, include=["message.output_text.logprobs"])
    assert again.id == made.id
    items = await two.mine.responses.input_items.list(made.id)
    assert len(items.data) == 1
    for asked in (
        two.theirs.responses.retrieve(made.id),
        two.theirs.responses.delete(made.id),
        two.theirs.responses.cancel(made.id),
        two.theirs.responses.input_items.list(made.id),
        two.theirs.responses.create(model="scripted/echo", input="more", previous_response_id=made.id),
    ):
        said = await not_found(asked)
        assert said.replace(made.id, "resp_x") == await not_found(two.mine.responses.retrieve("resp_x"))
    await two.mine.responses.delete(made.id)
    assert two.yard.makers.made == {}
    await not_found(two.mine.responses.retrieve(made.id))


async def ids(pages: Any) -> list[str]:
    return [each.id async for each in pages]


async def test_files_of_both_wires_belong_to_their_container(two: Two) -> None:
    for mine, theirs in ((two.mine.files, two.theirs.files), (two.mine_too.beta.files, two.theirs_too.beta.files)):
        more: dict[str, Any] = {"purpose": "user_data"} if mine is two.mine.files else {}
        here: Any = mine
        there: Any = theirs
        first = await here.upload(file=("a.txt", b"one")) if not more else await here.create(file=b"one", **more)
        other = await there.upload(file=("b.txt", b"two")) if not more else await there.create(file=b"two", **more)
        assert first.id != other.id
        assert await ids(await here.list()) == [first.id]
        assert await ids(await there.list()) == [other.id]
        content = await (here.content(first.id) if more else here.download(first.id))
        assert (content.read() if more else await content.read()) == b"one"
        retrieve = here.retrieve if more else here.retrieve_metadata
        assert (await retrieve(first.id)).id == first.id
        for asked in (
            retrieve(other.id),
            here.content(other.id) if more else here.download(other.id),
            here.delete(other.id),
        ):
            await not_found(asked)
        await here.delete(first.id)
        assert await ids(await here.list()) == []
        assert await ids(await there.list()) == [other.id]
    made = [dict(event.detail)["kind"] for event in two.yard.record.of("object.made")]
    assert made == ["file"] * 4
    assert len(two.yard.record.of("object.ended")) == 2
    opened = two.yard.record.of("call.opened")
    assert all(dict(event.detail)["object.call"] for event in opened)
    settled = await two.yard.settled()
    assert (settled.endpoint, settled.outcome, settled.cost_usd) == (Endpoint.FILES, "ok", Decimal(0))


async def test_a_list_is_followed_until_the_page_is_full_of_what_is_owned(two: Two) -> None:
    mine: list[str] = []
    for number in range(8):
        mine.insert(0, (await two.mine.files.create(file=b"%d" % number, purpose="user_data")).id)
        await two.theirs.files.create(file=b"x%d" % number, purpose="user_data")
    page = await two.mine.files.list(limit=3)
    assert [each.id for each in page.data] == mine[:3]
    assert page.has_more is True
    rest = await two.mine.files.list(limit=3, after=page.data[-1].id)
    assert [each.id for each in rest.data] == mine[3:6]
    assert await ids(await two.mine.files.list(limit=3)) == mine
    whole = await two.mine.files.list(limit=8)
    assert whole.has_more is False
    foreign = (await two.theirs.files.list(limit=1)).data[0].id
    await not_found(two.mine.files.list(after=foreign))


async def test_conversations_and_vector_stores_belong_to_their_container(two: Two) -> None:
    talk = await two.mine.conversations.create(items=[{"role": "user", "content": "hello", "type": "message"}])
    assert (await two.mine.conversations.retrieve(talk.id)).id == talk.id
    await two.mine.conversations.items.create(talk.id, items=[{"role": "user", "content": "more", "type": "message"}])
    listed = await two.mine.conversations.items.list(talk.id, limit=1)
    assert len(listed.data) == 1
    assert len(await ids(two.mine.conversations.items.list(talk.id, limit=1))) == 2
    await two.mine.responses.create(model="scripted/echo", input="so", conversation=talk.id)
    file = await two.mine.files.create(file=b"words of mine", purpose="user_data")
    store = await two.mine.vector_stores.create(name="http://a.name/is.text", file_ids=[file.id])
    assert [each.id for each in (await two.mine.vector_stores.list()).data] == [store.id]
    found = await two.mine.vector_stores.search(store.id, query="words")
    assert [each.file_id for each in found.data] == [file.id]
    foreign = await two.theirs.files.create(file=b"words of theirs", purpose="user_data")
    theirs = await two.theirs.vector_stores.create(name="theirs")
    for asked in (
        two.theirs.conversations.retrieve(talk.id),
        two.theirs.conversations.update(talk.id, metadata={"a": "b"}),
        two.theirs.conversations.delete(talk.id),
        two.theirs.conversations.items.create(talk.id, items=[{"role": "user", "content": "x"}]),
        two.theirs.responses.create(model="scripted/echo", input="so", conversation=talk.id),
        two.theirs.vector_stores.retrieve(store.id),
        two.theirs.vector_stores.search(store.id, query="words"),
        two.theirs.vector_stores.files.create(store.id, file_id=foreign.id),
        two.theirs.vector_stores.delete(store.id),
        two.mine.vector_stores.create(file_ids=[file.id, foreign.id]),
        two.mine.vector_stores.files.create(store.id, file_id=foreign.id),
        two.mine.vector_stores.files.retrieve(foreign.id, vector_store_id=store.id),
        two.mine.vector_stores.files.retrieve(file.id, vector_store_id=theirs.id),
        two.mine.conversations.create(items=[{"type": "item_reference", "id": "msg_1"}]),
        two.mine.responses.create(
            model="scripted/echo", input="x", tools=[{"type": "file_search", "vector_store_ids": [theirs.id]}]
        ),
    ):
        with pytest.raises((openai.NotFoundError, openai.PermissionDeniedError)):
            await asked
    await two.mine.vector_stores.files.delete(file.id, vector_store_id=store.id)
    await two.mine.vector_stores.delete(store.id)
    await two.mine.conversations.delete(talk.id)
    assert {uuid for (_, name), uuid in two.yard.makers.made.items() if name in (talk.id, store.id)} == set()


async def test_what_would_be_fetched_for_a_conversation_is_refused(two: Two) -> None:
    picture: Any = {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.example/a.png"}]}
    with pytest.raises(openai.PermissionDeniedError, match="fetch"):
        await two.mine.conversations.create(items=[picture])
    with pytest.raises(openai.PermissionDeniedError, match="not known here"):
        await two.mine.conversations.create(extra_body={"webhook": "x"})


async def test_a_family_that_is_not_allowed_looks_like_an_unknown_path(start: Start) -> None:
    yard = await start(allow=Allow(models=("*",), objects=("files",)))
    async with yard.client() as client:
        for method, path in (("GET", "responses/resp_1"), ("POST", "conversations"), ("GET", "vector_stores")):
            there = await client.request(method, f"/v1/{path}", json={} if method == "POST" else None)
            nowhere = await client.request(method, "/v1/nowhere", json={} if method == "POST" else None)
            assert there.status_code == 404
            assert there.json()["error"] == nowhere.json()["error"]
        assert (await client.get("/v1/batches")).json()["error"]["code"] == "http.unknown_path"
    causes = [refusal.cause for refusal in yard.books.refusals]
    assert "allow.objects: [responses]" in causes[0]
    assert yard.record.of("call.opened") == []


@pytest.mark.parametrize(
    "path",
    [
        "files/file-1/", "files/file-1%2fcontent", "files/..%2ffile-1", "files/file-1/..", "files/./file-1",
        "files//file-1", "files/file-1/content/x", "files/file-1;x", "files/file.1", "Files/file-1", "files/%66ile-1",
        "files/file-1?x=1", "files/file-1?", "files?after=a&after=b", "files?after=../x", "files?provider=keyed%00",
        "responses/resp_1?stream=true", "responses/resp_1/input_items/x", "organization/admin_api_keys",
        "messages/batches/b/../c", "files/file-1#x", "uploads", "fine_tuning/jobs", "assistants", "containers",
    ],
)  # fmt: skip
async def test_other_spellings_of_a_path_name_nothing(two: Two, path: str) -> None:
    two.yard.makers.made["scripted", "file-1"] = two.yard.registry.now.container.uuid
    reader, writer = await asyncio.open_connection("127.0.0.1", two.yard.port)
    writer.write(
        f"GET /v1/{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer container-dev\r\nconnection: close\r\n\r\n".encode()
    )
    head = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n")[0]
    writer.close()
    assert head.split()[1] in (b"404", b"400", b"405")
    assert two.yard.record.of("call.opened") == []


async def test_the_provider_is_the_one_that_is_named_or_the_default(two: Two) -> None:
    made = await two.mine.files.create(file=b"x", purpose="user_data", extra_headers={"x-bawn-provider": "keyed"})
    assert two.yard.makers.made == {("keyed", made.id): two.yard.registry.now.container.uuid}
    assert (await two.mine.files.retrieve(made.id)).id == made.id
    assert (await two.mine.files.list()).data == []
    assert await ids(await two.mine.files.list(extra_query={"provider": "keyed"})) == [made.id]
    with pytest.raises(openai.BadRequestError, match="nowhere"):
        await two.mine.files.list(extra_headers={"x-bawn-provider": "nowhere"})


async def test_a_provider_whose_models_are_not_allowed_keeps_nothing(start: Start) -> None:
    yard = await start(allow=Allow(models=("keyed/a", "keyless/*"), objects=("files",)))
    async with yard.client() as client:
        refused = await client.get("/v1/files")
        assert refused.json()["error"]["code"] == "request.wire_mismatch"
        assert (await client.get("/v1/files?provider=keyed")).status_code == 200
        yard.makers.made["scripted", "file-1"] = yard.registry.now.container.uuid
        assert (await client.get("/v1/files/file-1")).json()["error"]["code"] == "resource.not_found"


async def test_a_response_in_the_background_is_paid_for_once_when_its_end_is_read(two: Two) -> None:
    made = await two.mine.responses.create(model="scripted/echo", input="one two", store=True, background=True)
    assert (made.status, made.usage) == ("queued", None)
    first = await two.yard.settled(1)
    assert (first.usage, first.cost_usd) == (Usage(), Decimal(0))
    await not_found(two.theirs.responses.retrieve(made.id))
    read = await two.mine.responses.retrieve(made.id)
    assert read.status == "completed"
    assert read.usage is not None
    paid = await two.yard.settled(2)
    assert paid.usage is not None
    assert (paid.usage.input_tokens, paid.usage.output_tokens) == (read.usage.input_tokens, read.usage.output_tokens)
    assert (paid.model, paid.endpoint) == ("echo", "responses/{id}")
    await asyncio.gather(*(two.mine.responses.retrieve(made.id) for _ in range(5)))
    await two.yard.settled(7)
    assert [each.usage for each in two.yard.books.settlements[2:]] == [Usage()] * 5
    hosted = [dict(event.detail)["type"] for event in two.yard.record.of("hosted.allowed")]
    assert hosted == ["store", "background"]


async def test_a_response_that_is_deleted_unread_is_paid_for(two: Two) -> None:
    made = await two.mine.responses.create(model="scripted/echo", input="one two", store=True, background=True)
    await two.mine.responses.delete(made.id)
    paid = await two.yard.settled(2)
    assert paid.usage is not None
    assert paid.usage.output_tokens == 2
    assert two.yard.makers.made == {}


async def test_a_response_in_the_background_is_not_streamed(two: Two) -> None:
    with pytest.raises(openai.BadRequestError, match="background"):
        await two.mine.responses.create(model="scripted/echo", input="x", store=True, background=True, stream=True)


async def test_a_tool_call_that_is_read_again_is_judged_again(two: Two) -> None:
    tool: Any = {"type": "function", "name": "bash", "strict": False, "parameters": {"type": "object"}}
    asked: Any = [{"role": "user", "content": 'call bash with {"command": "ls"}'}]
    made = await two.mine.responses.create(
        model="scripted/agent", input=asked, tools=[tool], store=True, background=True
    )
    assert two.yard.record.of("tool.released") == []
    read = await two.mine.responses.retrieve(made.id)
    assert read.output[-1].type == "function_call"
    assert len(two.yard.record.of("tool.released")) == 1


async def test_a_tool_call_that_is_not_allowed_is_not_read_by_id_either(start: Start) -> None:
    call = {"id": "fc_1", "type": "function_call", "name": "bash", "call_id": "c", "arguments": "{}"}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [call]}
    items = {"object": "list", "data": [call], "has_more": False}
    async with stand_in(lambda method, path, _: (200, items if path.endswith("items") else answer)) as provider:
        yard = await start(provider=provider.address, allow=ALL, judges=(NEVER,))
        yard.makers.made["scripted", "resp_1"] = yard.makers.made["scripted", "conv_1"] = UUID
        async with yard.client() as client:
            for path in ("responses/resp_1", "responses/resp_1/input_items", "conversations/conv_1/items"):
                refused = await client.get(f"/v1/{path}")
                assert refused.json()["error"]["code"] == "tool.refused"
                assert "bash" not in refused.text


@pytest.mark.parametrize(
    "said",
    [
        {}, {"id": None}, {"id": 5}, {"id": ""}, {"id": "a/b"}, {"id": "../x"}, {"id": "file-of-other"},
        b"no json", b'{"id":"file-1","id":"file-2"}', [], b"",
    ],
)  # fmt: skip
async def test_a_provider_that_does_not_say_what_it_made_made_nothing(start: Start, said: Any) -> None:
    async with stand_in(lambda *_: (200, said)) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "file-of-other"] = OTHER
        async with yard.client() as client:
            refused = await client.post("/v1/files", files={"file": ("a", b"x")}, data={"purpose": "user_data"})
            assert refused.json()["error"]["code"] == "upstream.broken"
            assert "file-of-other" not in refused.text
        assert yard.makers.made == {("scripted", "file-of-other"): OTHER}


async def test_a_provider_that_answers_with_the_object_of_another_is_not_passed_on(start: Start) -> None:
    async with stand_in(lambda *_: (200, {"id": "file-of-other", "secret": "theirs", "deleted": True})) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "file-of-other"] = OTHER
        yard.makers.made["scripted", "file-1"] = UUID
        async with yard.client() as client:
            for method in ("GET", "DELETE"):
                refused = await client.request(method, "/v1/files/file-1")
                assert refused.json()["error"]["code"] == "upstream.broken"
                assert "theirs" not in refused.text
        assert yard.makers.made["scripted", "file-1"] == UUID


async def test_a_list_without_end_is_followed_for_a_while(start: Start) -> None:
    def page(method: str, path: str, body: bytes) -> tuple[int, Any]:
        return 200, {"object": "list", "data": [{"id": "file-x"}], "has_more": True}

    async with stand_in(page) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "file-1"] = UUID
        yard.makers.kinds["scripted", "file-1"] = "file"
        async with yard.client() as client:
            refused = await client.get("/v1/files")
        assert refused.json()["error"]["code"] == "upstream.broken"
        assert len(provider.asked) == 50
        assert yard.ledger.running(UUID) == 0


async def test_what_cannot_be_claimed_is_not_told(two: Two) -> None:
    two.yard.makers.broken = True
    for asked in (
        two.mine.files.create(file=b"x", purpose="user_data"),
        two.mine.conversations.create(),
        two.mine.vector_stores.create(),
        two.mine.responses.create(model="scripted/echo", input="x", store=True),
    ):
        with pytest.raises(openai.InternalServerError) as refused:
            await asked
        said: Any = refused.value.body
        assert said["code"] == "store.unavailable"
    assert two.yard.makers.made == {}
    assert two.yard.ledger.running(UUID) == 0


def form(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(b"--b\r\ncontent-disposition: form-data; %b\r\n\r\n%b\r\n" % (h.encode(), d) for h, d in parts)
        + b"--b--\r\n"
    )


FILE = 'name="file"; filename="a"'
HEAD = (
    b"POST /v1/files HTTP/1.1\r\nhost: a\r\nauthorization: Bearer container-dev\r\n"
    b"content-type: multipart/form-data; boundary=b\r\n"
)


@pytest.mark.parametrize(
    "body",
    [
        form(("name=\"purpose\"", b"user_data")), form((FILE, b"x"), (FILE, b"y")), form(('name="file"', b"x")),
        form((FILE, b"x"), ('name="other"', b"y")), form((FILE, b"x"), ('name="purpose"', b"y" * 300)),
        form((FILE, b"x"), ('name="purpose"; filename="b"', b"y")), form((FILE, b"x"))[:-6], b"", b"{}",
        form((FILE, b"x")) + b"--b\r\n",
    ],
)  # fmt: skip
async def test_an_upload_that_is_not_one_file_never_becomes_a_body(start: Start, body: bytes) -> None:
    async with stand_in(lambda *_: (200, {"id": "file-1"})) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        async with yard.client() as client:
            kind = {"content-type": "multipart/form-data; boundary=b"}
            refused = await client.post("/v1/files", content=body, headers=kind)
        assert refused.json()["error"]["code"] == "request.invalid"
        assert provider.asked == []
        assert yard.makers.made == {}


async def test_an_upload_passes_byte_for_byte_and_is_not_held(start: Start) -> None:
    whole = form(('name="purpose"', b"user_data"), (FILE, b"0123456789abcdef" * 2**18))
    async with stand_in(lambda *_: (200, {"id": "file-1"})) as provider:
        yard = await start(provider=provider.address, allow=ALL, limits=Limits(body_bytes=1024, bodies_bytes=1024))
        async with yard.client() as client:
            kind = {"content-type": "multipart/form-data; boundary=b"}
            assert (await client.post("/v1/files", content=whole, headers=kind)).status_code == 200
        assert provider.bodies == [whole]


@pytest.mark.parametrize("how", ["cut", "huge", "stopped"])
async def test_an_upload_that_does_not_end_leaves_nothing(start: Start, how: str) -> None:
    async with stand_in(lambda *_: (200, {"id": "file-1"})) as provider:
        yard = await start(provider=provider.address, allow=ALL, limits=Limits(upload_bytes=2**20))
        reader, writer = await asyncio.open_connection("127.0.0.1", yard.port)
        part = form((FILE, b"x" * 2**19))[:-7]
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(part), part))
        await until(lambda: provider.received > 0)
        match how:
            case "cut":
                writer.transport.abort()
            case "huge":
                writer.write(b"%x\r\n%b\r\n" % (2**20, b"x" * 2**20))
                assert b"http.body_too_large" in await asyncio.wait_for(reader.read(), 5)
            case _:
                yard.registry.change(ai=False)
                assert b"call.revoked" in await asyncio.wait_for(reader.read(), 5)
        settled = await yard.settled()
        writer.transport.abort()
        assert settled.outcome in ("client_left", "refused", "revoked")
        assert provider.asked == []
        assert yard.makers.made == {}
        assert yard.ledger.running(UUID) == 0


async def test_the_content_of_a_file_is_passed_on_without_the_key(start: Start) -> None:
    content = (b"x" * 70_000 + SECRET.encode()) * 20
    async with stand_in(lambda *_: (200, content)) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["keyed", "file-1"] = UUID
        async with yard.client() as client:
            given = await client.get("/v1/files/file-1/content")
        assert given.content == content.replace(SECRET.encode(), b"[redacted]")
        assert given.headers["content-type"] == "application/octet-stream"


async def test_what_is_fetched_for_a_call_has_a_record_of_its_own(start: Start) -> None:
    yard = await start(allow=Allow(models=("*",), hosted_tools=("web_search",), url_fetches=True))
    picture = {"type": "image_url", "image_url": {"url": "https://user:pw@x.example/a.png?secret"}}
    asked = {
        "model": "scripted/echo",
        "messages": [{"role": "user", "content": [picture, picture, {"type": "text", "text": "hello"}]}],
        "tools": [{"type": "web_search"}],
    }
    async with yard.client() as client:
        assert (await client.post("/v1/chat/completions", json=asked)).status_code == 200
    names = [event.event for event in yard.record.events]
    assert names.index("call.opened") < names.index("hosted.allowed") < names.index("call.settled")
    said = [dict(event.detail) for event in yard.record.of("hosted.allowed")]
    assert said[0]["type"] == "web_search"
    assert said[1] == {"type": "fetch", "field": said[1]["field"], "host": "x.example"}
    assert said[1]["field"].endswith(".image_url.url")
    assert len(said) == 2


async def test_nothing_is_fetched_when_that_cannot_be_recorded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = await start(allow=Allow(models=("*",), url_fetches=True))
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    real = yard.record.record

    async def record(event: Event) -> str:
        if event.event == "hosted.allowed":
            raise Fault("audit.unavailable", "This cannot be recorded now.")
        return await real(event)

    monkeypatch.setattr(yard.record, "record", record)
    async with yard.client() as client:
        refused = await client.post(
            "/v1/chat/completions",
            json={"model": "scripted/echo", "messages": [{"role": "user", "content": [picture]}]},
        )
    assert refused.json()["error"]["code"] == "audit.unavailable"


async def test_a_key_against_repeats_is_another_one_for_each_container(start: Start) -> None:
    heads: list[str] = []
    async with stand_in(lambda *_: (200, {"id": f"conv_{len(heads)}"}), heads) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        for port, name in ((yard.port, "dev"), (yard.port, "dev"), (yard.other_port, "other")):
            asked = {"authorization": f"Bearer container-{name}", "idempotency-key": "same"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=asked, trust_env=False) as client:
                assert (await client.post("/v1/conversations", json={})).status_code == 200
    keys = [line for head in heads for line in head.splitlines() if line.startswith("idempotency-key:")]
    assert keys[0] == keys[1] != keys[2]
    assert "same" not in keys[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_that_is_said_to_be_that_of_another_is_not_given(start: Start, stream: bool) -> None:
    answer = {
        "id": "resp_other", "object": "response", "status": "completed", "model": "m", "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    async with stand_in(lambda *_: (200, answer)) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "resp_other"] = OTHER
        async with yard.client() as client:
            refused = await client.post(
                "/v1/responses", json={"model": "scripted/m", "input": "x", "store": True, "stream": stream}
            )
        assert refused.json()["error"]["code"] == "upstream.broken"
        assert yard.makers.made == {("scripted", "resp_other"): OTHER}


async def test_a_response_that_cannot_be_deleted_yet_is_still_paid_for_when_it_is_read(start: Start) -> None:
    answer: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "model": "m"}

    def answers(method: str, path: str, body: bytes) -> tuple[int, Any]:
        return (409, {"error": {"message": "not yet"}}) if method == "DELETE" else (200, answer)

    async with stand_in(answers) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "resp_1"] = UUID
        yard.makers.kinds["scripted", "resp_1"] = "response+owed"
        async with yard.client() as client:
            assert (await client.delete("/v1/responses/resp_1")).status_code == 409
            answer |= {"status": "completed", "usage": {"input_tokens": 7, "output_tokens": 8}}
            assert (await client.get("/v1/responses/resp_1")).status_code == 200
        settled = await yard.settled(2)
        assert settled.usage == Usage(7, 8)
        assert yard.books.settlements[0].usage == Usage()


async def test_a_response_that_is_broken_off_used_nobody_knows_what(start: Start) -> None:
    answer = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "deleted": True}
    async with stand_in(lambda *_: (200, answer)) as provider:
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "resp_1"] = UUID
        yard.makers.kinds["scripted", "resp_1"] = "response+owed"
        async with yard.client() as client:
            assert (await client.delete("/v1/responses/resp_1")).status_code == 200
        settled = await yard.settled()
        assert (settled.usage, settled.cost_usd) == (None, None)


async def test_a_reading_is_repeated_on_a_connection_that_was_closed_and_nothing_else_needs_to_be(start: Start) -> None:
    async with stand_in(lambda *_: (200, {"id": "file-1", "deleted": True})) as provider:
        provider.once = True
        yard = await start(provider=provider.address, allow=ALL)
        yard.makers.made["scripted", "file-1"] = UUID
        async with yard.client() as client:
            for method in ("GET", "GET", "DELETE"):
                assert (await client.request(method, "/v1/files/file-1")).status_code == 200
        assert [method for method, _ in provider.asked] == ["GET", "GET", "DELETE"]
