"""Answers of Google's Gemini, whole and streamed, to and from a reply."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import Usage, WireName
from bawn.translation.gemini_request import either
from bawn.translation.neutral import (
    Called,
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
    fitting_id,
    named,
    object_of,
)  # fmt: skip
from bawn.translation.sse_events import SseEvents
from bawn.wire.holding import Unsound
from bawn.wire.json_text import written
from bawn.wire.usage import gemini_usage

_STOPS = {"STOP": Stop.END, "MAX_TOKENS": Stop.LENGTH}
_FILTERED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "OTHER",
)  # fmt: skip
_REASONS = {
    Stop.END: "STOP", Stop.LENGTH: "MAX_TOKENS", Stop.CALLS: "STOP", Stop.SEQUENCE: "STOP", Stop.FILTERED: "SAFETY",
}  # fmt: skip


def read_answer(read: dict[str, Any], call_id: str) -> Reply:
    """Raises Unsound, and NotTranslatable when there is a part that others have no word for.

    Calls may come without an id; then they get one that follows from `call_id`.
    """
    parts, reason = _candidate(read, call_id, 0)
    called = any(isinstance(part, ToolUse) for part in parts)
    return Reply(str(either(read, "modelVersion") or ""), tuple(parts), _stop(reason, called=called), _used(read))


def _used(read: dict[str, Any]) -> Usage | None:
    return gemini_usage(either(read, "usageMetadata"))


def _candidate(read: dict[str, Any], call_id: str, calls: int) -> tuple[list[Text | Thinking | ToolUse], str]:
    candidates = read.get("candidates")
    if not candidates:
        feedback = either(read, "promptFeedback")
        blocked = isinstance(feedback, dict) and either(feedback, "blockReason")
        return [], "SAFETY" if blocked else ""
    if not isinstance(candidates, list) or len(candidates) != 1 or not isinstance(candidates[0], dict):
        raise Unsound("there is not one candidate")
    content = candidates[0].get("content")
    given = content.get("parts") if isinstance(content, dict) else ()
    parts: list[Text | Thinking | ToolUse] = []
    if given is not None and not isinstance(given, list | tuple):
        raise Unsound("the parts are not a list")
    for part in given or ():
        if not isinstance(part, dict):
            raise Unsound("a part is not an object")
        read_part = _part(part, call_id, calls)
        calls += isinstance(read_part, ToolUse)
        parts.append(read_part)
    reason = either(candidates[0], "finishReason")
    return parts, reason if isinstance(reason, str) else ""


def _part(part: dict[str, Any], call_id: str, number: int) -> Text | Thinking | ToolUse:
    proof = either(part, "thoughtSignature")
    proof = proof if isinstance(proof, str) else ""
    if isinstance(part.get("text"), str):
        return Thinking(part["text"], proof, WireName.GEMINI) if part.get("thought") is True else Text(part["text"])
    call = either(part, "functionCall")
    if not isinstance(call, dict):
        raise NotTranslatable(f"a part with {', '.join(named(each) for each in sorted(part)[:5]) or 'nothing'}")
    name = call.get("name")
    if not isinstance(name, str) or not name:
        raise Unsound("a tool call has no name")
    said = call.get("id")
    made = fitting_id(said) if isinstance(said, str) and said else f"{call_id}_{number}"
    return ToolUse(made, name, written(call.get("args") or {}), proof, WireName.GEMINI)


def _stop(reason: str, *, called: bool) -> Stop:
    if reason in _STOPS:
        return Stop.CALLS if called and reason == "STOP" else _STOPS[reason]
    if reason in _FILTERED:
        return Stop.FILTERED
    raise Unsound(f"it ended by {named(reason) if reason else 'no reason'}")


class GeminiEvents(SseEvents):
    """A streamed answer as events. It is over when HTTP is, after a reason was given."""

    def __init__(self, call_id: str) -> None:
        super().__init__()
        self._call_id = call_id
        self._calls = 0
        self._opened = False
        self._reason = ""
        self._usage: Usage | None = None

    def _left(self) -> list[StreamEvent]:
        return [Over(_stop(self._reason, called=self._calls > 0), self._usage)]

    def _event(self, read: dict[str, Any]) -> list[StreamEvent]:
        if read.get("error") is not None:
            raise Unsound("it ended with an error")
        out: list[StreamEvent] = []
        self._usage = _used(read) or self._usage
        if not self._opened:
            self._opened = True
            out.append(Opened(str(either(read, "modelVersion") or ""), self._usage))
        parts, reason = _candidate(read, self._call_id, self._calls)
        self._reason = reason or self._reason
        for part in parts:
            match part:
                case Text(text=text) if text:
                    out.append(Said(text))
                case Thinking(text=text, proof=proof):
                    out.append(Thought(text, proof))
                case ToolUse():
                    self._calls += 1
                    out.append(Called(part))
        return out


# out


def write_answer(reply: Reply, call_id: str) -> bytes:
    answer = _answer(reply.model, call_id, [_written(part) for part in reply.parts], reply.usage, reply.stop)
    return msgspec.json.encode(answer)


def _answer(
    model: str, call_id: str, parts: list[dict[str, Any]], usage: Usage | None, stop: Stop | None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if stop is not None:
        candidate["finishReason"] = _REASONS[stop]
    answer: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": call_id}
    if usage is not None:
        answer["usageMetadata"] = _usage(usage)
    return answer


def _usage(usage: Usage) -> dict[str, Any]:
    counted = {
        "promptTokenCount": usage.input_tokens,
        # Thoughts are counted beside the candidates on this wire, not within them.
        "candidatesTokenCount": max(usage.output_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counted["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        counted["thoughtsTokenCount"] = usage.reasoning_tokens
    return counted


def _written(part: Text | Thinking | ToolUse) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"text": text}
        case Thinking(text=text):
            return {"text": text, "thought": True}
        case ToolUse(id=call_id, name=name, arguments=arguments):
            return {"functionCall": {"id": call_id, "name": name, "args": object_of(arguments)}}


class GeminiWriter:
    """Events as a streamed answer. Proofs of others stay here; they are kept by the call's id."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._model = ""

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case Opened(model=model):
                self._model = model
                return b""
            case Said(text=text):
                return self._frame([_written(Text(text))])
            case Thought(text=text):
                return self._frame([_written(Thinking(text))]) if text else b""
            case Called(call=call):
                return self._frame([_written(call)])
            case Over(stop=stop, usage=usage):
                return self._frame([{"text": ""}], usage or Usage(), stop)

    def _frame(self, parts: list[dict[str, Any]], usage: Usage | None = None, stop: Stop | None = None) -> bytes:
        return b"data: " + msgspec.json.encode(_answer(self._model, self._call_id, parts, usage, stop)) + b"\r\n\r\n"
