"""From method and raw path to what is asked for: a table, compared byte for byte.

The path is taken as it was sent. Nothing is decoded, no dot segment resolved, no slash merged: a path that
would need any of that is simply unknown here, so there is no second reading of it (RFC 9110 §4.2.3 leaves
such equivalence to the origin). The one exception is the slash within a model's id, which official packages
write as `%2F`; the id is only compared with the ids of the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.value import Value
from bawn.wire.objects import ENDPOINTS, ObjectCall, names_objects, object_call


class Route(Value, frozen=True):
    endpoint: Endpoint
    wire: WireName | None
    """None where the path alone does not tell it (models, probe)."""
    model: str = ""
    """The model that the path names: of `GET /models/{id}`, and of wires that have no field for it."""
    stream: bool = False
    """Whether the path asks for a stream, on wires that have no field for it."""
    object: ObjectCall | None = None
    """What is asked of an object that a provider keeps."""


_POST: dict[bytes, Route] = {
    b"chat/completions": Route(Endpoint.CHAT_COMPLETIONS, WireName.OPENAI),
    b"embeddings": Route(Endpoint.EMBEDDINGS, WireName.OPENAI),
    b"completions": Route(Endpoint.COMPLETIONS, WireName.OPENAI),
    b"images/generations": Route(Endpoint.IMAGES, WireName.OPENAI),
    b"moderations": Route(Endpoint.MODERATIONS, WireName.OPENAI),
    b"rerank": Route(Endpoint.RERANK, WireName.OPENAI),
    b"audio/speech": Route(Endpoint.SPEECH, WireName.OPENAI),
    b"audio/transcriptions": Route(Endpoint.TRANSCRIPTIONS, WireName.OPENAI),
    b"responses": Route(Endpoint.RESPONSES, WireName.RESPONSES),
    b"messages": Route(Endpoint.MESSAGES, WireName.ANTHROPIC),
    b"messages?beta=true": Route(Endpoint.MESSAGES, WireName.ANTHROPIC),
    b"messages/count_tokens": Route(Endpoint.COUNT_TOKENS, WireName.ANTHROPIC),
    b"messages/count_tokens?beta=true": Route(Endpoint.COUNT_TOKENS, WireName.ANTHROPIC),
}
_MODELS = Route(Endpoint.MODELS, None)
_PROBE = Route(Endpoint.PROBE, None)
_VERBS: dict[bytes, tuple[Endpoint, bool]] = {
    b"generateContent": (Endpoint.GENERATE, False),
    b"streamGenerateContent": (Endpoint.GENERATE, True),
    b"countTokens": (Endpoint.GEMINI_COUNT, False),
    b"embedContent": (Endpoint.GEMINI_EMBED, False),
    b"batchEmbedContents": (Endpoint.GEMINI_EMBED_ALL, False),
}
"""Of Gemini, behind the model; whether it is a stream."""
_ROOTS = (b"/api/v1/", b"/v1/")
_GEMINI_ROOTS = (b"/api/v1beta/", b"/v1beta/")
_MODEL_LIST = re.compile(rb"models(\?(limit=[0-9]{1,4}|beta=true)(&(limit=[0-9]{1,4}|beta=true))*)?")
_NAME = rb"([A-Za-z0-9](?:[A-Za-z0-9._:/@-]|%2[fF]){0,199})"
_MODEL = re.compile(rb"models/" + _NAME)
_MODEL_PAGE = re.compile(rb"models(\?pageSize=[0-9]{1,4})?")
_MODEL_VERB = re.compile(rb"models/" + _NAME + rb":(" + b"|".join(_VERBS) + rb")(\?.*)?", re.DOTALL)
_TICKET = re.compile(rb"approvals/([A-Za-z0-9_-]{1,64})")
_HOOK = re.compile(rb"/hooks/([a-z][a-z0-9-]{0,30})")
_KEY = re.compile(rb"[?&](key|access_token)=", re.IGNORECASE)
_SLASH = re.compile("%2[fF]")
_PLAIN = re.compile(rb"/[A-Za-z0-9._~:/?=&@%-]*")


def endpoint(method: str, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Route:
    """The route meant. Faults `http.malformed`, `http.unknown_path`, `http.method_not_allowed`.

    Two wires have files at one path; of these the headers tell which is spoken.
    """
    for root in _ROOTS:
        if raw_path.startswith(root):
            return _under_root(method, raw_path[len(root) :], headers)
    for root in _GEMINI_ROOTS:
        if raw_path.startswith(root):
            return _under_gemini_root(method, raw_path[len(root) :])
    if raw_path == b"/":
        if method in ("HEAD", "GET"):
            return _PROBE
        raise Fault("http.method_not_allowed", "This path takes HEAD and GET.")
    if hook := _HOOK.fullmatch(raw_path):
        if method != "POST":
            raise Fault("http.method_not_allowed", "This path takes POST.")
        return Route(Endpoint.HOOK, None, hook[1].decode("ascii"))
    if not raw_path.startswith(b"/"):
        raise Fault("http.malformed", "The path begins with a slash; the door is the only host there is.")
    raise _unknown(raw_path)


def _under_root(method: str, rest: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Route:
    route = _POST.get(rest)
    if route is not None:
        if method != "POST":
            raise Fault("http.method_not_allowed", "This path takes POST.")
        return route
    if verb := _MODEL_VERB.fullmatch(rest):
        return _gemini(method, verb)
    if names_objects(rest):
        return _object(method, rest, headers)
    if ticket := _TICKET.fullmatch(rest):
        if method != "GET":
            raise Fault("http.method_not_allowed", "This path takes GET.")
        return Route(Endpoint.APPROVAL, None, ticket[1].decode("ascii"))
    if rest == b"models" or _MODEL_LIST.fullmatch(rest):
        found = _MODELS
    elif match := _MODEL.fullmatch(rest):
        found = Route(Endpoint.MODELS, None, _named(match[1]))
    else:
        raise _unknown(rest)
    if method != "GET":
        raise Fault("http.method_not_allowed", "This path takes GET.")
    return found


def is_gemini(raw_path: bytes) -> bool:
    """Whether a path, whatever else is wrong with it, is one of Gemini's."""
    return raw_path.startswith(_GEMINI_ROOTS) or _VERB_WITHIN.search(raw_path) is not None


