"""How a choice of chat completions is written when a call in it is changed, or gives way to words."""

from __future__ import annotations

from typing import Any

from bawn.wire.editing import Changed
from bawn.wire.voice import Voice

OWN = ("id", "object", "created", "model", "system_fingerprint")
"""What an answer is told by, in each of its frames."""
CALLING = ("tool_calls", "function_call")
"""Reasons to end that hand over to the client's tools."""


def text_of(content: Any) -> str:
    """The text of a content, which some servers tell in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    found = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in ("text", None)]
    return "".join(each for each in found if isinstance(each, str))


def more_content(content: Any, text: str) -> Any:
    """The content with `text` behind it."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return (content or "") + text


def set_apart(content: Any, text: str) -> Any:
    """The content with `text` as a text of its own behind it."""
    return more_content(content, Voice(said=bool(content)).aside(text)) if text else content


def became(call: dict[str, Any], changed: Changed, *, free: bool) -> dict[str, Any]:
    """A call, or its first piece, with another name and other arguments, whole."""
    kind, said = ("custom", "input") if free else ("function", "arguments")
    described = call.get(kind) or {}
    return {"type": kind, **call, kind: {**described, "name": changed.name, said: changed.arguments}}


def legacy_became(call: dict[str, Any], changed: Changed) -> dict[str, Any]:
    return {**call, "name": changed.name, "arguments": changed.arguments}


def finished(reason: Any, had_calls: bool, has_calls: bool) -> Any:
    """The reason to end of a choice from which calls were taken."""
    return "stop" if had_calls and not has_calls and reason in CALLING else reason
