"""Streams of both wires: what flows, what is held, what breaks, however the bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter
from tests.wire.streams import (
    CHAT,
    DONE,
    LINE_ENDS,
    MESSAGE_END,
    MESSAGE_START,
    MESSAGES,
    USAGE,
    call,
    chunk,
    delta,
    event,
    read,
    start,
    stop,
)

from bawn.terms.exchange import Usage, WireName
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire import wire
from bawn.wire.interface import StreamReader

SAMPLES = [(WireName.OPENAI, name) for name in CHAT] + [(WireName.ANTHROPIC, name) for name in MESSAGES]


def reader(name: WireName, *, hide_usage: bool = False) -> StreamReader:
    return wire(name).stream_reader(hide_usage=hide_usage)


def chat(*parts: bytes) -> list[Frame]:
    return read(reader(WireName.OPENAI), parts)


def messages(*parts: bytes) -> list[Frame]:
    return read(reader(WireName.ANTHROPIC), parts)


def sample(name: WireName, story: str) -> bytes:
    return b"".join((CHAT if name is WireName.OPENAI else MESSAGES)[story])


def calls(frames: list[Frame]) -> list[ToolCall]:
    return [each for frame in frames if isinstance(frame, HeldCall) for each in frame.calls]


@pytest.mark.parametrize(("name", "story"), SAMPLES)
def test_the_samples_are_what_the_official_packages_read(name: WireName, story: str) -> None:
    if name is WireName.OPENAI:
        for part in CHAT[story]:
            if part.startswith(b"data: {"):
                ChatCompletionChunk.model_validate_json(part[6:])
    else:
        adapter: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
        for part in MESSAGES[story]:
            payload = part.split(b"data: ")[1]
            if json.loads(payload)["type"] != "ping":
                adapter.validate_json(payload)


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize(("name", "story"), SAMPLES)
def test_a_whole_stream_passes_byte_for_byte_and_ends(name: WireName, story: str, line_end: str) -> None:
    data = LINE_ENDS[line_end](sample(name, story))
    frames = read(reader(name), [data])
    assert isinstance(frames[-1], End)
    assert b"".join(frame.data for frame in frames) == data


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize(("name", "story"), SAMPLES)
def test_a_stream_byte_by_byte_says_the_same(name: WireName, story: str, line_end: str) -> None:
    data = LINE_ENDS[line_end](sample(name, story))
    assert read(reader(name), [bytes((byte,)) for byte in data]) == read(reader(name), [data])


@given(st.data(), st.sampled_from(SAMPLES), st.sampled_from(sorted(LINE_ENDS)))
def test_a_stream_cut_anywhere_says_the_same(data: st.DataObject, which: tuple[WireName, str], line_end: str) -> None:
    name, story = which
    whole = LINE_ENDS[line_end](sample(name, story))
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12))), len(whole)]
    parts = [whole[begin:end] for begin, end in pairwise(cuts)]
    assert read(reader(name), parts) == read(reader(name), [whole])


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize(("name", "story"), SAMPLES)
def test_what_follows_the_end_is_dropped(name: WireName, story: str, line_end: str) -> None:
    data = LINE_ENDS[line_end](sample(name, story))
    after = LINE_ENDS[line_end](chunk(call(0, "{}", name="x", call_id="y")))
    assert read(reader(name), [data + after]) == read(reader(name), [data])
    assert read(reader(name), [data, after]) == read(reader(name), [data])


@given(st.sampled_from(SAMPLES), st.data())
def test_a_stream_cut_short_never_ends_as_whole_and_keeps_back_open_calls(
    which: tuple[WireName, str], data: st.DataObject
) -> None:
    name, story = which
    whole = sample(name, story)
    end = whole.rfind(b"data: [DONE]") if name is WireName.OPENAI else whole.rfind(b"event: message_stop")
    part = whole[: data.draw(st.integers(0, end - 1))]
    frames = read(reader(name), [part])
    full = calls(read(reader(name), [whole]))
    assert calls(frames) == full[: len(calls(frames))]
    # Chat completions may leave `[DONE]` out once every choice has finished.
    assert isinstance(frames[-1], Broken) or (name is WireName.OPENAI and b"finish_reason" in part)


def test_parallel_calls_are_let_go_one_by_one_with_their_arguments_joined() -> None:
    frames = chat(*CHAT["parallel tools"])
    held = [frame for frame in frames if isinstance(frame, HeldCall)]
    assert [frame.calls for frame in held] == [
        (ToolCall("c0", "read", '{"a":1}'),), (ToolCall("c1", "write", "{}"),)
    ]  # fmt: skip
    assert held[0].data == b"".join(CHAT["parallel tools"][1:4])


def test_text_of_another_choice_waits_in_its_place_behind_the_first_frame_of_a_call() -> None:
    frames = chat(*CHAT["two choices"])
    assert frames == [HeldCall((ToolCall("c0", "read", "{}"),), b"".join(CHAT["two choices"][:-1])), End(DONE)]


def test_text_of_another_block_waits_in_its_place_behind_the_first_frame_of_a_call() -> None:
    call_begins = start(0, type="tool_use", id="t", name="read", input={})
    behind = start(1, type="text", text="") + delta(1, "text_delta", text="x") + stop(1)
    held = call_begins + behind + stop(0)
    frames = messages(MESSAGE_START, held, *MESSAGE_END)
    assert frames[:2] == [TextFrame(MESSAGE_START), HeldCall((ToolCall("t", "read", "{}"),), held)]


def test_only_what_keeps_the_connection_alive_runs_past_a_held_call() -> None:
    piece, comment, empty = chunk(call(0, "{", name="read", call_id="c")), b": still there\n\n", b"event: x\n\n"
    reading = reader(WireName.OPENAI)
    assert reading.feed(piece + comment + empty + chunk(usage=USAGE)) == [TextFrame(comment + empty)]
    held = reading.feed(chunk({}, finish="tool_calls"))
    assert held == [
        HeldCall((ToolCall("c", "read", "{"),), piece + chunk(usage=USAGE) + chunk({}, finish="tool_calls"))
    ]
    reading = reader(WireName.ANTHROPIC)
    begun = start(0, type="tool_use", id="t", name="read", input={})
    assert reading.feed(begun + event("ping") + comment) == [TextFrame(event("ping") + comment)]
    assert [type(frame) for frame in reading.feed(stop(0))] == [HeldCall]


def test_what_comes_behind_a_judged_call_flows_on_at_once() -> None:
    reading = reader(WireName.OPENAI)
    reading.feed(chunk(call(0, "{}", name="read", call_id="c")) + chunk({}, finish="tool_calls"))
    assert reading.feed(chunk({"content": "x"}, choice=1)) == [TextFrame(chunk({"content": "x"}, choice=1))]


def test_the_frame_that_ends_a_choice_may_bring_the_last_piece_of_its_call() -> None:
    parts = [chunk(call(0, "{", name="read", call_id="c")), chunk(call(0, "}"), finish="tool_calls"), DONE]
    assert calls(chat(*parts)) == [ToolCall("c", "read", "{}")]
    assert isinstance(chat(*parts)[-1], End)


def test_calls_of_two_choices_that_come_mixed_are_judged_together_and_whole() -> None:
    frames = chat(*CHAT["two choices with calls"])
    assert [type(frame) for frame in frames] == [HeldCall, End]
    assert calls(frames) == [ToolCall("c0", "read", "{}"), ToolCall("d0", "list", "[]")]


def test_what_a_choice_says_after_its_call_waits_with_it() -> None:
    reading = reader(WireName.OPENAI)
    assert reading.feed(chunk(call(0, "{", name="read", call_id="c0")) + chunk({"content": "done"})) == []
    assert [type(frame) for frame in reading.feed(chunk({}, finish="tool_calls"))] == [HeldCall]


def test_an_escaped_key_hides_no_tool_call() -> None:
    escaped = chunk(call(0, "{}", name="rm", call_id="c0")).replace(b"tool_calls", rb"to\u006fl_c\u0061lls")
    assert calls(chat(escaped, chunk({}, finish="tool_calls"), DONE)) == [ToolCall("c0", "rm", "{}")]


def test_a_custom_tool_call_is_held_with_its_input() -> None:
    piece = {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}
    assert calls(chat(chunk(piece), chunk({}, finish="tool_calls"), DONE)) == [ToolCall("c", "sh", "ls", free=True)]


UNSOUND_CHAT = {
    "no JSON": b"data: {nonsense\n\n",
    "HTML": b"data: <html></html>\n\n",
    "a list": b"data: []\n\n",
    "no choices": b'data: {"id":"x"}\n\n',
    "a repeated key": b'data: {"choices":[{"index":0,"delta":{"content":"a","content":"b"}}]}\n\n',
    "half a surrogate": b'data: {"choices":[{"index":0,"delta":{"content":"\\ud800"}}]}\n\n',
    "no UTF-8": b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n',
    "a whole message": chunk({}).replace(b'"delta"', b'"message"'),
    "a call without a name": chunk(call(0, "{}")) + chunk({}, finish="tool_calls"),
    "a call of two kinds": chunk({"tool_calls": [{"index": 0, "function": {"name": "a"}, "custom": {"name": "b"}}]}),
    "a call that goes on after its end": chunk(call(0, "{}", name="a", call_id="1"))
    + chunk(call(1, "{}", name="b", call_id="2")) + chunk(call(0, "x")),
    "a call that changes its kind": chunk(call(0, "", name="a", call_id="1"))
    + chunk({"tool_calls": [{"index": 0, "custom": {"input": "x"}}]}),
    "a call that changes its id": chunk(call(0, "", name="a", call_id="1")) + chunk(call(0, "", call_id="2")),
    "a call after the end of its choice": chunk({}, finish="stop") + chunk(call(0, "{}", name="a", call_id="1")),
    "a call without a number": chunk({"tool_calls": [{"id": "1", "function": {"name": "a", "arguments": "{}"}}]}),
    "two calls of one number": chunk(call(0, "{}", name="a", call_id="1")) + chunk(call(0, "{}", name="b", call_id="2")),
    "no name for a call that its stream leaves open": chunk(call(0, "{}")) + DONE,
    "arguments that are no text": chunk({"tool_calls": [{"index": 0, "function": {"name": "a", "arguments": {}}}]}),
    "deep nesting": b"data: " + b"[" * 100_000 + b"\n\n",
}  # fmt: skip


@pytest.mark.parametrize("story", UNSOUND_CHAT)
def test_an_unsound_chat_stream_breaks_and_nothing_more_passes(story: str) -> None:
    frames = chat(UNSOUND_CHAT[story] + chunk({"content": "more"}), chunk({"content": "more"}), DONE)
    assert isinstance(frames[-1], Broken)
    assert frames[-1].data == b""
    assert not any(b"more" in frame.data for frame in frames)


UNSOUND_MESSAGES = {
    "no type": b"data: {}\n\n",
    "two types": b'event: ping\ndata: {"type":"message_stop"}\n\n',
    "a repeated key": b'event: ping\ndata: {"type":"ping","type":"ping"}\n\n',
    "a piece without a block": delta(4, "text_delta", text="x"),
    "a text that takes an input": start(0, type="text", text="") + delta(0, "input_json_delta", partial_json="{"),
    "a call without a name": start(0, type="tool_use", id="t", input={}),
    "an end within a call": start(0, type="tool_use", id="t", name="a", input={}) + b"".join(MESSAGE_END),
    "a block that begins twice": start(0, type="text", text="") + start(0, type="text", text=""),
    "a call in the place of one that went": start(0, type="tool_use", id="t", name="a", input={}) + stop(0)
    + start(0, type="tool_use", id="t", name="b", input={}),
}  # fmt: skip


@pytest.mark.parametrize("story", UNSOUND_MESSAGES)
def test_an_unsound_message_breaks_and_nothing_more_passes(story: str) -> None:
    frames = messages(MESSAGE_START, UNSOUND_MESSAGES[story] + event("ping", more=1), *MESSAGE_END)
    assert isinstance(frames[-1], Broken)
    assert not any(b"more" in frame.data for frame in frames)


def test_a_call_over_the_limit_breaks_the_stream() -> None:
    frames = chat(chunk(call(0, "", name="a", call_id="1")), *[chunk(call(0, "x" * 2**20))] * 17)
    assert frames == [Broken("The provider's stream is unsound: a tool call is over 16 MiB.")]


def test_frames_over_the_limit_behind_a_call_break_the_stream() -> None:
    frames = chat(chunk(call(0, "", name="a", call_id="1")), *[chunk({"content": "x" * 2**20}, choice=1)] * 65)
    assert frames == [Broken("The provider's stream is unsound: what waits for a tool call is over 64 MiB.")]


def test_a_frame_over_the_limit_breaks_the_stream() -> None:
    assert [type(frame) for frame in chat(b"data: ", *[b"x" * 2**20] * 33)] == [Broken]


def test_an_error_of_the_provider_is_passed_on_as_the_end() -> None:
    told = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    assert chat(chunk({"content": "a"}), told)[-1] == Broken("The provider ended its stream with an error.", told)
    told = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    assert messages(MESSAGE_START, told)[-1] == Broken("The provider ended its stream with an error.", told)


def test_usage_that_we_asked_for_is_read_and_not_shown() -> None:
    reading = reader(WireName.OPENAI, hide_usage=True)
    frames = read(reading, CHAT["text"])
    assert not any(b"prompt_tokens" in frame.data for frame in frames)
    assert reading.usage == Usage(9, 5, cached_tokens=4, reasoning_tokens=2)
    assert reading.model == "m-1"


def test_usage_that_the_client_asked_for_is_shown() -> None:
    assert any(json.dumps(USAGE).encode() in frame.data for frame in chat(*CHAT["text"]))


def test_the_counts_of_a_message_are_cumulative() -> None:
    reading = reader(WireName.ANTHROPIC)
    read(reading, MESSAGES["text"])
    assert reading.usage == Usage(15, 7, cached_tokens=10, cache_write_tokens=2)
    assert reading.model == "c-1"


def test_blocks_of_tools_are_held_until_they_stop_and_a_call_without_pieces_has_its_first_input() -> None:
    frames = messages(*MESSAGES["thinking and tools"])
    assert calls(frames) == [ToolCall("t1", "read", '{"a": 1}'), ToolCall("t2", "list", "{}")]


def test_calls_that_the_provider_runs_are_calls() -> None:
    assert calls(messages(*MESSAGES["a tool of the provider"])) == [ToolCall("s1", "web_search", '{"query":"x"}')]


def test_a_call_of_a_set_is_named_with_it() -> None:
    block = start(0, type="mcp_tool_use", id="s", name="send", server_name="mail", input={"to": "x"})
    frames = messages(MESSAGE_START, block, stop(0), *MESSAGE_END)
    assert calls(frames) == [ToolCall("s", "mail.send", '{"to":"x"}')]


def test_a_stream_of_choices_that_have_all_finished_may_leave_the_last_frame_out() -> None:
    assert chat(chunk({"content": "a"}), chunk({}, finish="stop"))[-1] == End(b"")
    assert isinstance(chat(chunk({"content": "a"}))[-1], Broken)
    assert chat(chunk({"content": "a"}), b"data: [DONE]")[-1] == End(b"data: [DONE]")
    assert isinstance(chat()[-1], Broken)


def test_a_number_that_has_been_used_never_starts_another_call() -> None:
    """Both would be judged as one call, and its name and arguments would be those of neither."""
    tool = '{"type":"tool_use","id":"t","name":"%s","input":{}}'
    start = f'{{"type":"content_block_start","index":%d,"content_block":{tool}}}'
    piece = '{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":"{}"}}'
    stop = '{"type":"content_block_stop","index":1}'
    events = [start % (0, "other"), start % (1, "re"), piece % 1, stop, start % (1, "ad")]
    reader = wire(WireName.ANTHROPIC).stream_reader(hide_usage=False)
    out = [frame for event in events for frame in reader.feed(f"data: {event}\n\n".encode())]
    assert isinstance(out[-1], Broken)
    assert not any(isinstance(frame, HeldCall) for frame in out)
