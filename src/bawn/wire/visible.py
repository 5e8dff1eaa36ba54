"""Whether frames of a stream show anything yet, and whether an answer was ended by the provider's filter.

Before the first visible part, a stream can be left and another be begun, and the client cannot tell. Roles, openings of
messages and of empty blocks, pings and usage show nothing. What is not known to be such an opening counts as visible, so
that nothing goes out twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bawn.terms.exchange import WireName
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.sse import SseSplitter, TooLong

_RESPONSES_OPENINGS = frozenset(
    ("response.created", "response.in_progress", "response.queued", "response.content_part.added",
     "response.reasoning_summary_part.added", "keepalive")
)  # fmt: skip
_GEMINI_FILTERED = frozenset(
    ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT")
)


def shows(wire: WireName, frames: bytes) -> bool:
    """Whether whole frames of a stream bring something that the client's user may see or its program act on."""
    return any(_shows(_SHOWN[wire], event) for event in _events(frames))


def filtered_stream(wire: WireName, frames: bytes) -> bool:
    """Whether these frames say that the provider's filter ended the answer."""
    return any(filtered(wire, event) for event in _events(frames))


def filtered(wire: WireName, answer: Any) -> bool:
    """Whether a whole answer, or one event of a stream, says so."""
    return isinstance(answer, dict) and _FILTERED[wire](answer)


def error_in(frames: bytes) -> bytes:
    """The JSON of an error event, as it came."""
    return next((data for data in _data(frames) if data), b"")


def _shows(shown: Callable[[dict[str, Any]], bool], event: Any) -> bool:
    return not isinstance(event, dict) or shown(event)


def _events(frames: bytes) -> list[Any]:
    events = []
    for data in _data(frames):
        try:
            events.append(read_plain(data))
        except NotPlain:
            events.append(None)
    return events


def _data(frames: bytes) -> list[bytes]:
    splitter = SseSplitter()
    try:
        whole = [*splitter.feed(frames), *splitter.last()]
    except TooLong:
        return [b"null"]
    return [frame.data for frame in whole if frame.data is not None and frame.data.strip() != b"[DONE]"]


def _chat_shows(event: dict[str, Any]) -> bool:
    choices = event.get("choices")
    if not isinstance(choices, list):
        return True
    for choice in choices:
        if not isinstance(choice, dict) or choice.get("text"):
            return True
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role"):
            return True
    return False


def _messages_show(event: dict[str, Any]) -> bool:
    match event.get("type"):
        case "message_start" | "ping" | "content_block_stop" | "message_delta" | "message_stop":
            return False
        case "content_block_start":
            block = event.get("content_block")
            if not isinstance(block, dict) or block.get("type") not in ("text", "thinking"):
                return True
            return any(value for name, value in block.items() if name != "type")
        case "content_block_delta":
            delta = event.get("delta")
            return not isinstance(delta, dict) or any(value for name, value in delta.items() if name != "type")
        case _:
            return True


def _responses_show(event: dict[str, Any]) -> bool:
    kind = event.get("type")
    if kind in _RESPONSES_OPENINGS:
        return False
    if kind == "response.output_item.added":
        item = event.get("item")
        return (
            not isinstance(item, dict) or item.get("type") not in ("message", "reasoning") or bool(item.get("content"))
        )
    if isinstance(kind, str) and kind.endswith(".delta"):
        return bool(event.get("delta"))
    return True


def _gemini_shows(event: dict[str, Any]) -> bool:
    candidates = event.get("candidates")
    if candidates is None:
        return False
    if not isinstance(candidates, list):
        return True
    for candidate in candidates:
        content = candidate.get("content") if isinstance(candidate, dict) else None
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or any(value for name, value in part.items() if name != "thought"):
                return True
    return False


def _chat_filtered(answer: dict[str, Any]) -> bool:
    choices = answer.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") == "content_filter" for choice in choices
    )


def _message_filtered(answer: dict[str, Any]) -> bool:
    delta = answer.get("delta")
    return "refusal" in (answer.get("stop_reason"), delta.get("stop_reason") if isinstance(delta, dict) else None)


def _response_filtered(answer: dict[str, Any]) -> bool:
    response = answer.get("response", answer)
    why = response.get("incomplete_details") if isinstance(response, dict) else None
    return isinstance(why, dict) and why.get("reason") == "content_filter"


def _gemini_filtered(answer: dict[str, Any]) -> bool:
    feedback = answer.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return True
    candidates = answer.get("candidates")
    return isinstance(candidates, list) and any(
        isinstance(each, dict) and each.get("finishReason") in _GEMINI_FILTERED for each in candidates
    )


_SHOWN: dict[WireName, Callable[[dict[str, Any]], bool]] = {
    WireName.OPENAI: _chat_shows,
    WireName.ANTHROPIC: _messages_show,
    WireName.RESPONSES: _responses_show,
    WireName.GEMINI: _gemini_shows,
    WireName.CONVERSE: lambda event: True,
}
_FILTERED: dict[WireName, Callable[[dict[str, Any]], bool]] = {
    WireName.OPENAI: _chat_filtered,
    WireName.ANTHROPIC: _message_filtered,
    WireName.RESPONSES: _response_filtered,
    WireName.GEMINI: _gemini_filtered,
    WireName.CONVERSE: lambda answer: False,
}
"""The wire of Bedrock is spoken to providers only; what is looked at here is of the client's."""