_VERB_WITHIN = re.compile(rb"/models/[^?]*:(" + b"|".join(_VERBS) + rb")(\?|$)")


def _under_gemini_root(method: str, rest: bytes) -> Route:
    if verb := _MODEL_VERB.fullmatch(rest):
        return _gemini(method, verb)
    if _KEY.search(rest):
        raise _key_in_path()
    if _MODEL_PAGE.fullmatch(rest):
        found = Route(Endpoint.MODELS, WireName.GEMINI)
    elif match := _MODEL.fullmatch(rest):
        found = Route(Endpoint.MODELS, WireName.GEMINI, _named(match[1]))
    else:
        raise _unknown(rest)
    if method != "GET":
        raise Fault("http.method_not_allowed", "This path takes GET.")
    return found


def _gemini(method: str, verb: re.Match[bytes]) -> Route:
    asked, stream = _VERBS[verb[2]]
    query = verb[3] or b""
    if _KEY.search(query):
        raise _key_in_path()
    if stream and query in (b"", b"?alt=json"):
        raise Fault(
            "request.invalid", "A stream is given as server-sent events only.", remedy="Put `?alt=sse` behind the path."
        )
    if query != (b"?alt=sse" if stream else b""):
        raise _unknown(verb[0])
    if method != "POST":
        raise Fault("http.method_not_allowed", "This path takes POST.")
    return Route(asked, WireName.GEMINI, _named(verb[1]), stream)


def _named(model: bytes) -> str:
    return _SLASH.sub("/", model.decode("ascii"))


def _key_in_path() -> Fault:
    # Paths are written into records; a token there would stand in all of them.
    return Fault(
        "request.invalid", "A key is not taken in the path.", remedy="Send the token in the header `x-goog-api-key`."
    )


def _object(method: str, rest: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Route:
    if not _PLAIN.fullmatch(b"/" + rest.replace(b"include[]=", b"")):
        raise _unknown(rest)
    anthropic = rest.startswith(b"messages/") or any(name == b"anthropic-version" for name, _ in headers)
    asked = object_call(method, rest, anthropic=anthropic)
    return Route(ENDPOINTS[asked.row.family], asked.row.wire, object=asked)


def _unknown(path: bytes) -> Fault:
    if not _PLAIN.fullmatch(b"/" + path.removeprefix(b"/")):
        return Fault(
            "http.malformed", "The path is not plain: give it as documented, without a host or odd characters."
        )
    return Fault("http.unknown_path", "There is nothing at this path.")
