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
    b"responses": Route(Endpoint.RESPONSES, WireName.RESPONSES),
    b"messages": Route(Endpoint.MESSAGES, WireName.ANTHROPIC),
    b"messages?beta=true": Route(Endpoint.MESSAGES, WireName.ANTHROPIC),
    b"messages/count_tokens": Route(Endpoint.COUNT_TOKENS, WireName.ANTHROPIC),
    b"messages/count_tokens?beta=true": Route(Endpoint.COUNT_TOKENS, WireName.ANTHROPIC),
}
_MODELS = Route(Endpoint.MODELS, None)
_PROBE = Route(Endpoint.PROBE, None)
_ROOTS = (b"/api/v1/", b"/v1/")
_MODEL_LIST = re.compile(rb"models(\?(limit=[0-9]{1,4}|beta=true)(&(limit=[0-9]{1,4}|beta=true))*)?")
_MODEL = re.compile(rb"models/([A-Za-z0-9](?:[A-Za-z0-9._:/@-]|%2[fF]){0,199})")
_SLASH = re.compile("%2[fF]")
_PLAIN = re.compile(rb"/[A-Za-z0-9._~:/?=&@%-]*")


def endpoint(method: str, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Route:
    """The route meant. Faults `http.malformed`, `http.unknown_path`, `http.method_not_allowed`.

    Two wires have files at one path; of these the headers tell which is spoken.
    """
    for root in _ROOTS:
        if raw_path.startswith(root):
            return _under_root(method, raw_path[len(root) :], headers)
    if raw_path == b"/":
        if method in ("HEAD", "GET"):
            return _PROBE
        raise Fault("http.method_not_allowed", "This path takes HEAD and GET.")
    if not raw_path.startswith(b"/"):
        raise Fault("http.malformed", "The path begins with a slash; the door is the only host there is.")
    raise _unknown(raw_path)


def _under_root(method: str, rest: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Route:
    route = _POST.get(rest)
    if route is not None:
        if method != "POST":
            raise Fault("http.method_not_allowed", "This path takes POST.")
        return route
    if names_objects(rest):
        return _object(method, rest, headers)
    if rest == b"models" or _MODEL_LIST.fullmatch(rest):
        found = _MODELS
    elif match := _MODEL.fullmatch(rest):
        found = Route(Endpoint.MODELS, None, _SLASH.sub("/", match[1].decode("ascii")))
    else:
        raise _unknown(rest)
    if method != "GET":
        raise Fault("http.method_not_allowed", "This path takes GET.")
    return found


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
