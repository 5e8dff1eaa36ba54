"""Google's Gemini: requests read, answers written, as the official package and its documentation have them.

Names of fields are taken in both of their forms (`systemInstruction`, `system_instruction`), as Google does. Model and
stream stand in the path, so `heard` is told them. Frames end in CRLF, as Google's do and few others'.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.utterance import Utterance, cut

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def heard(body: dict[str, Any], seed: str, model: str, stream: bool) -> Conversation:
    """The conversation in a request; a KeyError, TypeError or AttributeError when it is none."""
    declared = [entry for tool in body.get("tools") or () for entry in _field(tool, "functionDeclarations") or ()]
    return Conversation(
        wire=Wire.GEMINI,
        model=model,
        stream=stream,
        include_usage=True,
        system=_text((_field(body, "systemInstruction") or {}).get("parts")),
        turns=tuple(_turn(content) for content in body["contents"]),
        offered=tuple(entry["name"] for entry in declared),
        seed=seed,
        asked=body,
    )


def _field(value: dict[str, Any], name: str) -> Any:
    """A field under its name in JSON, or under the one that it has in Google's own format."""
    plain = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return value.get(name, value.get(plain))


def _turn(content: dict[str, Any]) -> Turn:
    role = "assistant" if content.get("role") == "model" else "user"
    given = [_field(part, "functionResponse") for part in content["parts"]]
    results = tuple((result["name"], _result(result.get("response"))) for result in given if result is not None)
    return Turn(role, _text(content["parts"]), results)


def _result(response: Any) -> str:
    """What a function gave: by custom under `output` or `result`."""
    if isinstance(response, dict) and len(response) == 1:
        value = next(iter(response.values()))
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(response, ensure_ascii=False)


def _text(parts: Any) -> str:
    given = [parts] if isinstance(parts, dict) else parts or ()
    return "\n".join(part["text"] for part in given if "text" in part and not part.get("thought"))


def plain(utterance: Utterance) -> bytes:
    parts: list[dict[str, Any]] = []
    if utterance.thinking:
        parts.append({"text": utterance.thinking, "thought": True})
    parts += utterance.items
    if utterance.whole_text:
        parts.append({"text": utterance.whole_text})
    parts += _calls(utterance)
    return as_json(_answer(utterance, parts, _finish(utterance)))


def frames(utterance: Utterance) -> Iterator[bytes]:
    for answer in _answers(utterance):
        yield b"data: " + as_json(answer) + b"\r\n\r\n"


def listed(utterance: Utterance) -> Iterator[bytes]:
    """The stream as one JSON list, which is what Google sends to who did not ask for events."""
    before = b"["
    for answer in _answers(utterance):
        yield before + as_json(answer)
        before = b"\n,\r\n"
    yield b"\n]"


def _answers(utterance: Utterance) -> Iterator[dict[str, Any]]:
    for piece in cut(utterance.thinking, utterance.chunk):
        yield _answer(utterance, [{"text": piece, "thought": True}])
    for item in utterance.items:
        yield _answer(utterance, [item])
    for piece in utterance.pieces():
        yield _answer(utterance, [{"text": piece}])
    for call in _calls(utterance):
        yield _answer(utterance, [call])
    yield _answer(utterance, [{"text": ""}], _finish(utterance))


def _answer(utterance: Utterance, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [{**candidate, "index": 0}],
        "usageMetadata": _usage(utterance, ended=finish is not None),
        "modelVersion": utterance.model,
        "responseId": utterance.seed[:24],
    }


def _calls(utterance: Utterance) -> list[dict[str, Any]]:
    """Calls come whole on this wire; what is no JSON object could not be said, and ends the answer instead."""
    parts: list[dict[str, Any]] = []
    for call in utterance.calls:
        arguments = _arguments(call.arguments)
        if arguments is not None:
            parts.append({"functionCall": {"id": call.id, "name": call.name, "args": arguments}})
    if parts and utterance.thinking:
        # Google signs the thoughts at the first of parallel calls.
        parts[0]["thoughtSignature"] = base64.b64encode(f"scripted{utterance.seed[:32]}".encode()).decode()
    return parts


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _finish(utterance: Utterance) -> str:
    malformed = any(_arguments(call.arguments) is None for call in utterance.calls)
    return utterance.stop or ("MALFORMED_FUNCTION_CALL" if malformed else "STOP")


def _usage(utterance: Utterance, *, ended: bool) -> dict[str, Any]:
    usage = utterance.usage
    # Thoughts are counted beside the candidates on this wire, not within them.
    spoken = max(usage.output - usage.reasoning, 0) if ended else 0
    thought = usage.reasoning if ended else 0
    given: dict[str, Any] = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": spoken,
        "totalTokenCount": usage.input + spoken + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.cached:
        given["cachedContentTokenCount"] = usage.cached
        given["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached}]
    if thought:
        given["thoughtsTokenCount"] = thought
    return given


def error(status: int, message: str) -> bytes:
    word = _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return as_json({"error": {"code": status, "message": message, "status": word}})


def error_frame(message: str) -> bytes:
    return b"data: " + error(503, message) + b"\r\n\r\n"


def piece(text: bytes, more: bytes) -> bytes:
    """A frame with a piece of text, and what else stands in its JSON beside it; for answers gone wrong."""
    return (
        b'data: {"candidates":[{"content":{"parts":[{"text":"%b"%b}],"role":"model"},"index":0}],"modelVersion":"m"}'
        b"\r\n\r\n"
    ) % (text, more and b',"text":"%b"' % more)


def models(names: tuple[str, ...]) -> bytes:
    return as_json({"models": [_model(name) for name in names]})


def model(name: str) -> bytes:
    return as_json(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A scripted model.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }


def counted(body: dict[str, Any], seed: str, model: str) -> bytes:
    request = _field(body, "generateContentRequest") or body
    total = len(cut(heard(request, seed, model, False).whole, 0))
    return as_json({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})


def embedded(body: dict[str, Any]) -> bytes:
    return as_json({"embedding": _embedding(body)})


def all_embedded(body: dict[str, Any]) -> bytes:
    return as_json({"embeddings": [_embedding(request) for request in body["requests"]]})


def _embedding(body: dict[str, Any]) -> dict[str, Any]:
    size = int(_field(body, "outputDimensionality") or 8)
    digest = hashlib.shake_256(_text(body["content"]["parts"]).encode()).digest(size)
    return {"values": [byte / 128 - 1 for byte in digest]}


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
