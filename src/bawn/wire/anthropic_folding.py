"""A streamed message as a plain one, and a plain one as a stream."""

from __future__ import annotations

from typing import Any

from bawn.wire.anthropic_blocks import events_of, input_of
from bawn.wire.anthropic_calls import is_tool_call
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import dicts
from bawn.wire.typed_frames import typed_frame, typed_frames

_APPENDED = {"text_delta": "text", "thinking_delta": "thinking"}
_SET = {"signature_delta": ("signature",), "compaction_delta": ("content", "encrypted_content")}
_BESIDE = ("container", "stop_details", "stop_reason", "stop_sequence")
"""Fields of a message that its `message_delta` tells, within `delta`."""


class FoldedMessage:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}

    def message(self) -> dict[str, Any]:
        """Raises Unsound when the stream had no beginning."""
        if self._message is None:
            raise Unsound("a message has no beginning")
        return {**self._message, "content": list(self._blocks.values())}

    def event(self, kind: str, event: dict[str, Any]) -> None:
        match kind:
            case "message_start":
                self._message = dict(event["message"])
            case "content_block_start":
                index = int(event["index"])
                if index in self._blocks:
                    raise Unsound("a block starts twice")
                self._blocks[index], self._inputs[index] = dict(event["content_block"]), []
            case "content_block_delta":
                self._piece(int(event["index"]), event["delta"])
            case "content_block_stop":
                self._stop(int(event["index"]))
            case "message_delta":
                self._end(event)

    def _piece(self, index: int, delta: dict[str, Any]) -> None:
        block, kind = self._blocks[index], str(delta.get("type"))
        if kind in _APPENDED:
            field = _APPENDED[kind]
            block[field] = f"{block.get(field) or ''}{delta[field]}"
        elif kind in _SET:
            block |= {field: delta[field] for field in _SET[kind] if field in delta}
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        elif kind == "input_json_delta":
            self._inputs[index].append(delta["partial_json"])
        else:
            raise Unsound("a block has a piece of a kind that is not known")

    def _stop(self, index: int) -> None:
        block, pieces = self._blocks[index], "".join(self._inputs[index])
        if is_tool_call(block) and (pieces or "input" not in block):
            block["input"] = input_of(pieces)

    def _end(self, event: dict[str, Any]) -> None:
        message, delta, usage = self.message(), event.get("delta") or {}, event.get("usage") or {}
        told = {name: count for name, count in usage.items() if count is not None}
        message |= {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        self._message = {**message, **delta, "usage": {**(message.get("usage") or {}), **told}}


def folded_message(stream: bytes) -> dict[str, Any]:
    """Raises Unsound."""
    folded = FoldedMessage()
    for frame in typed_frames(stream):
        folded.event(frame.kind, frame.event or {})
    return folded.message()


def streamed_message(message: dict[str, Any]) -> bytes:
    """Raises Unsound."""
    usage = message.get("usage") or {}
    started = {name: value for name, value in message.items() if name not in ("container", "stop_details")}
    started |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 0}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": started}]
    for index, block in enumerate(dicts(message.get("content"), "a content")):
        events += events_of(block, index)
    delta = {name: message[name] for name in _BESIDE if name in message}
    told = {"output_tokens": usage.get("output_tokens", 0)}
    events += [{"type": "message_delta", "delta": delta, "usage": told}, {"type": "message_stop"}]
    return b"".join(typed_frame(event) for event in events)
