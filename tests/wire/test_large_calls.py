"""Calls that are many or long: read whole in every wire, in a time that grows with their bytes and no faster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.wire.streams import DONE, MESSAGE_END, MESSAGE_START, call, chunk, delta, event, read, start, stop

from bawn.terms.exchange import WireName
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire import wire

MANY = 1000
PIECE = "x" * 256
LONG = '{"text":"' + PIECE * (10 * 2**20 // len(PIECE)) + '"}'
MOST_SECONDS = 6
"""Some hundred times less than what grows with the square would take."""


def pieces(text: str) -> Iterator[str]:
    return (text[at : at + len(PIECE)] for at in range(0, len(text), len(PIECE)))


def chat(told: list[tuple[str, str]]) -> Iterator[bytes]:
    for index, (name, arguments) in enumerate(told):
        yield chunk(call(index, "", name=name, call_id=f"c{index}"))
        yield from (chunk(call(index, piece)) for piece in pieces(arguments))
    yield from (chunk({}, finish="tool_calls"), DONE)


def messages(told: list[tuple[str, str]]) -> Iterator[bytes]:
    yield MESSAGE_START
    for index, (name, arguments) in enumerate(told):
        yield start(index, type="tool_use", id=f"c{index}", name=name, input={})
        yield from (delta(index, "input_json_delta", partial_json=piece) for piece in pieces(arguments))
        yield stop(index)
    yield from MESSAGE_END


def responses(told: list[tuple[str, str]]) -> Iterator[bytes]:
    items = []
    for index, (name, arguments) in enumerate(told):
        item = {"type": "function_call", "id": f"f{index}", "call_id": f"c{index}", "name": name, "arguments": ""}
        where = {"output_index": index, "item_id": f"f{index}"}
        yield event("response.output_item.added", output_index=index, item=item)
        for piece in pieces(arguments):
            yield event("response.function_call_arguments.delta", delta=piece, **where)
        yield event("response.function_call_arguments.done", arguments=arguments, **where)
        items.append({**item, "arguments": arguments})
        yield event("response.output_item.done", output_index=index, item=items[-1])
    yield event("response.completed", response={"id": "r", "output": items})


def contents(told: list[tuple[str, str]]) -> Iterator[bytes]:
    for index, (name, arguments) in enumerate(told):
        part = {"functionCall": {"id": f"c{index}", "name": name, "args": json.loads(arguments)}}
        yield b"data: " + json.dumps({"candidates": [{"content": {"parts": [part]}}]}).encode() + b"\r\n\r\n"
    yield b'data: {"candidates":[{"finishReason":"STOP"}]}\r\n\r\n'


STREAMS: dict[WireName, Callable[[list[tuple[str, str]]], Iterator[bytes]]] = {
    WireName.OPENAI: chat,
    WireName.ANTHROPIC: messages,
    WireName.RESPONSES: responses,
    WireName.GEMINI: contents,
}


def quickly(name: WireName, parts: list[bytes]) -> list[Frame]:
    begun = time.process_time()
    frames = read(wire(name).stream_reader(hide_usage=False), parts)
    assert time.process_time() - begun < MOST_SECONDS
    return frames


def calls(frames: list[Frame]) -> list[ToolCall]:
    return [each for frame in frames if isinstance(frame, HeldCall) for each in frame.calls]


@pytest.mark.parametrize("name", STREAMS)
def test_a_thousand_calls_are_held_one_by_one(name: WireName) -> None:
    parts = list(STREAMS[name]([(f"f{number}", "{}") for number in range(MANY)]))
    for cut in (parts, [b"".join(parts)]):
        frames = quickly(name, cut)
        assert calls(frames) == [ToolCall(f"c{number}", f"f{number}", "{}") for number in range(MANY)]
        assert isinstance(frames[-1], End)
        assert b"".join(frame.data for frame in frames) == b"".join(parts)


@pytest.mark.parametrize("name", STREAMS)
def test_a_call_of_ten_megabytes_in_small_pieces_is_held_whole(name: WireName) -> None:
    parts = list(STREAMS[name]([("write", LONG)]))
    for cut in (parts, [b"".join(parts)]):
        frames = quickly(name, cut)
        (found,) = calls(frames)
        assert json.loads(found.arguments_raw) == json.loads(LONG)
        assert isinstance(frames[-1], End)


def test_a_long_text_that_comes_at_once_is_passed_on_as_quickly() -> None:
    frames = quickly(WireName.OPENAI, [chunk({"content": PIECE}) * 40_000, DONE])
    assert [type(frame) for frame in frames] == [TextFrame, End]


def test_a_thousand_calls_that_come_mixed_are_one_group() -> None:
    begun = [chunk(call(0, "{", name="f", call_id=f"c{n}"), choice=n) for n in range(MANY)]
    ended = [chunk(call(0, "}"), choice=n, finish="tool_calls") for n in range(MANY)]
    held, end = quickly(WireName.OPENAI, [*begun, *ended, DONE])
    assert isinstance(held, HeldCall)
    assert held.calls == tuple(ToolCall(f"c{n}", "f", "{}") for n in range(MANY))
    assert isinstance(end, End)
    assert isinstance(quickly(WireName.OPENAI, [*begun, *ended[:-1]])[-1], Broken)


def test_a_thousand_calls_in_every_frame_are_one_group() -> None:
    def every(arguments: str, **named: str) -> dict[str, Any]:
        return {"tool_calls": [call(n, arguments, **named)["tool_calls"][0] for n in range(MANY)]}

    parts = [chunk(every("", name="f", call_id="c")), *[chunk(every("x"))] * 50, chunk({}, finish="tool_calls"), DONE]
    held, _ = quickly(WireName.OPENAI, parts)
    assert isinstance(held, HeldCall)
    assert held.calls == (ToolCall("c", "f", "x" * 50),) * MANY


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_stream_that_ends_within_a_call_is_broken_and_the_call_stays_here(name: WireName, lost: int) -> None:
    *parts, _ = STREAMS[name]([("read", "{}"), ("write", "{}")])
    frames = read(wire(name).stream_reader(hide_usage=False), parts[: -lost or None])
    assert isinstance(frames[-1], Broken)
    assert frames[-1].sentence == "The provider's stream ended before its answer was whole."
    released = calls(frames)
    assert released == [ToolCall("c0", "read", "{}"), ToolCall("c1", "write", "{}")][: len(released)]
