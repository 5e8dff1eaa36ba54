"""The OpenAI wire: requests read, answers written, as the official packages and their documentation have them."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.utterance import TOOL_PIECE, Called, Utterance, cut

_ERROR_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "forbidden"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
DONE = b"data: [DONE]\n\n"


def heard(body: dict[str, Any], seed: str) -> Conversation:
    """The conversation in a chat completion request; a KeyError, TypeError or AttributeError when it is none."""
    names: dict[str, str] = {}
    turns: list[Turn] = []
    system: list[str] = []
    for message in body["messages"]:
        role, text = message["role"], _text(message.get("content"))
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if role in {"system", "developer"}:
            system.append(text)
        elif role == "tool":
            turns.append(Turn("user", "", ((names.get(message.get("tool_call_id"), ""), text),)))
        else:
            turns.append(Turn(role, text))
    return Conversation(
        wire=Wire.OPENAI,
        model=str(body["model"]),
        stream=body.get("stream") is True,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        system="\n".join(system),
        turns=tuple(turns),
        offered=tuple(tool["function"]["name"] for tool in body.get("tools") or () if "function" in tool),
        seed=seed,
    )


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def plain(utterance: Utterance, now: int) -> bytes:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": utterance.whole_text or (None if utterance.calls else ""),
        "refusal": None,
        "annotations": [],
    }
    if utterance.thinking:
        message["reasoning_content"] = utterance.thinking
    if utterance.calls:
        message["tool_calls"] = [_tool_call(call) for call in utterance.calls]
    return _json(
        {
            "id": f"chatcmpl-{utterance.seed[:24]}",
            "object": "chat.completion",
            "created": now,
            "model": utterance.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(utterance)}],
            "usage": _usage(utterance),
            "service_tier": "default",
            "system_fingerprint": "fp_scripted",
        }
    )


def frames(utterance: Utterance, now: int, include_usage: bool) -> Iterator[bytes]:
    """The stream as server-sent events; the constant parts are written once, since a bench reads 25,000 a second."""
    head = (
        b'data: {"id":"chatcmpl-%s","object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":"default",'
        b'"system_fingerprint":"fp_scripted","choices":'
        % (utterance.seed[:24].encode(), now, json.dumps(utterance.model).encode())
    )
    tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

    def choice(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return head + _json([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]) + tail

    yield choice({"role": "assistant", "content": "", "refusal": None})
    for piece in cut(utterance.thinking, utterance.chunk):
        yield choice({"reasoning_content": piece})
    before = head + b'[{"index":0,"delta":{"content":'
    after = b'},"logprobs":null,"finish_reason":null}]' + tail
    for piece in utterance.pieces():
        yield before + json.dumps(piece).encode() + after
    for index, call in enumerate(utterance.calls):
        yield choice({"tool_calls": [{"index": index, **_tool_call(Called(call.id, call.name, ""))}]})
        for piece in cut(call.arguments, utterance.chunk or TOOL_PIECE):
            yield choice({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield choice({}, _finish(utterance))
    if include_usage:
        yield head + b'[],"usage":' + _json(_usage(utterance)) + b"}\n\n"
    yield DONE


def _finish(utterance: Utterance) -> str:
    return utterance.stop or ("tool_calls" if utterance.calls else "stop")


def _tool_call(call: Called) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(utterance: Utterance) -> dict[str, Any]:
    usage = utterance.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def error(status: int, message: str, code: str | None = None) -> bytes:
    kind, usual = _ERROR_TYPES.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    code = code or usual
    return _json({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_frame(message: str) -> bytes:
    return (
        b"data: "
        + _json({"error": {"message": message, "type": "server_error", "param": None, "code": None}})
        + b"\n\n"
    )


def piece(text: bytes, more: bytes) -> bytes:
    """A frame with a piece of text, and what else stands in its JSON beside it; for answers gone wrong."""
    return (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":{"content":"%b"}%b,"finish_reason":null}]}\n\n'
    ) % (text, more and b',"delta":{"content":"%b"}' % more)


def models(names: tuple[str, ...], now: int) -> bytes:
    return _json({"object": "list", "data": [_model(name, now) for name in names]})


def model(name: str, now: int) -> bytes:
    return _json(_model(name, now))


def _model(name: str, now: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": now, "owned_by": "scripted"}


def embeddings(body: dict[str, Any]) -> bytes:
    """A vector for each input, made from the digest of its text: equal texts have equal vectors."""
    given = body["input"]
    if not isinstance(given, str | list):
        raise TypeError("input")
    inputs: list[Any] = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = int(body.get("dimensions") or 8)
    data = []
    for index, text in enumerate(inputs):
        vector = _vector(json.dumps(text).encode(), size)
        packed: Any = vector
        if body.get("encoding_format") == "base64":
            packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    tokens = sum(len(cut(text, 0)) if isinstance(text, str) else len(text) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": body["model"], "usage": usage})


def _vector(text: bytes, size: int) -> list[float]:
    raw = hashlib.shake_256(text).digest(size)
    return [byte / 128 - 1 for byte in raw]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
