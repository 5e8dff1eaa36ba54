"""The provider without its sockets: one request in, the acts of one answer out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from bawn.inference import anthropic_shape, openai_other, openai_shape, responses_shape
from bawn.inference.answer import EVENTS, JSON, Act, Answer, performed
from bawn.inference.conversation import Conversation, Wire
from bawn.inference.faults import Spoiled, error_body, spoiled
from bawn.inference.matching import said
from bawn.inference.script import Script
from bawn.inference.utterance import Utterance


class Request(Struct, frozen=True):
    method: str
    path: str
    """Path and query as they stood in the request line."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order they came."""
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def credential(self) -> str:
        bearer = self.header("authorization")
        return self.header("x-api-key") or bearer.partition(" ")[2] or bearer


def answered(script: Script, request: Request, now: int) -> Iterator[Act]:
    """The acts that answer `request`; never raises, since a provider always says something."""
    path = "/" + request.path.partition("?")[0].strip("/").removeprefix("api/").removeprefix("v1").strip("/")
    wire = Wire.ANTHROPIC if request.header("anthropic-version") else Wire.OPENAI
    seed = hashlib.sha256(request.path.encode() + b"\n" + request.body).hexdigest()
    if script.keys and request.credential not in script.keys and path != "/":
        return _refused(wire, 401, "Incorrect API key provided.", seed)
    if request.method in {"GET", "HEAD"}:
        return _looked_up(script, path, wire, seed, now, request.method == "HEAD")
    if request.method != "POST":
        return _refused(wire, 405, f"Method {request.method} is not allowed here.", seed)
    return _posted(script, request, path, wire, seed, now)


def _looked_up(script: Script, path: str, wire: Wire, seed: str, now: int, head_only: bool) -> Iterator[Act]:
    name = unquote(path.removeprefix("/models").strip("/"))
    if path == "/":
        body = b'{"provider":"scripted"}'
    elif path == "/models":
        names = script.models
        body = openai_shape.models(names, now) if wire is Wire.OPENAI else anthropic_shape.models(names)
    elif path.startswith("/models/") and name in script.models:
        body = openai_shape.model(name, now) if wire is Wire.OPENAI else anthropic_shape.model(name)
    else:
        return _refused(wire, 404, f"There is nothing at {path}.", seed, head_only=head_only)
    return performed(Answer(200, (*JSON, *_ids(wire, seed)), body), head_only=head_only)


def _posted(script: Script, request: Request, path: str, wire: Wire, seed: str, now: int) -> Iterator[Act]:
    if path.startswith("/messages"):
        wire = Wire.ANTHROPIC
    try:
        body = json.loads(request.body)
        if not isinstance(body, dict):
            return _refused(wire, 400, "The body must be one JSON object.", seed)
        if path in _HEARD:
            return _spoken(script, _HEARD[path](body, seed), request, now)
        match path:
            case "/messages/count_tokens":
                counted = anthropic_shape.counted(anthropic_shape.heard(body, seed))
                return performed(Answer(200, (*JSON, *_ids(wire, seed)), counted))
            case "/embeddings":
                return performed(Answer(200, (*JSON, *_ids(wire, seed)), _embedded(body)))
            case "/completions":
                return performed(openai_other.completion(body, seed, now))
            case "/moderations" | "/rerank" | "/images/generations":
                answered = openai_other.ANSWERS[path](body, seed, now)
                return performed(Answer(200, (*JSON, *_ids(wire, seed)), answered))
            case _:
                return _refused(wire, 404, f"There is nothing at {path}.", seed)
    except ValueError:
        return _refused(wire, 400, "The body is not JSON.", seed)
    except RecursionError:
        return _refused(wire, 400, "The body is nested too deeply.", seed)
    except (KeyError, TypeError, AttributeError) as error:
        return _refused(wire, 400, f"A field is missing or of the wrong type: {type(error).__name__} {error}", seed)


_HEARD: dict[str, Callable[[dict[str, Any], str], Conversation]] = {
    "/chat/completions": openai_shape.heard,
    "/responses": responses_shape.heard,
    "/messages": anthropic_shape.heard,
}


def _embedded(body: dict[str, Any]) -> bytes:
    return openai_shape.embeddings(body)


def _spoken(script: Script, conversation: Conversation, request: Request, now: int) -> Iterator[Act]:
    wire, seed = conversation.wire, conversation.seed
    utterance = said(script, conversation)
    if utterance is None:
        return _refused(wire, 404, f"The model `{conversation.model}` does not exist.", seed)
    answer = _shaped(utterance, conversation, now)
    if utterance.trouble is not None:
        return spoiled(Spoiled(answer, utterance.trouble, wire, request.credential, seed))
    return performed(answer)


def _shaped(utterance: Utterance, conversation: Conversation, now: int) -> Answer:
    body, frames = b"", None
    match conversation.wire, conversation.stream:
        case Wire.OPENAI, True:
            frames = openai_shape.frames(utterance, now, conversation.include_usage)
        case Wire.OPENAI, _:
            body = openai_shape.plain(utterance, now)
        case Wire.RESPONSES, True:
            frames = responses_shape.frames(utterance, now)
        case Wire.RESPONSES, _:
            body = responses_shape.plain(utterance, now)
        case Wire.ANTHROPIC, True:
            frames = anthropic_shape.frames(utterance)
        case _:
            body = anthropic_shape.plain(utterance)
    return Answer(
        status=200,
        headers=EVENTS if conversation.stream else JSON,
        body=body,
        frames=frames,
        first_byte_s=utterance.first_byte_s,
        first_token_s=utterance.first_token_s,
        per_token_s=utterance.per_token_s,
        extra=_ids(conversation.wire, conversation.seed),
    )


def _refused(wire: Wire, status: int, message: str, seed: str, *, head_only: bool = False) -> Iterator[Act]:
    answer = Answer(status, (*JSON, *_ids(wire, seed)), error_body(wire, status, message, seed))
    return performed(answer, head_only=head_only)


def _ids(wire: Wire, seed: str) -> tuple[tuple[str, str], ...]:
    return (("request-id" if wire is Wire.ANTHROPIC else "x-request-id", f"req_{seed[:24]}"),)
