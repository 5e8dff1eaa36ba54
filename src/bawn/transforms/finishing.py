"""Which frame of a stream tells that the model has stopped: nothing may be said behind it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from bawn.terms.exchange import WireName

_decode = msgspec.json.Decoder().decode
_MARKS = {
    WireName.OPENAI: b"finish",
    WireName.GEMINI: b"finish",
    WireName.ANTHROPIC: b"message_",
    WireName.RESPONSES: b"response.",
}
"""Letters without which no such frame is written by anybody; the rest are not read."""


class Finish(Enum):
    NOT_YET = 0
    ENDING = 1
    WITH_TEXT = 2
    """It has stopped, and the same frame still says something."""


def finish_of(wire: WireName, data: bytes | None) -> Finish:
    """What one frame's payload says of that."""
    if data is None or _MARKS.get(wire, b"") not in data:
        return Finish.NOT_YET
    try:
        event: Any = _decode(data)
    except ValueError:  # `[DONE]`, which ends by itself
        return Finish.NOT_YET
    if not isinstance(event, dict):
        return Finish.NOT_YET
    match wire:
        case WireName.ANTHROPIC:
            return _when(event.get("type") in ("message_delta", "message_stop"))
        case WireName.RESPONSES:
            return _when(event.get("type") in ("response.completed", "response.incomplete", "response.failed"))
        case WireName.GEMINI:
            return _of_parts(event.get("candidates"), "finishReason", _gemini_text)
        case _:
            return _of_parts(event.get("choices"), "finish_reason", _chat_text)


def _when(ended: bool) -> Finish:
    return Finish.ENDING if ended else Finish.NOT_YET


def _of_parts(parts: Any, name: str, text: Any) -> Finish:
    ended = [part for part in parts or () if isinstance(part, dict) and part.get(name) is not None]
    if not ended:
        return Finish.NOT_YET
    return Finish.WITH_TEXT if any(map(text, ended)) else Finish.ENDING


def _chat_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    return isinstance(delta, dict) and bool(delta.get("content"))


def _gemini_text(candidate: dict[str, Any]) -> bool:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return any(isinstance(part, dict) and part.get("text") for part in parts or ())
