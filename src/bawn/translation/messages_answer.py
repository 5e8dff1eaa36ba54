"""Answers of Anthropic's messages, whole and streamed, to and from a reply."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import Usage, WireName
from bawn.translation.messages_request import client_thinking
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
from bawn.wire.usage import anthropic_usage

_STOPS = {
    "end_turn": Stop.END, "max_tokens": Stop.LENGTH, "stop_sequence": Stop.SEQUENCE, "tool_use": Stop.CALLS,
    "refusal": Stop.FILTERED, "model_context_window_exceeded": Stop.LENGTH,
}  # fmt: skip
_REASONS = {
    Stop.END: "end_turn", Stop.LENGTH: "max_tokens", Stop.CALLS: "tool_use", Stop.SEQUENCE: "stop_sequence",
    Stop.FILTERED: "refusal",
}  # fmt: skip


def read_answer(read: dict[str, Any]) -> Reply:
    """Raises Unsound, and NotTranslatable when there is a block that others have no word for."""
    content = read.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise Unsound("an answer has no content")
    parts = tuple(_part(block) for block in content)
    return Reply(str(read.get("model", "")), parts, _stop(read), anthropic_usage(read.get("usage")))


def _part(block: dict[str, Any]) -> Text | Thinking | ToolUse:
    match block.get("type"):
        case "text":
            return Text(_text(block, "text"))
        case "thinking":
            return Thinking(_text(block, "thinking"), _text(block, "signature"), WireName.ANTHROPIC)
        case "redacted_thinking":
            return Thinking("", _text(block, "data"), WireName.ANTHROPIC, sealed=True)
        case "tool_use":
            return ToolUse(fitting_id(_text(block, "id")), _text(block, "name"), written(block.get("input") or {}))
        case kind:
            raise NotTranslatable(f"a block of the type {named(kind)}")


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name, "")
    if not isinstance(value, str):
        raise Unsound(f"the {name} of a block is not a text")
    return value


def _stop(said: dict[str, Any]) -> Stop:
    reason = said.get("stop_reason")
    if reason == "pause_turn":
        raise NotTranslatable("a turn that pauses")
    if not isinstance(reason, str) or reason not in _STOPS:
        raise Unsound(f"it ended by {named(reason) if reason else 'no reason'}")
    return _STOPS[reason]


class MessagesEvents(SseEvents):
    """A streamed message as events."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, tuple[dict[str, Any], list[str]]] = {}
        self._stop: Stop | None = None
        self._usage: Usage | None = None

    def _event(self, event: dict[str, Any]) -> list[StreamEvent]:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                if not isinstance(message, dict):
                    raise Unsound("a message does not start as it must")
                self._usage = anthropic_usage(message.get("usage"))
                return [Opened(str(message.get("model", "")), self._usage)]
            case "content_block_start":
                return self._start(event)
            case "content_block_delta":
                return self._delta(event)
            case "content_block_stop":
                return self._end(event)
            case "message_delta":
                delta = event.get("delta")
                self._stop = _stop(delta if isinstance(delta, dict) else {})
                self._usage = anthropic_usage(event.get("usage"), self._usage)
                return []
            case "message_stop":
                if self._blocks or self._stop is None:
                    raise Unsound("it ended within a block, or by no reason")
                self._over = True
                return [Over(self._stop, self._usage)]
            case "error":
                raise Unsound("it ended with an error")
            case _:
                return []

    def _start(self, event: dict[str, Any]) -> list[StreamEvent]:
        index, block = _index(event), event.get("content_block")
        if not isinstance(block, dict) or index in self._blocks:
            raise Unsound("a block does not start as it must")
        part = _part(block)
        self._blocks[index] = block, []
        if isinstance(part, Text) and part.text:
            return [Said(part.text)]
        if isinstance(part, Thinking) and not part.sealed and part.text:
            return [Thought(part.text)]
        return []

    def _delta(self, event: dict[str, Any]) -> list[StreamEvent]:
        found, delta = self._blocks.get(_index(event)), event.get("delta")
        if found is None or not isinstance(delta, dict):
            raise Unsound("a piece belongs to no open block")
        match delta.get("type"):
            case "text_delta":
                return [Said(_text(delta, "text"))]
            case "thinking_delta":
                return [Thought(_text(delta, "thinking"))]
            case "signature_delta":
                return [Thought("", _text(delta, "signature"))]
            case "input_json_delta":
                piece = _text(delta, "partial_json")
                self._hold(len(piece))
                found[1].append(piece)
                return []
            case "citations_delta":
                return []
            case kind:
                raise NotTranslatable(f"a piece of the type {named(kind)}")

    def _end(self, event: dict[str, Any]) -> list[StreamEvent]:
        found = self._blocks.pop(_index(event), None)
        if found is None:
            raise Unsound("a block stops that is not open")
        part = _part(found[0])
        if isinstance(part, ToolUse):
            arguments = "".join(found[1])
            return [Called(msgspec.structs.replace(part, arguments=arguments) if arguments else part)]
        if isinstance(part, Thinking) and part.sealed:
            return [Thought("", part.proof, sealed=True)]
        return []


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise Unsound("a block has no number")
    return index


