"""Streams between wires: cut anywhere they say the same, cut short they break, and each event is of its official type."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import anthropic.types
import pytest
from google.genai.types import GenerateContentResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.translation.wires import CLIENTS, answered, events_of, read_answer, writer_of

from bawn.inference import converse_shape
from bawn.inference.utterance import Called as Spoken
from bawn.inference.utterance import Usage as Counted
from bawn.inference.utterance import Utterance
from bawn.terms.exchange import Usage, WireName
from bawn.translation import converse_answer
from bawn.translation.converse_answer import ConverseEvents
from bawn.translation.neutral import (
    Called,
    Conversation,
    NotTranslatable,
    Opened,
    Over,
    Reply,
    Said,
    Stop,
    StreamEvent,
    Text,
    Thinking,
    Thought,
    ToolUse,
    whole,
)
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain

USAGE = Usage(30, 12, 10)
NAMES = st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_-]{0,20}\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
ARGUMENTS = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, max_size=3)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """An answer that every wire can say."""
    parts: list[Text | Thinking | ToolUse] = []
    if draw(st.booleans()):
        parts.append(Thinking(draw(TEXTS)))
    if draw(st.booleans()):
        parts.append(Text(draw(TEXTS)))
    parts += [
        ToolUse(f"call_{number}", draw(NAMES), json.dumps(draw(ARGUMENTS))) for number in range(draw(st.integers(0, 3)))
    ]
    called = any(isinstance(part, ToolUse) for part in parts)
    stop = Stop.CALLS if called else draw(st.sampled_from((Stop.END, Stop.LENGTH, Stop.FILTERED)))
    return Reply("m", tuple(parts), stop, USAGE)


def told(reply: Reply) -> list[StreamEvent]:
    """The events of an answer."""
    out: list[StreamEvent] = [Opened(reply.model)]
    for part in reply.parts:
        match part:
            case Text(text=text):
                out += [Said(text[:5]), Said(text[5:])] if text[5:] else [Said(text)]
            case Thinking(text=text):
                out.append(Thought(text))
            case ToolUse():
                out.append(Called(part))
    return [*out, Over(reply.stop, reply.usage)]


def heard(events: list[StreamEvent]) -> tuple[str, str, list[tuple[str, str, Any]], Stop, Usage | None]:
    """What events say, without where they were cut."""
    over = events[-1]
    assert isinstance(over, Over)
    calls = [event.call for event in events if isinstance(event, Called)]
    return (
        "".join(event.text for event in events if isinstance(event, Said)),
        "".join(event.text for event in events if isinstance(event, Thought)),
        [(call.id, call.name, json.loads(call.arguments)) for call in calls],
        over.stop,
        over.usage,
    )


def stream(wire: WireName, reply: Reply) -> bytes:
    writer = writer_of(wire, WireName.OPENAI)
    return b"".join(writer.write(event) for event in told(reply))


def read(reader: Any, parts: list[bytes]) -> list[StreamEvent]:
    return [*(event for part in parts for event in reader.feed(part)), *reader.close()]


@given(reply=replies(), wire=st.sampled_from(CLIENTS), cuts=st.lists(st.integers(0, 4000), max_size=5))
def test_what_is_carried_survives_there_and_back_wherever_the_bytes_are_cut(
    reply: Reply, wire: WireName, cuts: list[int]
) -> None:
    data = stream(wire, reply)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    assert heard(read(events_of(wire), parts)) == heard(told(reply))


@pytest.mark.parametrize("wire", [wire for wire in CLIENTS if wire is not WireName.ANTHROPIC])
def test_tokens_of_reasoning_are_told_where_there_is_a_field_for_them(wire: WireName) -> None:
    reply = Reply("m", (Text("hi"),), Stop.END, Usage(30, 12, 10, 0, 4))
    assert read_answer(wire, answered(wire, reply, Conversation(says=frozenset()))).usage == reply.usage
    assert heard(read(events_of(wire), [stream(wire, reply)]))[4] == reply.usage


@given(reply=replies(), wire=st.sampled_from(CLIENTS))
def test_a_whole_answer_survives_there_and_back(reply: Reply, wire: WireName) -> None:
    again = read_answer(wire, answered(wire, reply, Conversation(says=frozenset())))
    assert heard(told(again)) == heard(told(reply))


@given(reply=replies(), wire=st.sampled_from(CLIENTS), cut=st.floats(0, 1, exclude_max=True))
def test_a_stream_that_is_cut_short_is_never_taken_for_a_whole_one(reply: Reply, wire: WireName, cut: float) -> None:
    data = stream(wire, reply)
    part = data[: int(len(data) * cut)]
    reader = events_of(wire)
    try:
        events = read(reader, [part])
    except (Unsound, NotPlain):
        return
    # All that may be missing is what says nothing: the blank line, or `[DONE]`.
    assert heard(events)[:4] == heard(told(reply))[:4]


@given(data=st.binary(max_size=200), wire=st.sampled_from(CLIENTS))
def test_any_bytes_are_read_or_refused(data: bytes, wire: WireName) -> None:
    with suppress(Unsound, NotPlain, NotTranslatable):
        read(events_of(wire), [data, b"data: " + data + b"\n\n"])


_EVENTS: dict[WireName, Any] = {
    WireName.OPENAI: TypeAdapter(ChatCompletionChunk),
    WireName.RESPONSES: TypeAdapter(ResponseStreamEvent),
    WireName.ANTHROPIC: TypeAdapter(anthropic.types.RawMessageStreamEvent),
    WireName.GEMINI: TypeAdapter(GenerateContentResponse),
}
_ANSWERS: dict[WireName, Any] = {
    WireName.OPENAI: TypeAdapter(ChatCompletion),
    WireName.RESPONSES: TypeAdapter(Response),
    WireName.ANTHROPIC: TypeAdapter(anthropic.types.Message),
    WireName.GEMINI: TypeAdapter(GenerateContentResponse),
}


@given(reply=replies(), wire=st.sampled_from(CLIENTS))
def test_every_event_and_every_answer_is_of_its_official_type(reply: Reply, wire: WireName) -> None:
    _ANSWERS[wire].validate_python(answered(wire, reply, Conversation(says=frozenset())))
    for frame in stream(wire, reply).replace(b"\r\n", b"\n").split(b"\n\n"):
        said = frame.partition(b"data: ")[2]
        if said and said != b"[DONE]":
            _EVENTS[wire].validate_python(json.loads(said))


def spoken(text: str = "one two", thinking: str = "hm", calls: tuple[Spoken, ...] = ()) -> bytes:
    usage = Counted(30, 12, 10, 0, 0)
    utterance = Utterance("m", text, thinking, 0, calls, usage, 3, None, 0, 0, 0, None, "ab" * 20)
    return b"".join(converse_shape.frames(utterance))


@given(cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_the_binary_events_of_converse_are_read_wherever_they_are_cut(cuts: list[int]) -> None:
    data = spoken(calls=(Spoken("call_1", "look", '{"path": "a"}'), Spoken("call_2", "look", "{}")))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    text, thought, calls, stop, usage = heard(read(ConverseEvents(), parts))
    assert (text, thought, stop) == ("one two", "hm", Stop.CALLS)
    assert [(name, arguments) for _, name, arguments in calls] == [("look", {"path": "a"}), ("look", {})]
    assert usage == Usage(30, 12, 10, 0, 0)


@pytest.mark.parametrize("lost", [1, 40, 400])
def test_binary_events_that_are_cut_short_are_broken(lost: int) -> None:
    with pytest.raises(Unsound):
        read(ConverseEvents(), [spoken()[:-lost]])


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (WireName.OPENAI, {"choices": [{"message": {"content": None, "audio": {"id": "a", "data": "x"}}}]}),
        (WireName.RESPONSES, {"status": "completed", "output": [{"type": "web_search_call", "id": "a"}]}),
        (WireName.ANTHROPIC, {"content": [{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}]}),
        (WireName.GEMINI, {"candidates": [{"content": {"parts": [{"executableCode": {"code": "x"}}]}}]}),
    ],
)
def test_what_no_other_wire_has_a_word_for_is_said_and_not_left_out(wire: WireName, answer: dict[str, Any]) -> None:
    with pytest.raises(NotTranslatable):
        read_answer(wire, answer)


@pytest.mark.parametrize("reason", [None, "error", "insufficient_system_resource", ["stop"]])
def test_an_answer_that_ended_by_no_known_reason_is_broken(reason: Any) -> None:
    chat = {"choices": [{"message": {"content": "hi"}, "finish_reason": reason}]}
    messages = {"content": [{"type": "text", "text": "hi"}], "stop_reason": reason}
    for wire, answer in ((WireName.OPENAI, chat), (WireName.ANTHROPIC, messages)):
        with pytest.raises(Unsound):
            read_answer(wire, answer)
    with pytest.raises(Unsound):
        converse_answer.read_answer({"output": {"message": {"content": []}}, "stopReason": reason})


def test_a_provider_cannot_have_its_words_repeated() -> None:
    secret = "sk-0123456789abcdef"
    with pytest.raises(NotTranslatable) as refused:
        read_answer(WireName.ANTHROPIC, {"content": [{"type": secret}], "stop_reason": "end_turn"})
    assert secret not in str(refused.value)


def test_a_call_that_is_cut_is_not_made_whole() -> None:
    with pytest.raises(Unsound, match="not whole"):
        whole(ToolUse("call_1", "look", '{"path": "a'))


@pytest.mark.parametrize("lost", [b"function_call", b"output_text.delta"])
def test_a_response_that_tells_another_answer_than_its_stream_is_broken(lost: bytes) -> None:
    reply = Reply("m", (Text("one two"), ToolUse("call_1", "look", "{}")), Stop.CALLS, USAGE)
    frames = stream(WireName.RESPONSES, reply).split(b"\n\n")
    kept = [
        frame
        for frame in frames
        if not (lost in frame.partition(b"\n")[0] or (b"output_item.done" in frame and b'"function_call"' in frame))
    ]
    with pytest.raises(Unsound):
        read(events_of(WireName.RESPONSES), [b"\n\n".join(kept)])


def test_a_call_in_many_pieces_takes_no_longer_than_its_pieces() -> None:
    piece = {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "12345678" * 500}}]}}
    frame = b"data: " + json.dumps({"choices": [piece]}).encode() + b"\n\n"
    reader = events_of(WireName.OPENAI)
    with pytest.raises(Unsound, match="too long"):
        for _ in range(100_000):
            reader.feed(frame)
