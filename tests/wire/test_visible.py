"""Nothing of a stream is taken for an opening that somebody could have seen, and no opening for something that was seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.terms.exchange import WireName
from bawn.wire.visible import error_in, filtered, filtered_stream, shows

CHAT, MESSAGES, RESPONSES, GEMINI = WireName.OPENAI, WireName.ANTHROPIC, WireName.RESPONSES, WireName.GEMINI


def frame(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def chat(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


def part(**said: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [said]}}]}


OPENINGS = [
    (CHAT, chat({"role": "assistant", "content": "", "refusal": None})),
    (CHAT, chat({}, finish_reason="stop")),
    (CHAT, {"choices": [], "usage": {"prompt_tokens": 1}}),
    (CHAT, {"choices": [{"text": "", "index": 0}]}),
    (MESSAGES, {"type": "message_start", "message": {"content": []}}),
    (MESSAGES, {"type": "ping"}),
    (MESSAGES, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    (
        MESSAGES,
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
    ),
    (MESSAGES, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}}),
    (RESPONSES, {"type": "response.created", "response": {"output": []}}),
    (RESPONSES, {"type": "response.in_progress", "response": {}}),
    (RESPONSES, {"type": "response.output_item.added", "item": {"type": "message", "content": []}}),
    (RESPONSES, {"type": "response.output_item.added", "item": {"type": "reasoning", "summary": []}}),
    (RESPONSES, {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}}),
    (RESPONSES, {"type": "response.output_text.delta", "delta": ""}),
    (GEMINI, part(text="")),
    (GEMINI, part(text="", thought=True)),
    (GEMINI, {"usageMetadata": {"promptTokenCount": 1}}),
]
SEEN = [
    (CHAT, chat({"content": "x"})),
    (CHAT, chat({"role": "assistant", "content": "x"})),
    (CHAT, chat({"reasoning_content": "x"})),
    (CHAT, chat({"refusal": "x"})),
    (CHAT, chat({"tool_calls": [{}]})),
    (CHAT, {"choices": [{"text": "x", "index": 0}]}),
    (MESSAGES, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
    (MESSAGES, {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}}),
    (MESSAGES, {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "x"}}),
    (MESSAGES, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}}),
    (MESSAGES, {"type": "something_new"}),
    (RESPONSES, {"type": "response.output_text.delta", "delta": "x"}),
    (RESPONSES, {"type": "response.reasoning_summary_text.delta", "delta": "x"}),
    (RESPONSES, {"type": "response.output_item.added", "item": {"type": "web_search_call"}}),
    (RESPONSES, {"type": "response.something_new"}),
    (GEMINI, part(text="x")),
    (GEMINI, part(text="x", thought=True)),
    (GEMINI, part(functionCall={"name": "f"})),
    (GEMINI, part(thoughtSignature="x")),
    (GEMINI, {"candidates": "x"}),
    (CHAT, {"choices": "x"}),
    (CHAT, []),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "event"), OPENINGS)
def test_an_opening_shows_nothing(wire: WireName, event: Any) -> None:
    assert not shows(wire, frame(event))
    assert not shows(wire, b": a comment\n\n" + frame(event) + frame(event))


@pytest.mark.parametrize(("wire", "event"), SEEN)
def test_anything_else_shows_something(wire: WireName, event: Any) -> None:
    assert shows(wire, frame(event))
    opening = next(opening for name, opening in OPENINGS if name is wire)
    assert shows(wire, frame(opening) + frame(event))


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        (CHAT, chat({}, finish_reason="content_filter")),
        (CHAT, {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
        (MESSAGES, {"type": "message_delta", "delta": {"stop_reason": "refusal"}}),
        (MESSAGES, {"type": "message", "stop_reason": "refusal", "content": []}),
        (RESPONSES, {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}}),
        (RESPONSES, {"object": "response", "incomplete_details": {"reason": "content_filter"}}),
        (GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}),
        (GEMINI, {"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]}),
    ],
)
def test_a_filter_is_known_by_the_word_of_each_wire(wire: WireName, event: dict[str, Any]) -> None:
    assert filtered(wire, event)
    assert filtered_stream(wire, frame(event))


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        (CHAT, chat({}, finish_reason="length")),
        (MESSAGES, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
        (
            RESPONSES,
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}},
        ),
        (GEMINI, {"candidates": [{"finishReason": "MAX_TOKENS"}]}),
        *OPENINGS,
        *SEEN,
    ],
)
def test_nothing_else_is_a_filter(wire: WireName, event: Any) -> None:
    assert not filtered(wire, event)


@given(st.sampled_from([CHAT, MESSAGES, RESPONSES, GEMINI, WireName.CONVERSE]), st.binary())
def test_no_bytes_raise(wire: WireName, data: bytes) -> None:
    assert shows(wire, b"data: " + data + b"\n\n") in (True, False)
    assert filtered_stream(wire, data) in (True, False)
    assert isinstance(error_in(data), bytes)


def test_the_error_of_an_event_is_found() -> None:
    assert error_in(b'event: error\ndata: {"error":{}}\n\n') == b'{"error":{}}'
    assert error_in(b": nothing\n\n") == b""