# out


def write_answer(reply: Reply, call_id: str) -> bytes:
    return msgspec.json.encode(
        {
            **_message(reply.model, call_id),
            "content": [_block(part) for part in reply.parts if not isinstance(part, Text) or part.text],
            "stop_reason": _REASONS[reply.stop],
            "usage": _usage(reply.usage or Usage()),
        }
    )


def _message(model: str, call_id: str) -> dict[str, Any]:
    return {
        "id": f"msg_{call_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(Usage()),
    }


def _block(part: Text | Thinking | ToolUse) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Thinking():
            return client_thinking(part)
        case ToolUse(id=call_id, name=name, arguments=arguments):
            return {"type": "tool_use", "id": call_id, "name": name, "input": object_of(arguments)}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        # This wire counts cached tokens beside the input, not within it.
        "input_tokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


class MessagesWriter:
    """Events as a streamed message."""

    def __init__(self, call_id: str, origin: WireName) -> None:
        self._call_id = call_id
        self._origin = origin
        self._index = -1
        self._open = ""
        """The type of the block that is open."""

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case Opened(model=model, usage=usage):
                message = {**_message(model, self._call_id), "usage": _usage(usage or Usage())}
                return _event({"type": "message_start", "message": message})
            case Said(text=text):
                return self._within("text", {"type": "text", "text": ""}) + self._delta("text_delta", "text", text)
            case Thought():
                return self._thought(event)
            case Called(call=call):
                block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
                started = self._within("tool_use", block, new=True)
                return started + self._delta("input_json_delta", "partial_json", call.arguments) + self._close()
            case Over(stop=stop, usage=usage):
                ended = {"stop_reason": _REASONS[stop], "stop_sequence": None}
                last = _event({"type": "message_delta", "delta": ended, "usage": _usage(usage or Usage())})
                return self._close() + last + _event({"type": "message_stop"})

    def _thought(self, thought: Thought) -> bytes:
        said = client_thinking(Thinking(thought.text, thought.proof, self._origin, thought.sealed))
        if thought.sealed:
            return self._within("redacted_thinking", said, new=True) + self._close()
        out = self._within("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if thought.text:
            out += self._delta("thinking_delta", "thinking", thought.text)
        if thought.proof:
            out += self._delta("signature_delta", "signature", said["signature"]) + self._close()
        return out

    def _within(self, kind: str, block: dict[str, Any], *, new: bool = False) -> bytes:
        """A block of this type is open after it."""
        if self._open == kind and not new:
            return b""
        closed = self._close()
        self._index += 1
        self._open = kind
        return closed + _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, kind: str, name: str, value: str) -> bytes:
        delta = {"type": kind, name: value}
        return _event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event({"type": "content_block_stop", "index": self._index})


def _event(event: dict[str, Any]) -> bytes:
    kind: str = event["type"]
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
