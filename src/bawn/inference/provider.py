"""The provider without its sockets: one request in, the acts of one answer out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from bawn.inference import (
    anthropic_objects,
    anthropic_shape,
    converse_shape,
    gemini_shape,
    openai_objects,
    openai_other,
    openai_shape,
    responses_shape,
    sound,
)
from bawn.inference.answer import JSON, Act, Answer, performed
from bawn.inference.conversation import Conversation, Wire
from bawn.inference.faults import Spoiled, spoiled
from bawn.inference.forms import error_body, error_heads, heads
from bawn.inference.kept import Kept, Refused
from bawn.inference.matching import said
from bawn.inference.object_calls import ObjectCall
from bawn.inference.places import CONVERSE, GEMINI_COUNT, GEMINI_EMBED, GEMINI_EMBED_ALL, GENERATE, RAW_PREDICT, placed
from bawn.inference.remembering import numbered, recalled, remember
from bawn.inference.script import Script
from bawn.inference.shaping import shaped
from bawn.inference.uploads import parts_of


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
        for name in ("x-api-key", "x-goog-api-key", "api-key"):
            if key := self.header(name):
                return key
        return bearer.partition(" ")[2] or bearer


def answered(script: Script, request: Request, now: int, kept: Kept) -> Iterator[Act]:
    """The acts that answer `request`; never raises, since a provider always says something."""
    return _Answering(script, request, now, kept).acts()


class _Answering:
    """One request on its way to its answer."""

    def __init__(self, script: Script, request: Request, now: int, kept: Kept) -> None:
        self.script, self.request, self.now, self.kept = script, request, now, kept
        self.place = placed(request.path, anthropic=bool(request.header("anthropic-version")))
        self.wire = self.place.wire
        self.seed = hashlib.sha256(request.path.encode() + b"\n" + request.body).hexdigest()

    def acts(self) -> Iterator[Act]:
        method, path = self.request.method, self.place.path
        if self.script.keys and path != "/" and self._key() not in self.script.keys:
            return self._refused(401, "Incorrect API key provided.")
        try:
            if self._is_about_objects():
                return performed(Answer(200, self._heads(), self._object()))
            if method in {"GET", "HEAD"}:
                return self._looked_up(head_only=method == "HEAD")
            if method != "POST":
                return self._refused(405, f"Method {method} is not allowed here.")
            return self._posted()
        except Refused as refusal:
            return self._refused(refusal.status, refusal.message, refusal.code)
        except ValueError:
            return self._refused(400, "The body is not what it should be.")
        except RecursionError:
            return self._refused(400, "The body is nested too deeply.")
        except (KeyError, TypeError, AttributeError) as error:
            return self._refused(400, f"A field is missing or of the wrong type: {type(error).__name__} {error}")

    def _key(self) -> str:
        return self.request.credential or (self.place.query.get("key") or [""])[0]

    def _heads(self) -> tuple[tuple[str, str], ...]:
        return (*JSON, *heads(self.wire, self.seed))

    # things kept

    def _steps(self) -> tuple[str, ...]:
        return tuple(unquote(step) for step in self.place.path.strip("/").split("/"))

    def _is_about_objects(self) -> bool:
        steps = self._steps()
        if self.wire is Wire.ANTHROPIC:
            return anthropic_objects.is_about_objects(steps)
        if steps[0] == "responses":
            return len(steps) > 1 and steps[1] != "input_tokens"
        return self.wire is Wire.OPENAI and steps[0] in openai_objects.FAMILIES

    def _object(self) -> bytes:
        request = self.request
        call = ObjectCall(
            kept=self.kept,
            method=request.method,
            steps=self._steps(),
            query=self.place.query,
            content_type=request.header("content-type"),
            body=request.body,
            seed=self.seed,
            now=self.now,
            host=request.header("host"),
            ask=self._asked_again,
        )
        return anthropic_objects.answered(call) if self.wire is Wire.ANTHROPIC else openai_objects.answered(call)

    def _asked_again(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """One line of a batch, answered as a call of its own would be, in one piece."""
        line = Request("POST", path, self.request.headers, json.dumps({**body, "stream": False}).encode())
        whole = b"".join(act for act in answered(self.script, line, self.now, self.kept) if isinstance(act, bytes))
        head, _, said = whole.partition(b"\r\n\r\n")
        return int(head.split()[1]), said

    # models

    def _looked_up(self, *, head_only: bool) -> Iterator[Act]:
        path, names = self.place.path, self.script.models
        name = unquote(path.removeprefix("/models").strip("/"))
        if path == "/":
            body = b'{"provider":"scripted"}'
        elif path == "/models":
            body = self._models(names)
        elif path.startswith("/models/") and name in names:
            body = self._model(name)
        else:
            return self._refused(404, f"There is nothing at {path}.", head_only=head_only)
        return performed(Answer(200, self._heads(), body), head_only=head_only)

    def _models(self, names: tuple[str, ...]) -> bytes:
        if self.wire is Wire.GEMINI:
            return gemini_shape.models(names)
        return anthropic_shape.models(names) if self.wire is Wire.ANTHROPIC else openai_shape.models(names, self.now)

    def _model(self, name: str) -> bytes:
        if self.wire is Wire.GEMINI:
            return gemini_shape.model(name)
        return anthropic_shape.model(name) if self.wire is Wire.ANTHROPIC else openai_shape.model(name, self.now)

    # calls

    def _posted(self) -> Iterator[Act]:
        place, request = self.place, self.request
        if place.path in {"/audio/transcriptions", "/audio/translations"}:
            return performed(sound.transcribed(parts_of(request.header("content-type"), request.body)))
        body = json.loads(request.body)
        if not isinstance(body, dict):
            return self._refused(400, "The body must be one JSON object.")
        if place.model and self.wire is not Wire.GEMINI:
            body = {"model": place.model, **body}
        match place.path:
            case path if path in _HEARD:
                return self._spoken(_HEARD[path](body, self.seed))
            case "/responses":
                return self._response(body)
            case _ if (answer := self._other(place.path, body)) is not None:
                return performed(answer)
            case _ if (conversation := self._heard_by_path(body)) is not None:
                return self._spoken(conversation)
        return self._refused(404, f"There is nothing at {place.path}.")

    def _heard_by_path(self, body: dict[str, Any]) -> Conversation | None:
        """The conversation of a wire whose model and stream stand in the path."""
        place = self.place
        match place.path:
            case path if path == GENERATE:
                return gemini_shape.heard(body, self.seed, place.model, place.stream)
            case path if path == CONVERSE:
                return converse_shape.heard(body, self.seed, place.model, place.stream)
            case path if path == RAW_PREDICT:
                return anthropic_shape.heard({**body, "stream": place.stream}, self.seed)
        return None

    def _other(self, path: str, body: dict[str, Any]) -> Answer | None:
        """The answer to a call in which nobody talks."""
        model = self.place.model
        match path:
            case "/completions":
                return openai_other.completion(body, self.seed, self.now)
            case "/audio/speech":
                return sound.spoken(body)
            case "/messages/count_tokens":
                given = anthropic_shape.counted(anthropic_shape.heard(body, self.seed))
            case _ if path in openai_other.ANSWERS:
                given = openai_other.ANSWERS[path](body, self.seed, self.now)
            case _ if path == GEMINI_COUNT:
                given = gemini_shape.counted(body, self.seed, model)
            case _ if path == GEMINI_EMBED:
                given = gemini_shape.embedded(body)
            case _ if path == GEMINI_EMBED_ALL:
                given = gemini_shape.all_embedded(body)
            case _:
                return None
        return Answer(200, self._heads(), given)

    def _response(self, body: dict[str, Any]) -> Iterator[Act]:
        self.wire = Wire.RESPONSES
        whole = recalled(self.kept, {"input": [], **body})
        conversation = numbered(self.kept, responses_shape.heard(whole, self.seed))
        return self._spoken(conversation, body)

    def _spoken(self, conversation: Conversation, asked: dict[str, Any] | None = None) -> Iterator[Act]:
        self.wire = conversation.wire
        utterance = said(self.script, conversation)
        if utterance is None:
            return self._refused(404, f"The model `{conversation.model}` does not exist.")
        answer = shaped(utterance, conversation, self.now, events=self.place.events)
        if utterance.trouble is not None:
            case = Spoiled(answer, utterance.trouble, conversation.wire, self._key(), conversation.seed)
            return spoiled(case)
        if asked is not None:
            remember(self.kept, conversation, utterance, self.now, asked)
        return performed(answer)

    def _refused(self, status: int, message: str, code: str | None = None, *, head_only: bool = False) -> Iterator[Act]:
        body = error_body(self.wire, status, message, self.seed)
        if code is not None and self.wire in {Wire.OPENAI, Wire.RESPONSES}:
            body = openai_shape.error(status, message, code)
        answer = Answer(status, (*self._heads(), *error_heads(self.wire, status)), body)
        return performed(answer, head_only=head_only)


_HEARD: dict[str, Callable[[dict[str, Any], str], Conversation]] = {
    "/chat/completions": openai_shape.heard,
    "/messages": anthropic_shape.heard,
}
