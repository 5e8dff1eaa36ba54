"""Google's Gemini (ai.google.dev/api): contents generated, tokens counted, texts embedded.

Model and stream stand in the path; a body that repeats the model says the same one, and is told the provider's name of
it there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange
from bawn.wire.endpoints import Route
from bawn.wire.gemini_calls import Told
from bawn.wire.gemini_request import read_request
from bawn.wire.gemini_stream import ContentStreamReader
from bawn.wire.holding import Unsound
from bawn.wire.interface import Answer, ModelEntry, StreamReader
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.usage import gemini_usage

_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_TOLD = {
    Endpoint.GEMINI_COUNT: ("totalTokens", int),
    Endpoint.GEMINI_EMBED: ("embedding", dict),
    Endpoint.GEMINI_EMBED_ALL: ("embeddings", list),
}
"""What an answer in which nobody talks consists of."""
_REPEATS = ("generateContentRequest", "generate_content_request", "requests")
"""Fields whose objects may name the model once more."""

_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw] | str | float | int | bool | None)


class GeminiContents:
    def read_request(self, route: Route, body: bytes) -> Exchange:
        return read_request(route, body)

    def with_model(self, body: bytes, model: str) -> bytes:
        return bytes(_renamed(msgspec.Raw(body), msgspec.json.encode(f"models/{model}")))

    def with_usage(self, body: bytes) -> bytes:
        return body

    def unkept(self, body: bytes) -> bytes:
        return body

    def read_answer(self, endpoint: Endpoint, body: bytes) -> Answer:
        try:
            read = read_plain(body)
            if not isinstance(read, dict):
                raise NotPlain("it is not an object")
            if endpoint in _TOLD:
                name, kind = _TOLD[endpoint]
                if not isinstance(read.get(name), kind):
                    raise Unsound(f"it has no {name}")
                return Answer(gemini_usage(read.get("usageMetadata")), (), "")
            if not isinstance(read.get("candidates"), list) and not isinstance(read.get("promptFeedback"), dict):
                raise Unsound("it has neither candidates nor a reason for it")
            calls = Told().read(read)
        except NotPlain as error:
            raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
        except Unsound as unsound:
            raise Fault("upstream.broken", f"The provider's answer is unsound: {unsound}.") from None
        model = read.get("modelVersion")
        return Answer(gemini_usage(read.get("usageMetadata")), tuple(calls), model if isinstance(model, str) else "")

    def stream_reader(self, *, hide_usage: bool) -> StreamReader:
        return ContentStreamReader()

    def is_error(self, body: bytes) -> bool:
        try:
            read = read_plain(body)
        except NotPlain:
            return False
        if isinstance(read, list) and len(read) == 1:
            # The form that the error of a stream has when it was not asked for as events.
            read = read[0]
        return isinstance(read, dict) and isinstance(read.get("error"), dict)

    def refusal(self, fault: Fault, request_id: str) -> bytes:
        word = _STATUSES.get(fault.status, "UNAVAILABLE" if fault.status > 500 else "INVALID_ARGUMENT")
        details = [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": fault.code, "domain": "bawn"},
            {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id},
        ]
        message = f"{fault.sentence} {fault.remedy}".strip()
        error = {"code": fault.status, "message": message, "status": word, "details": details}
        return msgspec.json.encode({"error": error})

    def stream_error(self, fault: Fault, request_id: str) -> bytes:
        return b"data: " + self.refusal(fault, request_id) + b"\r\n\r\n"

    def models_list(self, entries: Sequence[ModelEntry], now: datetime) -> bytes:
        return msgspec.json.encode({"models": [_model(entry) for entry in entries]})

    def model(self, entry: ModelEntry, now: datetime) -> bytes:
        return msgspec.json.encode(_model(entry))


def _renamed(raw: msgspec.Raw, model: bytes) -> msgspec.Raw:
    """The body with another name wherever it names the model; every other value, or all of it, byte for byte."""
    value = _decode_raw.decode(raw)
    if isinstance(value, dict):
        changed = {name: _renamed(value[name], model) for name in _REPEATS if name in value}
        if "model" in value:
            changed["model"] = msgspec.Raw(model)
        if all(each is value[name] for name, each in changed.items()):
            return raw
        return msgspec.Raw(msgspec.json.encode({**value, **changed}))
    if isinstance(value, list):
        requests = [_renamed(each, model) for each in value]
        if all(new is old for new, old in zip(requests, value, strict=True)):
            return raw
        return msgspec.Raw(msgspec.json.encode(requests))
    return raw


def _model(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": f"models/{entry.id}",
        "version": "",
        "displayName": entry.id,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }
