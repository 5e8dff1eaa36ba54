"""Conversations are known again by what was said in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from tests.gateway.conftest import OTHER, Start, Yard
from tests.gateway.judges import NEVER
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, WIRES, Speaks

from bawn.gateway.sessions import Sessions
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.wire import Route, wire
from bawn.wire.answers import answers
from bawn.wire.document import Said
from bawn.wire.documents import document

TOOL = {"type": "function", "function": {"name": "bash", "parameters": {}}}


class Sees:
    """A stage that notes the conversation of each call."""

    name = "sees"

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.endings: list[Ending] = []

    async def request(self, asked: Asked) -> None:
        self.sessions.append(asked.session)

    def view(self, asked: Asked) -> None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        self.endings.append(ending)


async def say(yard: Yard, speaks: Speaks, stream: bool, asking: dict[str, Any], **headers: str) -> bytes:
    """The plain form of what is answered."""
    async with yard.client() as client:
        answer = await client.post(**asking, headers=headers)
    assert answer.status_code == 200, answer.text
    return answers(speaks.wire).folded(answer.content) if stream else answer.content


def next_turn(speaks: Speaks, asking: dict[str, Any], answer: bytes, text: str) -> dict[str, Any]:
    """What a client sends next: all of it again, the answer behind it, and another question."""
    body = json.dumps(asking["json"]).encode()
    read = document(Exchange(speaks.wire, speaks.endpoint, "scripted/agent", stream=False, body=body))
    assert read is not None
    read.add_message(Said.ASSISTANT, answers(speaks.wire).said(speaks.endpoint, answer).text)
    read.add_message(Said.USER, text)
    return {**asking, "json": json.loads(read.body())}


@EACH_WIRE
@STREAMED
async def test_a_request_that_repeats_an_earlier_one_and_its_answer_goes_on_with_it(
    start: Start, speaks: Speaks, stream: bool
) -> None:
    sees = Sees()
    yard = await start(stages=(sees,))
    first = speaks.asking("hello", stream)
    answer = await say(yard, speaks, stream, first)
    second = next_turn(speaks, first, answer, "and now?")
    answer = await say(yard, speaks, stream, second)
    await say(yard, speaks, stream, next_turn(speaks, second, answer, "and then?"))
    assert len(set(sees.sessions)) == 1, sees.sessions
    await say(yard, speaks, stream, speaks.asking("something else", stream))
    assert len(set(sees.sessions)) == 2
    await yard.settled(4)
    assert [ending.outcome for ending in sees.endings] == ["ok"] * 4


@EACH_WIRE
@STREAMED
async def test_what_was_sent_to_the_client_counts_and_not_what_the_model_proposed(
    start: Start, speaks: Speaks, stream: bool
) -> None:
    sees = Sees()
    yard = await start(stages=(sees,), judges=(NEVER,))
    first = speaks.asking(CALLED, stream)
    answer = await say(yard, speaks, stream, first)
    assert "it is never allowed" in answer.decode()
    await say(yard, speaks, stream, next_turn(speaks, first, answer, "why?"))
    assert len(set(sees.sessions)) == 1


@EACH_WIRE
async def test_conversations_that_begin_alike_part_at_the_first_answer_that_differs(
    start: Start, speaks: Speaks
) -> None:
    sees = Sees()
    yard = await start(stages=(sees,))
    first = speaks.asking("hello", stream=False)
    answer = await say(yard, speaks, False, first)
    forged = answer.replace(b"I was told: hello", b"I was told: nonsense")
    assert forged != answer
    await say(yard, speaks, False, next_turn(speaks, first, forged, "and now?"))
    assert len(set(sees.sessions)) == 2, "nobody sent that answer"


@EACH_WIRE
async def test_a_header_names_the_conversation(start: Start, speaks: Speaks) -> None:
    sees = Sees()
    yard = await start(stages=(sees,))
    for text in ("one", "two"):
        await say(yard, speaks, False, speaks.asking(text, stream=False), **{"x-bawn-session": "mine"})
    assert sees.sessions == ["mine", "mine"]


@EACH_WIRE
async def test_nobody_joins_a_conversation_that_was_not_named_by_its_name(start: Start, speaks: Speaks) -> None:
    sees = Sees()
    yard = await start(stages=(sees,))
    await say(yard, speaks, False, speaks.asking("one", stream=False))
    [mine] = sees.sessions
    for header in ("x-bawn-session", "x-session-id"):
        await say(yard, speaks, False, speaks.asking("two", stream=False), **{header: mine})
    await say(yard, speaks, False, speaks.asking("two", stream=False), **{"x-bawn-session": "call:call_1"})
    assert len(set(sees.sessions)) == 4
    assert all(session.startswith("s:") for session in sees.sessions)


@pytest.mark.parametrize("same", [True, False])
async def test_containers_never_share_a_conversation(start: Start, same: bool) -> None:
    sees, speaks = Sees(), WIRES[0]
    yard = await start(stages=(sees,))
    first = speaks.asking("hello", stream=False)
    answer = await say(yard, speaks, False, first)
    second = next_turn(speaks, first, answer, "and now?")
    if same:
        await say(yard, speaks, False, second)
    else:
        async with yard.client("container-other") as client:
            url = f"http://127.0.0.1:{yard.other_port}{second['url']}"
            assert (await client.post(url, json=second["json"])).status_code == 200, OTHER
    assert (len(set(sees.sessions)) == 1) is same


async def test_conversations_are_known_again_after_many_calls_of_others(start: Start) -> None:
    """Those of agents always; what waits to be looked at is bounded."""
    sees, speaks = Sees(), WIRES[0]
    yard = await start(stages=(sees,))
    first = speaks.asking("hello", stream=False)
    answer = await say(yard, speaks, False, first)
    bare = {"model": "scripted/echo", "messages": [{"role": "user", "content": "x" * 40_000}]}
    async with yard.client() as client:
        for _ in range(150):
            assert (await client.post("/api/v1/chat/completions", json=bare)).status_code == 200
    await say(yard, speaks, False, next_turn(speaks, first, answer, "and now?"))
    assert sees.sessions[0] == sees.sessions[-1]


def test_an_answer_to_more_than_may_wait_is_looked_at_at_once() -> None:
    sessions = Sessions()
    messages = [{"role": "user", "content": "x" * 5 * 2**20}, {"role": "assistant", "content": "yes"}]
    body = json.dumps({"model": "m", "messages": messages, "tools": [TOOL]}).encode()
    exchange = wire(WireName.OPENAI).read_request(Route(Endpoint.CHAT_COMPLETIONS, WireName.OPENAI), body)
    container = Container(OTHER, 8, "other", "default")
    first = Asked("call_1", container, exchange, (), sessions.find, document)
    said = answers(WireName.OPENAI).answer_of("and more", "m", "call_1", 1)
    sessions.sent(first, said, ())
    read = document(exchange)
    assert read is not None
    read.add_message(Said.ASSISTANT, "and more")
    second = structs.replace(exchange, body=read.body())
    assert Asked("call_2", container, second, (), sessions.find, document).session == first.session


class Louder(Sees):
    """Changes what the user said, without asking which conversation it is in."""

    async def request(self, asked: Asked) -> None:
        document = asked.document
        assert document is not None
        for spot in document.spots:
            if spot.said is Said.USER:
                document.set_text(spot, spot.text.upper())


@EACH_WIRE
@pytest.mark.parametrize("order", [(Louder(), 0), (Louder(), 1)])
async def test_what_stages_change_on_the_way_parts_no_conversation(
    start: Start, speaks: Speaks, order: tuple[Louder, int]
) -> None:
    louder, at = order
    sees = Sees()
    yard = await start(stages=(louder, sees) if at == 0 else (sees, louder))
    first = speaks.asking("hello", stream=False)
    answer = await say(yard, speaks, False, first)
    assert b"HELLO" in answer
    await say(yard, speaks, False, next_turn(speaks, first, answer, "and now?"))
    assert len(set(sees.sessions)) == 1
