"""Equal questions are answered from memory; nothing else is, and nothing that should not be."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.transforms.calls import DEV, FOREIGN, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, chat_document, plain, stream, text_of
from tests.transforms.driving import OK, drive

from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.stages.stage import Given
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.principal import Container
from bawn.transforms.cache import HIT, NOTE, Cache, CacheStage, forget
from bawn.transforms.counts import Counts
from bawn.transforms.entries import Entries
from bawn.transforms.entry_file import EntryFile
from bawn.transforms.questions import IGNORED

CALL = {"id": "t1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
EMBEDDED = b'{"object":"list","data":[],"model":"demo","usage":{"prompt_tokens":3,"total_tokens":3}}'


def resolve(name: str) -> str:
    if name == "gone":
        raise Fault("request.unknown_model", "No.")
    return {"alias": "scripted/demo"}.get(name, name)


class Yard:
    """A cache, and questions to it."""

    def __init__(self, kept: Entries | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.entries = kept if kept is not None else Entries()
        self.counts = Counts()
        made = Cache.model_validate(settings)
        self.stage = CacheStage(made, self.entries, chat_answers, resolve, self.clock, self.counts)

    def asked(self, body: dict[str, Any], container: Container = DEV, **more: Any) -> Asked:
        return asked(body, container=container, read=chat_document, **more)

    async def call(self, body: dict[str, Any], answer: bytes = plain("hi"), **more: Any) -> Given | None:
        ending = more.pop("ending", OK)
        given, _ = await drive(self.stage, self.asked(body, **more), answer, ending)
        return given

    async def hits(self, first: dict[str, Any], second: dict[str, Any], answer: bytes = plain("hi")) -> bool:
        assert await self.call(first, answer) is None
        return await self.call(second, answer) is not None


async def test_an_equal_question_gets_the_answer_again_marked_and_free() -> None:
    yard = Yard()
    assert await yard.call(chat()) is None
    again = yard.asked(chat())
    given = await yard.stage.request(again)
    assert given == Given(plain("hi"), headers=(HIT,), free=True)
    assert again.notes == [NOTE]
    assert yard.counts.all() == {"hits": 1, "kept": 1, "misses": 1, "saved_tokens": 15}


@pytest.mark.parametrize(
    "other",
    [
        chat("hello!"),
        chat(max_tokens=5),
        chat(seed=1),
        chat(tools=[{"type": "function", "function": {"name": "ls"}}]),
        chat(response_format={"type": "json_object"}),
        {**chat(), "model": "scripted/other"},
    ],
)
async def test_another_question_is_asked_of_the_model(other: dict[str, Any]) -> None:
    assert not await Yard().hits(chat(), other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "me"),
        ("metadata", {"a": "b"}),
        ("prompt_cache_key", "k"),
        ("prompt_cache_retention", "24h"),
        ("safety_identifier", "s"),
    ],
)
async def test_what_cannot_change_the_answer_makes_no_other_question(name: str, value: Any) -> None:
    assert name in IGNORED
    assert await Yard().hits(chat(), chat(**{name: value}))


async def test_two_names_of_one_model_are_one_question() -> None:
    assert await Yard().hits(chat(), {**chat(), "model": "alias"})


async def test_a_model_that_is_not_there_is_left_to_who_refuses_it() -> None:
    assert await Yard().call({**chat(), "model": "gone"}) is None


@pytest.mark.parametrize(
    ("share", "container", "hit"),
    [
        ("container", TEST, False),
        ("project", TEST, True),
        ("project", FOREIGN, False),
        ("all", FOREIGN, True),
    ],
)
async def test_answers_are_shared_only_as_far_as_was_said(share: str, container: Container, hit: bool) -> None:
    yard = Yard(share=share)
    await yard.call(chat())
    assert (await yard.call(chat(), container=container) is not None) is hit


async def test_betas_of_a_header_make_another_question() -> None:
    yard = Yard()
    body = {"model": "scripted/demo", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
    form: dict[str, Any] = {"name": WireName.ANTHROPIC, "endpoint": Endpoint.MESSAGES}
    one = yard.asked(body, headers=((b"anthropic-beta", b"x-2025-01-01"),), **form)
    two = yard.asked(body, headers=((b"anthropic-beta", b"y-2025-01-01"),), **form)
    none = [await yard.stage.request(each) for each in (one, two)]
    keys = {yard.stage.view(each).question.key for each in (one, two)}  # type: ignore[union-attr]
    assert none == [None, None]
    assert len(keys) == 2


async def test_an_answer_is_given_for_its_time_only() -> None:
    yard = Yard(ttl_seconds=60)
    await yard.call(chat())
    yard.clock.forward(seconds=59)
    assert await yard.call(chat()) is not None
    yard.clock.forward(seconds=2)
    assert await yard.call(chat()) is None


@pytest.mark.parametrize(
    ("body", "answer", "change"),
    [
        (chat(temperature=0.7), plain("hi"), {}),
        (chat(n=2), plain("hi"), {}),
        (chat(store=True), plain("hi"), {}),
        (chat(), plain("cut", finish="length"), {}),
        (chat(), plain("", finish="content_filter"), {}),
        (chat(), plain("", calls=[CALL], finish="tool_calls"), {}),
        (chat(), b"not an answer", {}),
        (chat(), plain("hi"), {"status": 429}),
        (chat(), plain("hi"), {"outcome": "client_left"}),
        (chat(stream=True), stream("cut").removesuffix(b"data: [DONE]\n\n")[:-30], {}),
        (chat(stream=True), stream("cut", finish="length"), {}),
    ],
)
async def test_what_may_not_be_given_again_is_not(body: dict[str, Any], answer: bytes, change: dict[str, Any]) -> None:
    yard = Yard()
    await yard.call(body, answer, ending=structs.replace(OK, **change))
    assert len(yard.entries) == 0
    assert await yard.call(body, answer) is None


@pytest.mark.parametrize(
    "messages",
    [
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "t1", "content": "b"},
        ],
    ],
)
async def test_turns_that_use_tools_are_answered_from_memory_only_when_asked_for(messages: list[Any]) -> None:
    body = {"model": "scripted/demo", "messages": messages}
    assert not await Yard().hits(body, body)
    assert await Yard(tools=True).hits(body, body)
    calling = plain("", calls=[CALL], finish="tool_calls")
    assert await Yard(tools=True).hits(chat(), chat(), calling)


async def test_what_was_kept_of_tools_is_not_given_once_that_is_not_wanted_any_more() -> None:
    yard = Yard(tools=True)
    await yard.call(chat(), plain("", calls=[CALL], finish="tool_calls"))
    assert await Yard(yard.entries).call(chat()) is None


async def test_chance_can_be_given_again_when_asked_for() -> None:
    assert await Yard(any_temperature=True).hits(chat(temperature=0.7), chat(temperature=0.7))
    assert await Yard().hits(chat(temperature=0), chat(temperature=0))


async def test_a_stream_comes_again_as_the_same_stream() -> None:
    yard = Yard()
    answer = stream("hel", "lo", usage=False)
    await yard.call(chat(stream=True), answer)
    given = await yard.call(chat(stream=True))
    assert given is not None
    assert given.data == answer


async def test_a_plain_question_and_a_streamed_one_share_their_answer() -> None:
    told: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    yard = Yard()
    await yard.call(chat(), plain("hello"))
    streamed, quiet = await yard.call(chat(**told)), await yard.call(chat(stream=True))
    assert streamed is not None
    assert quiet is not None
    assert (text_of(streamed.data), b'"usage"' in streamed.data) == ("hello", True)
    assert (text_of(quiet.data), b'"usage"' in quiet.data) == ("hello", False)
    yard = Yard()
    await yard.call(chat(**told), stream("hel", "lo", usage=True))
    given = await yard.call(chat())
    assert given is not None
    said = json.loads(given.data)
    assert (said["choices"][0]["message"]["content"], said["usage"]["total_tokens"]) == ("hello", 15)


async def test_an_answer_that_tells_less_than_is_wanted_is_asked_anew() -> None:
    yard = Yard()
    await yard.call(chat(stream=True), stream("hello"))
    assert await yard.call(chat()) is None
    assert await yard.call(chat(stream=True)) is not None


async def test_embeddings_are_given_again_and_their_tokens_saved() -> None:
    yard = Yard()
    body = {"model": "scripted/demo", "input": "a"}
    assert await yard.call(body, EMBEDDED, endpoint=Endpoint.EMBEDDINGS) is None
    given = await yard.call(body, EMBEDDED, endpoint=Endpoint.EMBEDDINGS)
    assert given is not None
    assert given.data == EMBEDDED


async def test_a_client_can_want_a_fresh_answer_or_leave_no_trace() -> None:
    yard = Yard()
    await yard.call(chat(), headers=((b"cache-control", b"no-store"),))
    assert len(yard.entries) == 0
    await yard.call(chat(), plain("old"))
    assert await yard.call(chat(), plain("new"), headers=((b"cache-control", b"no-cache"),)) is None
    given = await yard.call(chat())
    assert given is not None
    assert given.data == plain("new")


async def test_memory_is_bounded_and_the_longest_unused_go_first() -> None:
    yard = Yard(entries=2)
    for text in ("a", "b"):
        await yard.call(chat(text))
    await yard.call(chat("a"))
    await yard.call(chat("c"))
    assert [await yard.call(chat(text)) is not None for text in ("a", "c")] == [True, True]
    assert len(yard.entries) == 2
    small = Yard(bytes=2**16, entry_bytes=2**20)
    for number in range(40):
        await small.call(chat(str(number)), plain("x" * 5000))
    assert small.entries.size <= 2**16
    assert 5 < len(small.entries) < 13
    big = Yard(entry_bytes=1024)
    await big.call(chat(), plain("x" * 2000))
    assert len(big.entries) == 0


async def test_answers_can_be_forgotten_by_who_brought_them_and_which_model_said_them() -> None:
    yard = Yard()
    for container in (DEV, TEST, FOREIGN):
        await yard.call(chat(), container=container)
    assert forget(yard.entries, model="scripted/other") == 0
    assert forget(yard.entries, container_uuid=DEV.uuid) == 1
    assert forget(yard.entries, project="shop") == 1
    assert forget(yard.entries) == 1
    assert (len(yard.entries), yard.entries.size) == (0, 0)


async def test_equal_questions_at_once_are_asked_once_where_that_is_wanted() -> None:
    yard = Yard(single_flight=True)
    first, others = yard.asked(chat()), [yard.asked(chat()) for _ in range(20)]
    assert await yard.stage.request(first) is None
    waiting = [asyncio.ensure_future(yard.stage.request(each)) for each in others]
    await asyncio.sleep(0.01)
    assert not any(each.done() for each in waiting)
    view = yard.stage.view(first)
    assert view is not None
    await view.whole(plain("hi"))
    yard.stage.over(first, OK)
    given = await asyncio.gather(*waiting)
    assert all(each is not None and each.data == plain("hi") for each in given)
    assert yard.counts["waited"] == 20


async def test_whoever_waits_asks_for_itself_when_the_first_fails_or_takes_too_long() -> None:
    yard = Yard(single_flight=True, wait_seconds=0.05)
    first, second, third = (yard.asked(chat()) for _ in range(3))
    await yard.stage.request(first)
    waiting = asyncio.ensure_future(yard.stage.request(second))
    await asyncio.sleep(0)
    yard.stage.over(first, structs.replace(OK, status=502, outcome="upstream_error"))
    assert await waiting is None
    assert await asyncio.wait_for(yard.stage.request(third), 1) is None
    for each in (second, third):
        yard.stage.over(each, OK)
    fourth = yard.asked(chat())
    assert await yard.stage.request(fourth) is None
    yard.stage.over(fourth, OK)


async def test_kept_answers_outlive_a_restart_and_forgotten_ones_do_not(tmp_path: Path) -> None:
    file = EntryFile(tmp_path)
    file.start()
    yard = Yard(Entries(file.changed))
    for text in ("a", "b", "c"):
        await yard.call(chat(text))
    forget(yard.entries, project="nowhere")
    await yard.call(chat("b"), container=TEST)
    forget(yard.entries, container_uuid=TEST.uuid)
    await file.close()
    file = EntryFile(tmp_path)
    again = Yard(Entries())
    now = again.clock.now().timestamp()
    again.entries.load(await file.load(now), now)
    assert len(again.entries) == 3
    assert await again.call(chat("a")) is not None
    assert await again.call(chat("b"), container=TEST) is None
    assert await file.load(now + 10_000) == []
    assert (tmp_path / "answers.db").stat().st_mode & 0o077 == 0
    await file.close()


async def test_a_hit_takes_less_than_a_millisecond() -> None:
    yard = Yard()
    for size in (100, 2**20):
        body = chat("lorem ipsum " * (size // 12))
        await yard.call(body)
        times = []
        for _ in range(30):
            question = yard.asked(body)
            began = time.perf_counter()
            assert await yard.stage.request(question) is not None
            times.append(time.perf_counter() - began)
        middle = statistics.median(times) * 1000
        print(f"hit, {size} bytes: {middle:.3f} ms")
        assert middle < (0.5 if size == 100 else 10)
