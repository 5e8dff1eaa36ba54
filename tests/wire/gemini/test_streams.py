"""Gemini's streams pass byte for byte, their calls held; errors have their form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.gemini.said import CALL, CALLS, GEMINI, answer, candidate, said, stream
from tests.wire.streams import LINE_ENDS, read

from bawn.errors import KINDS, Fault
from bawn.inference import gemini_shape
from bawn.terms.exchange import Usage
from bawn.terms.frames import Broken, End, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall

CALLED = tuple(ToolCall(call.id, call.name, call.arguments) for call in CALLS)


SAMPLE = list(gemini_shape.frames(said()))


@pytest.mark.parametrize("ends", LINE_ENDS.values(), ids=LINE_ENDS.keys())
def test_a_stream_passes_byte_for_byte_and_its_calls_are_held(ends: Any) -> None:
    data = ends(b"".join(SAMPLE).replace(b"\r\n", b"\n"))
    reader = GEMINI.stream_reader(hide_usage=False)
    frames = read(reader, [data])
    assert b"".join(frame.data for frame in frames) == data
    assert isinstance(frames[-1], End)
    assert frames[-1].data, "the frame that says why it ended waits for the end"
    assert [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls] == list(CALLED)
    assert not any(b"functionCall" in frame.data for frame in frames if not isinstance(frame, HeldCall))
    assert (reader.model, reader.usage) == ("m", Usage(5, 7, 2, 0, 1))


@given(cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_any_pieces_say_the_same(cuts: list[int]) -> None:
    data = b"".join(SAMPLE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert stream([data[a:b] for a, b in zip(places, places[1:], strict=False)]) == stream([data])


@given(end=st.integers(0, 4000))
def test_a_stream_that_is_cut_anywhere_is_never_whole(end: int) -> None:
    data = b"".join(SAMPLE)
    frames = stream([data[: min(end, len(data) - 3)]])
    assert isinstance(frames[-1], Broken)
    assert not any(b"finishReason" in frame.data for frame in frames)


@given(
    frames=st.lists(
        st.one_of(
            st.lists(st.sampled_from(["bash", "read", ""]), max_size=3).map(
                lambda names: candidate(
                    *({"functionCall": {"name": n}} if n else {"text": "t"} for n in names), finish=None
                )
            ),
            st.sampled_from([candidate({"text": "t"}), candidate(CALL), candidate({"text": "t"}, index=1)]),
        ),
        max_size=6,
    )
)
def test_every_call_of_any_stream_is_held_in_its_place(frames: list[dict[str, Any]]) -> None:
    sent = [b"data: " + answer(each) + b"\n\n" for each in frames]
    got = stream(sent)
    names = [
        part["functionCall"]["name"] for each in frames for part in each["content"]["parts"] if "functionCall" in part
    ]
    assert [call.name for frame in got if isinstance(frame, HeldCall) for call in frame.calls] == names
    assert all(b"functionCall" not in frame.data for frame in got if not isinstance(frame, HeldCall))
    if isinstance(got[-1], End):
        assert b"".join(frame.data for frame in got) == b"".join(sent)


def test_a_call_in_the_last_frame_is_judged_and_the_stream_still_ends() -> None:
    frames = stream([b"data: " + answer(candidate({"text": "so"}, CALL)) + b"\r\n\r\n"])
    assert [type(frame) for frame in frames] == [HeldCall, End]


def test_a_stream_of_two_candidates_ends_with_both() -> None:
    first, second = (b"data: " + answer(candidate({"text": "x"}, index=index)) + b"\n\n" for index in (0, 1))
    begun = b"data: " + answer(candidate({"text": "x"}, index=1, finish=None)) + b"\n\n"
    assert isinstance(stream([begun, first])[-1], Broken)
    assert isinstance(stream([begun, first, second])[-1], End)


def test_a_reason_for_there_being_no_answer_is_a_whole_stream() -> None:
    assert stream([b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\r\n\r\n'])[-1].data


def test_what_follows_the_end_is_told_before_it() -> None:
    usage = b'data: {"usageMetadata":{"promptTokenCount":5}}\n\n'
    frames = stream([*SAMPLE, usage])
    assert b"".join(frame.data for frame in frames) == b"".join(SAMPLE) + usage
    assert frames[-1] == End(usage)


def test_comments_are_left_out() -> None:
    assert stream([SAMPLE[0], b': {"candidates":[]}\n\n', *SAMPLE[1:]]) == stream(SAMPLE)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"candidates":[]}\ndata: {"usageMetadata":{}}\n\n', b'data: {"usageMetadata":\ndata: {}}\n\n', b"data: {}\n\n",
        b'event: x\ndata: {"usageMetadata":{"a":1}}\n\n', b'data: {"usageMetadata":{}}\r: x\n\n', b"data: [DONE]\n\n",
        b'\xef\xbb\xbfdata: {"usageMetadata":{"a":1}}\n\n', b"data: {this is } no JSON\n\n", b"data: []\n\n",
        b'data: {"candidates":[{"index":0,"index":1}]}\n\n',
    ],
)  # fmt: skip
def test_what_packages_read_in_another_way_breaks_the_stream(frame: bytes) -> None:
    frames = stream([SAMPLE[0], frame, *SAMPLE[1:]])
    assert isinstance(frames[-1], Broken)
    assert frame not in b"".join(each.data for each in frames)
    assert isinstance(frames[0], TextFrame)


def test_an_error_of_the_provider_passes_alone() -> None:
    error = gemini_shape.error_frame("no")
    assert stream([SAMPLE[0], error])[-1] == Broken("The provider ended its stream with an error.", error)
    smuggled = b'data: {"error":{},"candidates":[' + json.dumps(candidate(CALL)).encode() + b"]}\n\n"
    assert stream([smuggled]) == [Broken("The provider ended its stream with an error.")]


@pytest.mark.parametrize("code", KINDS)
def test_every_fault_has_its_form(code: str) -> None:
    fault = Fault(code, "What happened.", cause="for the operator")
    body = GEMINI.refusal(fault, "call-1")
    told = json.loads(body)["error"]
    assert told["code"] == fault.status
    assert told["message"] == f"What happened. {fault.remedy}"
    assert told["details"][0]["reason"] == code
    assert GEMINI.is_error(body)
    assert b"for the operator" not in body
    frame = GEMINI.stream_error(fault, "call-1")
    assert stream([frame]) == [Broken("The provider ended its stream with an error.", frame)]


def test_what_is_no_error_of_the_wire_is_told_apart() -> None:
    for data in (b"", b"<html>", b"[]", b'{"error":"x"}', b'{"type":"error"}', b'[{"error":{}},1]'):
        assert not GEMINI.is_error(data)
    assert GEMINI.is_error(b'[{"error":{"code":429}}]')
