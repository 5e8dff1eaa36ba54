"""Recorded shapes of both wires, and ways to cut them up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from bawn.terms.frames import Frame, TextFrame
from bawn.wire.interface import StreamReader


def chunk(delta: dict[str, Any] | None = None, *, choice: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """One frame of a chat completion."""
    choices = [] if delta is None else [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices}
    return b"data: " + json.dumps({**whole, **more}).encode() + b"\n\n"


def call(index: int, arguments: str, *, name: str = "", call_id: str = "") -> dict[str, Any]:
    """The delta that carries a piece of a tool call."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    described: dict[str, Any] = {"index": index, "function": function}
    return {"tool_calls": [described | ({"id": call_id, "type": "function"} if call_id else {})]}


DONE = b"data: [DONE]\n\n"
USAGE = {
    "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip
CHAT: dict[str, list[bytes]] = {
    "text": [
        chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), b": keep-alive\n\n",
        chunk({"content": "llo"}), chunk({}, finish="stop"), chunk(usage=USAGE), DONE,
    ],
    "parallel tools": [
        chunk({"role": "assistant", "content": None}), chunk(call(0, "", name="read", call_id="c0")),
        chunk(call(0, '{"a"')), chunk(call(0, ":1}")), chunk(call(1, "", name="write", call_id="c1")),
        chunk(call(1, "{}")), chunk({}, finish="tool_calls"), chunk(usage=USAGE), DONE,
    ],
    "two choices": [
        chunk(call(0, "{", name="read", call_id="c0")), chunk({"content": "on"}, choice=1),
        chunk(call(0, "}")), chunk({}, choice=1, finish="stop"), chunk({}, finish="tool_calls"), DONE,
    ],
    "two choices with calls": [
        chunk(call(0, "{", name="read", call_id="c0")), chunk(call(0, "[", name="list", call_id="d0"), choice=1),
        chunk(call(0, "}")), chunk({}, finish="tool_calls"),
        chunk(call(0, "]"), choice=1), chunk({}, choice=1, finish="tool_calls"), DONE,
    ],
    "a function call": [
        chunk({"function_call": {"name": "read", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}),
        chunk({}, finish="function_call"), DONE,
    ],
    "a refusal": [chunk({"refusal": "No."}), chunk({}, finish="stop"), DONE],
}  # fmt: skip


def event(kind: str, **fields: Any) -> bytes:
    """One frame of a message."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


MESSAGE_START = event(
    "message_start",
    message={
        "id": "msg_1", "type": "message", "role": "assistant", "model": "c-1", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {
            "input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 2, "output_tokens": 1,
        },
    },
)  # fmt: skip
MESSAGE_END = [
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 7}),
    event("message_stop"),
]
MESSAGES: dict[str, list[bytes]] = {
    "text": [
        MESSAGE_START, start(0, type="text", text=""), event("ping"), delta(0, "text_delta", text="Hé"),
        delta(0, "text_delta", text="llo"), stop(0), *MESSAGE_END,
    ],
    "thinking and tools": [
        MESSAGE_START, start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm."), delta(0, "signature_delta", signature="xyz"), stop(0),
        start(1, type="tool_use", id="t1", name="read", input={}), delta(1, "input_json_delta", partial_json=""),
        delta(1, "input_json_delta", partial_json='{"a"'), delta(1, "input_json_delta", partial_json=": 1}"), stop(1),
        start(2, type="tool_use", id="t2", name="list", input={}), stop(2), *MESSAGE_END,
    ],
    "a tool of the provider": [
        MESSAGE_START, start(0, type="server_tool_use", id="s1", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"query":"x"}'), stop(0),
        start(1, type="web_search_tool_result", tool_use_id="s1", content=[]), stop(1), *MESSAGE_END,
    ],
}  # fmt: skip


def read(reader: StreamReader, parts: Iterable[bytes]) -> list[Frame]:
    """All frames, with neighbouring text joined, as a client would see them."""
    frames: list[Frame] = []
    for part in parts:
        frames += reader.feed(part)
    frames += reader.close()
    joined: list[Frame] = []
    for frame in frames:
        last = joined[-1] if joined else None
        if isinstance(frame, TextFrame) and isinstance(last, TextFrame):
            joined[-1] = TextFrame(last.data + frame.data)
        else:
            joined.append(frame)
    return joined


LINE_ENDS: dict[str, Callable[[bytes], bytes]] = {
    "LF": lambda data: data,
    "CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
}
