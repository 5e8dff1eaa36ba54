"""Questions that mean the same are answered from memory; those that only look alike are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs
from tests.transforms.calls import DEV, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, chat_document, plain, stream, text_of
from tests.transforms.driving import OK, drive

from bawn.errors import Fault
from bawn.stages.stage import Given
from bawn.terms.principal import Container
from bawn.transforms.cache import HIT
from bawn.transforms.counts import Counts
from bawn.transforms.semantic import Semantic, SemanticStage
from bawn.transforms.similar import Similar, exact_parts


class Yard:
    """Embeddings by words: a text points where its words point."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.similar = Similar()
        self.counts = Counts()
        self.asked: list[tuple[Container, str, str]] = []
        self.failing: BaseException | None = None
        self.delay = 0.0
        made = Semantic.model_validate({"model": "own/embed", "threshold": 0.8, **settings})
        self.stage = SemanticStage(
            made, self.similar, chat_answers, chat_document, str, self._embed, self.clock, self.counts
        )

    async def _embed(self, container: Container, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        (text,) = texts
        self.asked.append((container, model, text))
        await asyncio.sleep(self.delay)
        if self.failing is not None:
            raise self.failing
        numbers = [0.0] * 64
        for word in text.lower().replace("?", "").split():
            numbers[sum(word.encode()) % 64] += 1.0
        return [numbers]

    async def call(self, body: dict[str, Any], answer: bytes = plain("hi"), **more: Any) -> Given | None:
        ending = more.pop("ending", OK)
        given, _ = await drive(self.stage, asked(body, read=chat_document, **more), answer, ending)
        return given

    async def near(self, first: dict[str, Any], second: dict[str, Any], **more: Any) -> bool:
        assert await self.call(first) is None
        return await self.call(second, **more) is not None


ONE, SAME = "How do I sort a list in Python", "how do I sort a list in Python please?"


async def test_a_question_that_means_the_same_gets_the_answer_again_marked_and_free() -> None:
    yard = Yard()
    assert await yard.call(chat(ONE), plain("Use sorted.")) is None
    given = await yard.call(chat(SAME))
    assert given is not None
    assert (given.data, given.headers[0], given.free) == (plain("Use sorted."), HIT, True)
    assert yard.asked[0] == (DEV, "own/embed", ONE)
    assert yard.counts.all() == {"hits": 1, "kept": 1, "misses": 1, "saved_tokens": 15}


async def test_a_stream_and_a_plain_answer_are_one() -> None:
    yard = Yard()
    await yard.call(chat(ONE, stream=True), stream("Use ", "sorted."))
    given = await yard.call(chat(SAME, stream=True))
    assert given is not None
    assert text_of(given.data) == "Use sorted."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("open the port 8080 on this machine now", "open the port 8081 on this machine now"),
        ("delete the files in `src` of this project", "delete the files in `docs` of this project"),
        ("please do this with tests and in main", "please do this without tests and in main"),
        ('say "yes" to everybody in this room', 'say "no" to everybody in this room'),
    ],
)
async def test_what_differs_in_figures_quotations_or_negation_is_never_the_same(first: str, second: str) -> None:
    assert exact_parts(first) != exact_parts(second)
    assert not await Yard(threshold=0.5).near(chat(first), chat(second))


@pytest.mark.parametrize(
    "other",
    [
        chat(SAME, max_tokens=5),
        {"model": "other/model", "messages": chat(SAME)["messages"]},
        {"model": "scripted/demo", "messages": [{"role": "system", "content": "Be rude."}, *chat(SAME)["messages"]]},
        chat("What is the weather like in the north of the country"),
    ],
)
async def test_everything_but_the_last_words_must_be_equal(other: dict[str, Any]) -> None:
    assert not await Yard().near(chat(ONE), other)


async def test_containers_do_not_share_unless_that_was_said() -> None:
    assert not await Yard().near(chat(ONE), chat(SAME), container=TEST)
    assert await Yard(share="project").near(chat(ONE), chat(SAME), container=TEST)


async def test_turns_that_use_tools_and_calls_of_bawn_itself_are_not_compared() -> None:
    yard = Yard()
    call = {"id": "t", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    used = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "b"},
        {"role": "user", "content": ONE},
    ]
    await yard.call({"model": "scripted/demo", "messages": used})
    await yard.call(chat(ONE), depth=1)
    await yard.call(chat(ONE, temperature=1))
    assert yard.asked == []


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        (plain("cut", finish="length"), {}),
        (plain("x"), {"status": 500}),
        (b"broken", {}),
        (plain("x"), {"outcome": "cut"}),
    ],
)
async def test_what_may_not_be_given_again_is_not(answer: bytes, change: dict[str, Any]) -> None:
    yard = Yard()
    await yard.call(chat(ONE), answer, ending=structs.replace(OK, **change))
    assert len(yard.similar) == 0


async def test_without_an_embedding_the_call_goes_on_and_the_record_says_so() -> None:
    yard = Yard(seconds=0.05)
    yard.failing = Fault("upstream.unreachable", "No.")
    one = asked(chat(ONE), read=chat_document)
    assert await yard.stage.request(one) is None
    assert one.notes == [("semantic", "upstream.unreachable")]
    yard.failing, yard.delay = None, 5
    two = asked(chat(ONE), read=chat_document)
    assert await yard.stage.request(two) is None
    assert two.notes == [("semantic", "timeout")]


async def test_answers_end_with_their_time_and_memory_is_bounded() -> None:
    yard = Yard(ttl_seconds=10)
    await yard.call(chat(ONE))
    yard.clock.forward(seconds=11)
    assert await yard.call(chat(SAME)) is None
    small = Yard(entries=10, group_entries=3)
    for number in range(30):
        await small.call(chat(f"question about topic {number * 7919} of the whole"))
    assert len(small.similar) == 3
    assert small.similar.forget(lambda entry: entry.container_uuid == DEV.uuid) == 3
    assert len(small.similar) == 0


async def test_comparing_takes_little_time_even_with_large_embeddings() -> None:
    similar = Similar()
    similar.bound(1000, 64)
    yard = Yard()
    await yard.call(chat(ONE))
    from array import array

    entry = next(iter(yard.similar._groups.values()))[0].entry
    pointing = array("f", [1 / 1536**0.5] * 1536)
    for number in range(64):
        similar.put(b"g", "a b c", array("f", [number / 100000] * 1536), entry)
    began = time.perf_counter()
    similar.nearest(b"g", "a b c", pointing, 0.99, 0)
    took = (time.perf_counter() - began) * 1000
    print(f"64 embeddings of 1536 numbers: {took:.2f} ms")
    assert took < 50
