"""What the scripted model and the translation write, edited: the same on every wire whose blocks or items are typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire import official
from tests.wire.edits import STEADY, by_order, faulting, released, sent

from bawn.inference import anthropic_shape, responses_shape
from bawn.inference.conversation import Conversation, Wire
from bawn.inference.utterance import Called as Speaking
from bawn.inference.utterance import Usage as Counted
from bawn.inference.utterance import Utterance
from bawn.terms.exchange import Endpoint, Usage, WireName
from bawn.terms.frames import Frame, HeldCall
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value
from bawn.translation.messages_answer import MessagesWriter
from bawn.translation.neutral import Called, Opened, Over, Said, Stop, StreamEvent, Thought, ToolUse
from bawn.translation.responses_answer import ResponsesWriter
from bawn.wire import wire
from bawn.wire.anthropic_answers import AnthropicAnswers
from bawn.wire.editing import Answers, Changed, Dropped, Kept, Outcome, Spoken
from bawn.wire.responses_answers import ResponsesAnswers


class Row(Value, frozen=True):
    name: WireName
    endpoint: Endpoint
    answers: Answers
    scripted: Callable[[Utterance], bytes]
    carried: Callable[[], Any]
    streamed: Callable[[bytes], dict[str, Any]]
    plain: Callable[[bytes], dict[str, Any]]


HEARD = Conversation(Wire.RESPONSES, "m", stream=True, include_usage=True, system="", turns=(), offered=(), seed="ab")
ROWS = {
    "messages": Row(
        WireName.ANTHROPIC,
        Endpoint.MESSAGES,
        AnthropicAnswers(),
        lambda said: b"".join(anthropic_shape.frames(said)),
        lambda: MessagesWriter("call_1", WireName.ANTHROPIC),
        official.message,
        official.plain_message,
    ),
    "responses": Row(
        WireName.RESPONSES,
        Endpoint.RESPONSES,
        ResponsesAnswers(),
        lambda said: b"".join(responses_shape.frames(said, HEARD, 1)),
        lambda: ResponsesWriter("call_1", 1, (), WireName.RESPONSES),
        official.response,
        official.plain_response,
    ),
}
CALLS = (Speaking("call_1", "bash", '{"command":"ls /"}'), Speaking("call_2", "read", '{"path":"a","n":1.5}'))
EVENTS: list[StreamEvent] = [
    Opened("m", Usage(30, 0, 10)), Thought("Hm."), Thought("", "signed"), Said("one "), Said("two"),
    Called(ToolUse("call_1", "bash", '{"command":"ls /"}')), Called(ToolUse("call_2", "read", '{"path":"a","n":1.5}')),
    Over(Stop.CALLS, Usage(30, 12, 10)),
]  # fmt: skip
OUTCOMES: list[Outcome] = [Kept(), Changed("look", '{"at":"b"}'), Spoken("This was refused."), Dropped()]
SOURCES = ("scripted", "carried")


def answer(row: Row, source: str) -> bytes:
    if source == "scripted":
        said = Utterance(
            "m", "one two three", "Hm.", 4, CALLS, Counted(30, 12, 10, 0, 1), 0, None, 0, 0, 0, None, "ab" * 20
        )
        return row.scripted(said)
    writer = row.carried()
    return b"".join(writer.write(event) for event in EVENTS)


def frames_of(row: Row, parts: Sequence[bytes]) -> list[Frame]:
    reader = wire(row.name).stream_reader(hide_usage=False)
    frames = [frame for part in parts for frame in reader.feed(part)]
    return [*frames, *reader.close()]


def calls_in(frames: Sequence[Frame]) -> list[ToolCall]:
    return [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("one", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize("two", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_a_stream_and_a_plain_answer_are_edited_to_the_same(row: Row, source: str, one: Outcome, two: Outcome) -> None:
    came = answer(row, source)
    frames = frames_of(row, [came])
    out = sent(frames, row.answers, by_order([one, two]))
    assert calls_in(frames_of(row, [out])) == released(calls_in(frames), [one, two])
    plain = row.answers.edited(row.endpoint, row.answers.folded(came), [one, two])
    assert row.streamed(out) == row.plain(plain) == row.streamed(row.answers.streamed(plain))
    said = row.answers.said(row.endpoint, plain)
    assert said == row.answers.said(row.endpoint, row.answers.folded(out))
    assert said.finished == ("calls" if {type(one), type(two)} & {Kept, Changed} else "stop")
    assert said.text.count("This was refused.") == [one, two].count(Spoken("This was refused."))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@STEADY
@given(cuts=st.lists(st.integers(0, 4000), max_size=8), outcomes=st.tuples(*[st.sampled_from(OUTCOMES)] * 2))
def test_however_an_answer_is_cut_the_same_goes_out(row: Row, cuts: list[int], outcomes: tuple[Outcome, ...]) -> None:
    came = answer(row, "scripted")
    places = sorted({min(cut, len(came)) for cut in cuts} | {0, len(came)})
    parts = [came[start:end] for start, end in zip(places, places[1:], strict=False)]
    out = sent(frames_of(row, parts), row.answers, by_order(outcomes))
    assert out == sent(frames_of(row, [came]), row.answers, by_order(outcomes))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("source", SOURCES)
def test_an_answer_goes_on_with_one_that_has_the_same_ids(row: Row, source: str) -> None:
    came = answer(row, source)
    *frames, end = frames_of(row, [came])
    editor = row.answers.editor(b"")
    out = sent(frames, row.answers, lambda call: Dropped(), editor)
    editor.swallow(end.data)
    editor.begin_again()
    out += sent(frames_of(row, [came]), row.answers, by_order([Kept(), Spoken("No.")]), editor)
    assert calls_in(frames_of(row, [out])) == calls_in(frames)[:1]
    first = row.answers.edited(row.endpoint, row.answers.folded(came), [Dropped(), Dropped()])
    second = row.answers.edited(row.endpoint, row.answers.folded(came), [Kept(), Spoken("No.")])
    joined = row.answers.joined(first, second)
    assert row.streamed(out) == row.plain(joined)
    assert json.loads(joined)["usage"]["output_tokens"] == 24


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("source", SOURCES)
def test_all_of_an_answer_is_swallowed_and_another_takes_its_place(row: Row, source: str) -> None:
    came = answer(row, source)
    editor = row.answers.editor(b"")
    editor.swallow(came)
    editor.begin_again()
    out = sent(frames_of(row, [came]), row.answers, lambda call: Kept(), editor)
    whole = row.streamed(out)
    assert whole | {"usage": None} == row.streamed(came) | {"usage": None}
    assert whole["usage"]["output_tokens"] == 24


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("outcome", [Changed("f", '{"a":"\ud800"}'), Changed("\ud800", "{}"), Spoken("\ud800")])
def test_what_cannot_be_written_does_not_go_out(row: Row, outcome: Outcome) -> None:
    came = answer(row, "scripted")
    with faulting():
        sent(frames_of(row, [came]), row.answers, lambda call: outcome)
    with faulting():
        row.answers.edited(row.endpoint, row.answers.folded(came), [outcome, outcome])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"a":1,"a":1}', b"data: {}\n\n", b'data: {"type":"x"', b"\xff"])
def test_what_is_no_answer_has_no_other_form(row: Row, body: bytes) -> None:
    for form in (row.answers.folded, row.answers.streamed, lambda one: row.answers.joined(one, one)):
        with faulting(code="upstream.broken"):
            form(body)
    with faulting():
        row.answers.edited(row.endpoint, body, [])
    with faulting():
        row.answers.continued(body, body, [])
