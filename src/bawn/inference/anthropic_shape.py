"""The Anthropic wire: requests read, answers written, as the official packages and their documentation have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.utterance import TOOL_PIECE, Called, Utterance, cut

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def heard(body: dict[str, Any], seed: str) -> Conversation:
    """The conversation in a messages request; a KeyError, TypeError or AttributeError when it is none."""
    names: dict[str, str] = {}
    turns = tuple(_turn(message, names) for message in body["messages"])
    return Conversation(
        wire=Wire.ANTHROPIC,
        model=str(body["model"]),
        stream=body.get("stream") is True,
        include_usage=True,
        system=_text(body.get("system")),
        turns=turns,
        offered=tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        seed=seed,
    )


def _turn(message: dict[str, Any], names: dict[str, str]) -> Turn:
    content = message["content"]
    results: list[tuple[str, str]] = []
    if not isinstance(content, str):
        for part in content:
            if part["type"] == "tool_use":
                names[part["id"]] = part["name"]
            elif part["type"] == "tool_result":
                results.append((names.get(part["tool_use_id"], ""), _text(part.get("content"))))
    return Turn(message["role"], _text(content), tuple(results))


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def plain(utterance: Utterance) -> bytes:
    content: list[dict[str, Any]] = []
    if utterance.thinking:
        content.append({"type": "thinking", "thinking": utterance.thinking, "signature": _signature(utterance)})
    content += utterance.items
    if utterance.whole_text:
        content.append({"type": "text", "text": utterance.whole_text})
    content += [{**_tool_use(call), "input": _parsed(call.arguments)} for call in utterance.calls]
    return _json(_message(utterance, content, _stop(utterance), utterance.usage.output))


def frames(utterance: Utterance) -> Iterator[bytes]:
    yield _event({"type": "message_start", "message": _message(utterance, [], None, 1)})
    yield _event({"type": "ping"})
    index = 0
    if utterance.thinking:
        yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        for piece in cut(utterance.thinking, utterance.chunk):
            yield _delta(index, {"type": "thinking_delta", "thinking": piece})
        yield _delta(index, {"type": "signature_delta", "signature": _signature(utterance)})
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    for item in utterance.items:
        yield _start(index, item)
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    if utterance.text or utterance.numbered:
        yield _start(index, {"type": "text", "text": ""})
        before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":' % index
        )
        for piece in utterance.pieces():
            yield before + json.dumps(piece).encode() + b"}}\n\n"
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    for call in utterance.calls:
        yield _start(index, _tool_use(call))
        yield _delta(index, {"type": "input_json_delta", "partial_json": ""})
        for piece in cut(call.arguments, utterance.chunk or TOOL_PIECE):
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    ending = {"stop_reason": _stop(utterance), "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": ending, "usage": {"output_tokens": utterance.usage.output}})
    yield _event({"type": "message_stop"})


def _message(utterance: Utterance, content: list[dict[str, Any]], stop: str | None, output: int) -> dict[str, Any]:
    usage = utterance.usage
    return {
        "id": f"msg_{utterance.seed[:24]}",
        "type": "message",
        "role": "assistant",
        "model": utterance.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            # This wire counts cached tokens beside the input, not within it.
            "input_tokens": max(usage.input - usage.cached - usage.cache_write, 0),
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": output,
            "service_tier": "standard",
        },
    }


def _stop(utterance: Utterance) -> str:
    return utterance.stop or ("tool_use" if utterance.calls else "end_turn")


def _tool_use(call: Called) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id.replace("call_", "toolu_"), "name": call.name, "input": {}}


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _signature(utterance: Utterance) -> str:
    return f"scripted{utterance.seed[:32]}"


def _start(index: int, block: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _event(value: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (value["type"].encode(), _json(value))


def error(status: int, message: str, seed: str) -> bytes:
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return _json({"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{seed[:24]}"})


def error_frame(message: str) -> bytes:
    return _event({"type": "error", "error": {"type": "overloaded_error", "message": message}})


def piece(text: bytes, more: bytes) -> bytes:
    """A frame with a piece of text, and what else stands in its JSON beside it; for answers gone wrong."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}%b}\n\n'
    ) % (text, more and b',"delta":{"type":"text_delta","text":"%b"}' % more)


def models(names: tuple[str, ...]) -> bytes:
    data = [_model(name) for name in names]
    edges = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return _json({"data": data, "has_more": False, **edges})


def model(name: str) -> bytes:
    return _json(_model(name))


def _model(name: str) -> dict[str, Any]:
    made = "2026-01-01T00:00:00Z"
    return {"type": "model", "id": name, "display_name": name, "created_at": made, "lifecycle": "active"}


def counted(conversation: Conversation) -> bytes:
    return _json({"input_tokens": len(cut(conversation.whole, 0))})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
