"""Converse of AWS Bedrock: requests read, answers written as its documentation has them, streams as binary events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.event_stream import message
from bawn.inference.utterance import TOOL_PIECE, Called, Utterance, cut

_ERROR_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def heard(body: dict[str, Any], seed: str, model: str, stream: bool) -> Conversation:
    """The conversation in a request; a KeyError, TypeError or AttributeError when it is none."""
    names: dict[str, str] = {}
    turns = tuple(_turn(turn, names) for turn in body["messages"])
    tools = (body.get("toolConfig") or {}).get("tools") or ()
    return Conversation(
        wire=Wire.CONVERSE,
        model=model,
        stream=stream,
        include_usage=True,
        system=_text(body.get("system") or ()),
        turns=turns,
        offered=tuple(tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool),
        seed=seed,
        asked=body,
    )


def _turn(turn: dict[str, Any], names: dict[str, str]) -> Turn:
    results: list[tuple[str, str]] = []
    for block in turn["content"]:
        if "toolUse" in block:
            names[block["toolUse"]["toolUseId"]] = block["toolUse"]["name"]
        elif "toolResult" in block:
            result = block["toolResult"]
            results.append((names.get(result["toolUseId"], ""), _text(result["content"])))
    return Turn(turn["role"], _text(turn["content"]), tuple(results))


def _text(blocks: Any) -> str:
    given = (block.get("text", json.dumps(block["json"]) if "json" in block else None) for block in blocks)
    return "\n".join(text for text in given if text is not None)


def plain(utterance: Utterance) -> bytes:
    content: list[dict[str, Any]] = []
    if utterance.thinking:
        thought = {"text": utterance.thinking, "signature": _signature(utterance)}
        content.append({"reasoningContent": {"reasoningText": thought}})
    content += utterance.items
    if utterance.whole_text:
        content.append({"text": utterance.whole_text})
    content += [{"toolUse": {**_use(call), "input": _parsed(call.arguments)}} for call in utterance.calls]
    return as_json(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop(utterance),
            "usage": _usage(utterance),
            "metrics": {"latencyMs": 1},
        }
    )


def frames(utterance: Utterance) -> Iterator[bytes]:
    yield _event("messageStart", {"role": "assistant"})
    index = 0
    if utterance.thinking:
        for piece in cut(utterance.thinking, utterance.chunk):
            yield _delta(index, {"reasoningContent": {"text": piece}})
        yield _delta(index, {"reasoningContent": {"signature": _signature(utterance)}})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for item in utterance.items:
        yield _delta(index, item)
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    if utterance.text or utterance.numbered:
        # Text has no beginning of its own on this wire.
        for piece in utterance.pieces():
            yield _delta(index, {"text": piece})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for call in utterance.calls:
        yield _event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": _use(call)}})
        for piece in cut(call.arguments, utterance.chunk or TOOL_PIECE):
            yield _delta(index, {"toolUse": {"input": piece}})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    yield _event("messageStop", {"stopReason": _stop(utterance)})
    yield _event("metadata", {"usage": _usage(utterance), "metrics": {"latencyMs": 1}})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def _event(kind: str, value: dict[str, Any]) -> bytes:
    # `p` pads events to like lengths, so that who listens to the line learns less.
    return framed(kind, as_json({**value, "p": "abcdefgh"}))


def framed(kind: str, payload: bytes) -> bytes:
    return message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def _use(call: Called) -> dict[str, Any]:
    return {"toolUseId": call.id.replace("call_", "tooluse_"), "name": call.name}


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _stop(utterance: Utterance) -> str:
    return utterance.stop or ("tool_use" if utterance.calls else "end_turn")


def _signature(utterance: Utterance) -> str:
    return f"scripted{utterance.seed[:32]}"


def _usage(utterance: Utterance) -> dict[str, Any]:
    usage = utterance.usage
    # Cached tokens are counted beside the input, not within it.
    fresh = max(usage.input - usage.cached - usage.cache_write, 0)
    return {
        "inputTokens": fresh,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_write,
    }


def error(status: int, said: str) -> bytes:
    return as_json({"message": said})


def error_type(status: int) -> str:
    """The header that says what kind of error it is; the body has none."""
    return _ERROR_TYPES.get(status, "InternalServerException" if status >= 500 else "ValidationException")


def error_frame(said: str) -> bytes:
    headers = {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, as_json({"message": said}))


def piece(text: bytes, more: bytes) -> bytes:
    """An event with a piece of text, and what else stands in its JSON beside it; for answers gone wrong."""
    payload = b'{"contentBlockIndex":0,"delta":{"text":"%b"%b}}' % (text, more and b',"text":"%b"' % more)
    return framed("contentBlockDelta", payload)


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
