"""Calls by documented paths that nobody here has read up on: what can be seen of any of them.

Such a path is opened by the operator, by name (`allow.paths`). Of its body is known only that it is one JSON object, so it
is looked through whole, by the same sweep as content: what names a model, a tool, an address or an object is found
wherever it stands. Of its answer is known even less, so one with anything that looks like a call of a tool is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, Usage, WireName
from bawn.wire import fields
from bawn.wire.endpoints import Route
from bawn.wire.json_text import NotPlain, read_object, read_plain
from bawn.wire.responses_calls import CALLS
from bawn.wire.sse import SseSplitter, TooLong
from bawn.wire.usage import anthropic_usage, openai_usage, responses_usage
from bawn.wire.ways_out import Found, sweep, too_deep

METHODS = ("GET", "POST")
_PATH = re.compile(r"[a-z0-9_-]+(?:/[a-z0-9_-]+){0,4}")
_ROOTS = (b"/api/v1/", b"/v1/")
_INSIDE = ("function", "custom")
_CALLING = frozenset(("tool_calls", "function_call", "functionCall", "toolUse"))
_CALL_TYPES = frozenset((*CALLS, "tool_use", "mcp_tool_use", "server_tool_use"))


def other_path(method: str, raw_path: bytes) -> str:
    """How an operator writes this path, e.g. `POST responses/input_tokens`; empty when it can be none.

    Ids have no place in it, since what they name could be anybody's.
    """
    for root in _ROOTS:
        rest = raw_path.removeprefix(root).decode("latin-1")
        if raw_path.startswith(root) and method in METHODS and _PATH.fullmatch(rest):
            return f"{method} {rest}"
    return ""


def other_route(path: str, *, anthropic: bool) -> Route:
    """The route of such a path, which tells its provider's wire by nothing but a header."""
    return Route(Endpoint.OTHER, WireName.ANTHROPIC if anthropic else WireName.OPENAI, path)


def read_other_path(route: Route, body: bytes) -> Exchange:
    """What can be decided on. Faults `request.malformed_json` and `request.invalid`."""
    found = Found()
    model, most = "", None
    if route.model.startswith("POST "):
        read = read_object(body)
        if too_deep(read, body):
            raise Fault("request.malformed_json", "The body is nested too deep.")
        model, most = fields.text(read, "model"), None
        for name, value in read.items():
            sweep({name: value}, "", found)
        found.tools += [(f"tools[{at}]", tool) for at, tool in enumerate(fields.objects(read, "tools"))]
    elif body not in (b"", b"{}"):
        raise Fault("request.invalid", "This call takes no body.")
    kinds = dict.fromkeys(str(tool.get("type", "function")) for _, tool in found.tools)
    return Exchange(
        wire=route.wire or WireName.OPENAI,
        endpoint=Endpoint.OTHER,
        model=model,
        stream=False,
        body=body,
        hosted_tools=tuple(HostedTool(kind) for kind in kinds if kind not in _INSIDE),
        fetches=tuple(found.fetches),
        resources=tuple(found.resources),
        max_output_tokens=most,
    )


def read_other_path_answer(body: bytes) -> Usage | None:
    """What was used, where it says so. Fault `upstream.broken` when it is not JSON, or would have a client do something."""
    try:
        read = read_plain(body)
    except NotPlain as error:
        raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
    if _calls(read):
        raise Fault("upstream.broken", "The provider's answer has a call of a tool in a place that is not known.")
    said = read.get("usage") if isinstance(read, dict) else None
    return openai_usage(said) or responses_usage(said) or anthropic_usage(said)


def read_other_path_text(body: bytes) -> None:
    """Fault `upstream.broken` when a text would have a client do something. Packages read events, and lines of JSON, whatever
    the type of an answer says, so it is looked at as both and as one JSON."""
    splitter = SseSplitter()
    try:
        frames = [*splitter.feed(body + b"\n\n"), *splitter.last()]
    except TooLong:
        raise Fault("upstream.broken", "An event of the answer is too long.") from None
    for text in (body, *body.splitlines(), *(frame.data for frame in frames)):
        if text is not None and text.strip()[:1] in (b"{", b"[") and _text_calls(text):
            raise Fault("upstream.broken", "The answer has a call of a tool in a place that is not known.")


def _text_calls(text: bytes) -> bool:
    """Whether a text is JSON that calls, or that one reader may take for another JSON than we do."""
    try:
        return _calls(read_plain(text))
    except NotPlain:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True


def _calls(value: Any) -> bool:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if not _CALLING.isdisjoint(each) or (isinstance(kind := each.get("type"), str) and kind in _CALL_TYPES):
                return True
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return False
