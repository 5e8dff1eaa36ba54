"""Answers of AWS Bedrock's Converse, whole and as its binary event stream, read into a reply."""

from __future__ import annotations

from typing import Any

from bawn.errors import Fault
from bawn.terms.exchange import Usage, WireName
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
)  # fmt: skip
from bawn.wire.event_stream import EventStreamReader, Message
from bawn.wire.holding import MAX_HELD_BYTES, Unsound
from bawn.wire.json_text import read_plain, written
from bawn.wire.usage import converse_usage

_STOPS = {
    "end_turn": Stop.END, "tool_use": Stop.CALLS, "max_tokens": Stop.LENGTH, "stop_sequence": Stop.SEQUENCE,
    "guardrail_intervened": Stop.FILTERED, "content_filtered": Stop.FILTERED,
    "model_context_window_exceeded": Stop.LENGTH,
}  # fmt: skip


def read_answer(read: dict[str, Any]) -> Reply:
    """Raises Unsound, and NotTranslatable when there is a block that others have no word for."""
    output = read.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise Unsound("an answer has no content")
    parts = tuple(_part(block) for block in content)
    return Reply("", parts, _stop(read.get("stopReason")), converse_usage(read.get("usage")))


def _stop(reason: Any) -> Stop:
    if not isinstance(reason, str) or reason not in _STOPS:
        raise Unsound("it ended by a reason that is not known")
    return _STOPS[reason]


def _part(block: dict[str, Any]) -> Text | Thinking | ToolUse:
    if isinstance(block.get("text"), str):
        return Text(block["text"])
    if isinstance(use := block.get("toolUse"), dict):
        call_id, name = use.get("toolUseId"), use.get("name")
        if not isinstance(call_id, str) or not isinstance(name, str) or not name:
            raise Unsound("a tool call has no id or no name")
        return ToolUse(fitting_id(call_id), name, written(use.get("input") or {}))
    if isinstance(reasoning := block.get("reasoningContent"), dict):
        sealed = reasoning.get("redactedContent")
        if isinstance(sealed, str):
            return Thinking("", sealed, WireName.CONVERSE, sealed=True)
        told = reasoning.get("reasoningText")
        if isinstance(told, dict):
            return Thinking(str(told.get("text", "")), str(told.get("signature", "")), WireName.CONVERSE)
    raise NotTranslatable(f"a block with {', '.join(named(each) for each in sorted(block)[:5]) or 'nothing'}")


class ConverseEvents:
    """A streamed answer as events."""

    def __init__(self) -> None:
        self._reader = EventStreamReader()
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._held = 0
        self._stop: Stop | None = None
        self._over = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        try:
            messages = self._reader.feed(data)
        except Fault as fault:
            raise Unsound(fault.cause or "its events cannot be read") from None
        return [event for message in messages for event in self._message(message)]

    def close(self) -> list[StreamEvent]:
        try:
            self._reader.close()
        except Fault as fault:
            raise Unsound(fault.cause or "its events cannot be read") from None
        if not self._over and self._stop is None:
            raise Unsound("it ended before the answer was whole")
        out: list[StreamEvent] = [] if self._over else [Over(self._stop or Stop.END, None)]
        self._over = True
        return out

    def _message(self, message: Message) -> list[StreamEvent]:
        if message.kind != "event":
            raise Unsound("it ended with an error")
        event = read_plain(message.payload)
        if not isinstance(event, dict):
            raise Unsound("an event is not an object")
        match message.event:
            case "messageStart":
                return [Opened("")]
            case "contentBlockStart":
                self._start(event)
                return []
            case "contentBlockDelta":
                return self._delta(event)
            case "contentBlockStop":
                return self._end(event)
            case "messageStop":
                if self._calls:
                    raise Unsound("it ended within a tool call")
                self._stop = _stop(event.get("stopReason"))
                return []
            case "metadata":
                return self._metadata(converse_usage(event.get("usage")))
            case _:
                return []

    def _metadata(self, usage: Usage | None) -> list[StreamEvent]:
        if self._stop is None or self._over:
            raise Unsound("it tells its usage before its end")
        self._over = True
        return [Over(self._stop, usage)]

    def _start(self, event: dict[str, Any]) -> None:
        start = event.get("start")
        use = start.get("toolUse") if isinstance(start, dict) else None
        if not isinstance(use, dict):
            raise NotTranslatable("a block of another kind than text and calls")
        part = _part({"toolUse": use})
        if isinstance(part, ToolUse):
            self._calls[_index(event)] = part.id, part.name, []

    def _delta(self, event: dict[str, Any]) -> list[StreamEvent]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            raise Unsound("a piece is not an object")
        if isinstance(use := delta.get("toolUse"), dict):
            call, piece = self._calls.get(_index(event)), use.get("input", "")
            if call is None or not isinstance(piece, str):
                raise Unsound("a piece belongs to no open call")
            self._held += len(piece)
            if self._held > MAX_HELD_BYTES:
                raise Unsound("its calls are too long")
            call[2].append(piece)
            return []
        if isinstance(delta.get("text"), str):
            return [Said(delta["text"])]
        if isinstance(reasoning := delta.get("reasoningContent"), dict):
            if isinstance(sealed := reasoning.get("redactedContent"), str):
                return [Thought("", sealed, sealed=True)]
            return [Thought(str(reasoning.get("text", "")), str(reasoning.get("signature", "")))]
        raise NotTranslatable(f"a piece with {', '.join(named(each) for each in sorted(delta)[:5]) or 'nothing'}")

    def _end(self, event: dict[str, Any]) -> list[StreamEvent]:
        call = self._calls.pop(_index(event), None)
        return [Called(ToolUse(call[0], call[1], "".join(call[2]) or "{}"))] if call is not None else []


def _index(event: dict[str, Any]) -> int:
    index = event.get("contentBlockIndex")
    if not isinstance(index, int):
        raise Unsound("a block has no number")
    return index
