"""OpenAI's responses (platform.openai.com/docs/api-reference/responses).

The provider keeps a response unless it is told not to, so it is told not to, unless the request says by itself that it
shall and that is allowed; what it keeps then belongs to the container that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.wire import fields, openai
from bawn.wire.endpoints import Route
from bawn.wire.holding import Unsound
from bawn.wire.interface import Answer, ModelEntry, StreamReader
from bawn.wire.json_text import NotPlain, read_object, read_plain
from bawn.wire.just_read import leave
from bawn.wire.responses_calls import is_call, tool_call
from bawn.wire.responses_stream import ResponseStreamReader, items_of
from bawn.wire.usage import responses_usage
from bawn.wire.ways_out import Found, one_spelling, sweep, switched_on, too_deep, unknown_fields

FIELDS = frozenset((
    "model", "input", "instructions", "include", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "stream",
    "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
    "verbosity", "context_management", "client_metadata", "previous_response_id", "conversation", "store",
    "access_programs", "image", "prompt_cache_options",
))  # fmt: skip
INSIDE_TOOLS = frozenset(("function", "custom", "local_shell", "apply_patch", "computer_use_preview", "computer"))
"""Types of tools whose calls the client runs, inside the container."""
HOSTED_TOOLS = frozenset((
    "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "file_search",
    "code_interpreter", "image_generation", "mcp", "shell", "tool_search", "programmatic_tool_calling",
))  # fmt: skip
HOSTED_FIELDS = {
    "store": "keeps the conversation at the provider",
    "background": "runs on after the call has ended",
    "prompt": "takes a text that is kept at the provider",
    "models": "names other models than the one that was permitted",
}
"""Fields that switch something of the provider on by being there, and what; each is allowed by its name."""

_NAMED = ("function", "custom")


class OpenAIResponses:
    def read_request(self, route: Route, body: bytes) -> Exchange:
        read = read_object(body)
        said = read.get("input")
        goes_on = any(read.get(name) is not None for name in ("prompt", "previous_response_id", "conversation"))
        if not isinstance(said, str | list) and not (said is None and goes_on):
            raise fields.invalid("input", "a text or a list")
        found = Found()
        if isinstance(said, list):
            sweep(said, "input", found)
        if too_deep(read, body):
            raise Fault("request.malformed_json", "The body is nested too deep.")
        inside, hosted, unknown = _tools(read, found)
        if read.get("background") not in (None, False) and read.get("stream") is True:
            # Cut, it would go on at the provider, and its id would be known to a client that does not own it yet.
            raise Fault("request.invalid", "A response in the background is not streamed; read it by its id.")
        leave(body, read)
        return Exchange(
            wire=WireName.RESPONSES,
            endpoint=route.endpoint,
            model=fields.text(read, "model"),
            stream=fields.switch(read, "stream"),
            body=body,
            tools=inside,
            hosted_tools=(*hosted, *map(HostedTool, switched_on(read, HOSTED_FIELDS))),
            unknown_tools=(*unknown, *unknown_fields(read, FIELDS, HOSTED_FIELDS)),
            fetches=tuple(found.fetches),
            resources=(*found.resources, *_kept(read, said)),
            max_output_tokens=fields.count(read, "max_output_tokens"),
            session=fields.text(read, "prompt_cache_key"),
            after=fields.text(read, "previous_response_id"),
            within=_conversation(read),
        )

    def with_model(self, body: bytes, model: str) -> bytes:
        return fields.with_field(body, "model", model)

    def with_usage(self, body: bytes) -> bytes:
        return body

    def unkept(self, body: bytes) -> bytes:
        return body if read_object(body).get("store") is True else fields.with_field(body, "store", False)

    def read_answer(self, endpoint: Endpoint, body: bytes) -> Answer:
        try:
            read = read_plain(body)
            if not isinstance(read, dict):
                raise NotPlain("it is not an object")
            calls = [tool_call(item) for item in items_of(read) if is_call(item)]
        except NotPlain as error:
            raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
        except Unsound as unsound:
            raise Fault("upstream.broken", f"The provider's answer is unsound: {unsound}.") from None
        model, made = read.get("model"), read.get("id")
        return Answer(
            responses_usage(read.get("usage")),
            tuple(calls),
            model if isinstance(model, str) else "",
            made if isinstance(made, str) else "",
        )

    def stream_reader(self, *, hide_usage: bool) -> StreamReader:
        return ResponseStreamReader()

    def is_error(self, body: bytes) -> bool:
        return openai.CHAT.is_error(body)

    def refusal(self, fault: Fault, request_id: str) -> bytes:
        return openai.CHAT.refusal(fault, request_id)

    def stream_error(self, fault: Fault, request_id: str) -> bytes:
        message = f"{fault.sentence} {fault.remedy}".strip()
        said = {"type": "error", "code": fault.code, "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + msgspec.json.encode(said) + b"\n\n"

    def models_list(self, entries: Sequence[ModelEntry], now: datetime) -> bytes:
        return openai.CHAT.models_list(entries, now)

    def model(self, entry: ModelEntry, now: datetime) -> bytes:
        return openai.CHAT.model(entry, now)


def _tools(read: dict[str, Any], found: Found) -> tuple[tuple[str, ...], tuple[HostedTool, ...], tuple[str, ...]]:
    """Names of tools that run inside, tools of the provider, types that nobody knows."""
    inside: list[str] = []
    hosted: list[HostedTool] = []
    unknown: list[str] = []
    offered = [(f"tools[{index}]", tool) for index, tool in enumerate(fields.objects(read, "tools"))]
    pending = [*reversed((*offered, *found.tools))]
    while pending:
        place, tool = pending.pop()
        one_spelling(tool, place)
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise fields.invalid(f"{place}.type", "a text")
        if kind in INSIDE_TOOLS or (kind == "shell" and _is_local(tool)):
            name = tool.get("name") if kind in _NAMED else kind
            if not isinstance(name, str):
                raise fields.invalid(f"{place}.name", "a text")
            inside.append(name)
            continue
        if kind == "namespace":
            # A set of tools, each of which is judged for itself.
            inner = fields.objects(tool, "tools", needed=True)
            pending += [(f"{place}.tools[{index}]", each) for index, each in enumerate(inner)][::-1]
            continue
        # Allowed or not, what a tool of the provider is pointed at has an owner and is fetched.
        sweep(tool, place, found)
        if kind in HOSTED_TOOLS:
            hosted.append(HostedTool(kind))
        else:
            unknown.append(kind)
    return tuple(inside), tuple(hosted), tuple(unknown)


def _is_local(tool: dict[str, Any]) -> bool:
    """Whether the client runs the shell, as it says of itself."""
    environment = tool.get("environment")
    return isinstance(environment, dict) and environment.get("type") == "local"


def _kept(read: dict[str, Any], said: Any) -> list[str]:
    """Objects of the provider that the request goes on with."""
    kept: list[str] = []
    before = fields.text(read, "previous_response_id")
    if before:
        kept.append(before)
    if read.get("conversation") is not None:
        kept.append(_conversation(read))
    for item in said if isinstance(said, list) else ():
        if not isinstance(item, dict):
            raise fields.invalid("input", "a text or a list of objects")
        if item.get("type") == "item_reference" or set(item) <= {"id", "type"}:
            kept.append(str(item.get("id")))
    return kept


def _conversation(read: dict[str, Any]) -> str:
    conversation = read.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if not isinstance(conversation, str | None):
        raise fields.invalid("conversation", "an id")
    return conversation or ""
