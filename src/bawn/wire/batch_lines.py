"""The lines of a batch: what each would have a model do, and what came of it.

A batch is many calls in one, of which none passes by the door by itself, so that each is read here as its wire reads
a call. Nothing can be put right in a file that is at the provider already: a line that would have to be changed before
it may be sent (another name of the model, an answer that the provider would keep) is refused instead.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.errors import Fault, quoted
from bawn.terms.exchange import Endpoint, Exchange, Usage, WireName
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value
from bawn.wire import Route, endpoint, wire
from bawn.wire.json_text import NotPlain, read_object, read_plain
from bawn.wire.ways_out import too_deep

ENDPOINTS = frozenset((Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.EMBEDDINGS, Endpoint.COMPLETIONS))
"""What OpenAI takes in batches and this version reads."""
MESSAGES = Route(Endpoint.MESSAGES, WireName.ANTHROPIC)
MOST_LINES = 100_000

_LINE = frozenset(("custom_id", "method", "url", "body"))
_REQUEST = frozenset(("custom_id", "params"))


class Result(Value, frozen=True):
    """What came of one line."""

    usage: Usage | None
    calls: tuple[ToolCall, ...]
    model: str


def route_of(url: object) -> Route:
    """What is asked for by the path of a line, or of a whole batch. Fault `request.invalid`."""
    if isinstance(url, str) and url.startswith("/v1/") and url.isascii():
        try:
            route = endpoint("POST", url.encode())
        except Fault:
            route = None
        if route is not None and route.endpoint in ENDPOINTS:
            return route
    raise Fault("request.invalid", f"Batches of {quoted(str(url))} are not taken.")


def read_line(line: bytes, route: Route) -> Exchange:
    """One line of an input file of OpenAI."""
    read = read_object(line)
    if too_deep(read, line):
        raise Fault("request.malformed_json", "The line is nested too deep.")
    if not _LINE.issuperset(read) or read.get("method") != "POST" or route_of(read.get("url")) != route:
        raise Fault("request.invalid", "A line has `custom_id`, `method` POST, `url` as the batch has it, and `body`.")
    return _asked(route, read.get("body"))


def read_requests(body: bytes) -> list[Any]:
    """The `requests` of a batch of messages, to be read one by one."""
    read = read_object(body).get("requests")
    if not isinstance(read, list) or not 0 < len(read) <= MOST_LINES:
        raise Fault("request.invalid", f"The field 'requests' has to be a list of 1 to {MOST_LINES} objects.")
    return read


def read_params(request: object) -> Exchange:
    """One of these."""
    if not isinstance(request, dict) or not _REQUEST.issuperset(request):
        raise Fault("request.invalid", "A request has `custom_id` and `params`.")
    return _asked(MESSAGES, request.get("params"))


def _asked(route: Route, body: object) -> Exchange:
    if not isinstance(body, dict):
        raise Fault("request.invalid", "What is asked has to be an object.")
    if route.endpoint is Endpoint.RESPONSES and body.get("store") is not False:
        raise Fault("request.invalid", "A batch keeps no responses: each line has to say `store: false`.")
    assert route.wire is not None
    exchange = wire(route.wire).read_request(route, msgspec.json.encode(body))
    if exchange.stream:
        raise Fault("request.invalid", "Nothing in a batch is streamed.")
    return exchange


def read_result(line: bytes, asked: Endpoint) -> Result:
    """One line of an output. Fault `upstream.broken`."""
    try:
        read = read_plain(line)
    except NotPlain as error:
        raise Fault("upstream.broken", "A line of the results is not plain JSON.", cause=str(error)) from None
    if not isinstance(read, dict):
        raise Fault("upstream.broken", "A line of the results is no object.")
    if asked is Endpoint.MESSAGES:
        result = read.get("result")
        answer = result.get("message") if isinstance(result, dict) and result.get("type") == "succeeded" else None
        speaks = WireName.ANTHROPIC
    else:
        response = read.get("response")
        answer = response.get("body") if isinstance(response, dict) and response.get("status_code") == 200 else None
        speaks = WireName.RESPONSES if asked is Endpoint.RESPONSES else WireName.OPENAI
    if answer is None:
        _no_answer(read)
        return Result(None, (), "")
    said = wire(speaks).read_answer(asked, msgspec.json.encode(answer))
    return Result(said.usage, said.calls, said.model)


def _no_answer(read: dict[str, Any]) -> None:
    """A line that did not succeed holds an error and nothing that a client could act on."""
    response, result = read.get("response"), read.get("result")
    body = response.get("body") if isinstance(response, dict) else result
    if isinstance(body, dict) and not _ANSWERS.isdisjoint(body):
        raise Fault("upstream.broken", "A line of the results holds an answer though it did not succeed.")


_ANSWERS = frozenset(("choices", "output", "content", "message"))
