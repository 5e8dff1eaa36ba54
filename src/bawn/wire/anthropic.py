"""Anthropic's messages and their token count (docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import fields
from bawn.wire.anthropic_calls import is_tool_call, tool_name
from bawn.wire.anthropic_stream import MessageStreamReader
from bawn.wire.endpoints import Route
from bawn.wire.holding import Unsound
from bawn.wire.interface import Answer, ModelEntry, StreamReader
from bawn.wire.json_text import NotPlain, read_object, read_plain, written
from bawn.wire.just_read import leave
from bawn.wire.usage import anthropic_usage
from bawn.wire.ways_out import Found, one_spelling, sweep, switched_on, too_deep, unknown_fields

FIELDS = frozenset((
    "model", "messages", "max_tokens", "metadata", "stop_sequences", "stream", "system", "temperature", "thinking",
    "tool_choice", "tools", "top_k", "top_p", "service_tier", "context_management", "output_config", "output_format",
    "cache_control", "inference_geo", "speed", "diagnostics", "compaction", "container",
))  # fmt: skip

INSIDE_TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "browser_toolset_")
"""Beginnings of types whose calls run inside the container; so do tools without a type and `custom` ones."""
HOSTED_TOOLS = ("web_search_", "web_fetch_", "code_execution_", "mcp_toolset", "tool_search_tool_", "advisor_")
"""Beginnings of types that the provider runs."""
HOSTED_FIELDS = {
    "mcp_servers": "calls servers of tools",
    "fallbacks": "names other models than the one that was permitted",
    "thread": "keeps the conversation at the provider",
}
"""Fields that switch something of the provider on by being there, and what; each is allowed by its name."""
CONTAINER_SKILLS = "container.skills"
"""The name by which skills, which the provider loads into its own container, are allowed."""

_ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


class AnthropicMessages:
    def read_request(self, route: Route, body: bytes) -> Exchange:
        endpoint = route.endpoint
        read = read_object(body)
        messages = fields.objects(read, "messages", needed=True)
        found = Found()
        sweep(messages, "messages", found)
        if not isinstance(read.get("system"), str):
            sweep(read.get("system"), "system", found)
        sweep(read.get("mcp_servers"), "mcp_servers", found)
        sweep(read.get("thread"), "thread", found)
        _container(read, found)
        if too_deep(read, body):
            raise Fault("request.malformed_json", "The body is nested too deep.")
        most = fields.count(read, "max_tokens")
        if endpoint is Endpoint.MESSAGES and most is None:
            raise fields.invalid("max_tokens", "a whole number")
        tools, hosted, unknown_types = _tools(read, found)
        metadata = read.get("metadata")
        user = metadata.get("user_id") if isinstance(metadata, dict) else None
        leave(body, read)
        return Exchange(
            wire=WireName.ANTHROPIC,
            endpoint=endpoint,
            model=fields.text(read, "model"),
            stream=fields.switch(read, "stream"),
            body=body,
            tools=tools,
            hosted_tools=hosted,
            unknown_tools=(*unknown_types, *unknown_fields(read, FIELDS, HOSTED_FIELDS)),
            fetches=tuple(found.fetches),
            resources=tuple(found.resources),
            max_output_tokens=most,
            session=_session(user) if isinstance(user, str) else "",
        )

    def with_model(self, body: bytes, model: str) -> bytes:
        return fields.with_field(body, "model", model)

    def with_usage(self, body: bytes) -> bytes:
        return body

    def unkept(self, body: bytes) -> bytes:
        return body

    def read_answer(self, endpoint: Endpoint, body: bytes) -> Answer:
        try:
            read = read_plain(body)
        except NotPlain as error:
            raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
        if not isinstance(read, dict):
            raise Fault("upstream.broken", "The provider's answer is not a JSON object.")
        if endpoint is Endpoint.COUNT_TOKENS:
            if not isinstance(read.get("input_tokens"), int):
                raise Fault("upstream.broken", "The provider's answer has no count.")
            return Answer(None, (), "")
        content, model = read.get("content"), read.get("model")
        if not isinstance(content, list):
            raise Fault("upstream.broken", "The provider's answer has no content.")
        calls = tuple(call for block in content for call in _calls(block))
        return Answer(anthropic_usage(read.get("usage")), calls, model if isinstance(model, str) else "")

    def stream_reader(self, *, hide_usage: bool) -> StreamReader:
        return MessageStreamReader()

    def is_error(self, body: bytes) -> bool:
        try:
            read = read_plain(body)
        except NotPlain:
            return False
        return isinstance(read, dict) and read.get("type") == "error" and isinstance(read.get("error"), dict)

    def refusal(self, fault: Fault, request_id: str) -> bytes:
        kind = _ERROR_TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
        message = f"{fault.sentence} {fault.remedy}".strip()
        error = {"type": kind, "message": message, "code": fault.code}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})

    def stream_error(self, fault: Fault, request_id: str) -> bytes:
        return b"event: error\ndata: " + self.refusal(fault, request_id) + b"\n\n"

    def models_list(self, entries: Sequence[ModelEntry], now: datetime) -> bytes:
        data = [_model(entry, now) for entry in entries]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return msgspec.json.encode({"data": data, "has_more": False, "first_id": first, "last_id": last})

    def model(self, entry: ModelEntry, now: datetime) -> bytes:
        return msgspec.json.encode(_model(entry, now))


def _session(user: str) -> str:
    """Claude Code writes an object into this text, of which one field is what its hooks call the session."""
    if user.startswith("{"):
        try:
            read = read_plain(user.encode("utf-8"))
        except (NotPlain, ValueError):
            return user
        named = read.get("session_id") if isinstance(read, dict) else None
        return named if isinstance(named, str) and named else user
    return user


def _container(read: dict[str, Any], found: Found) -> None:
    container = read.get("container")
    if container is not None and not isinstance(container, str | dict):
        raise fields.invalid("container", "a text or an object")
    named = container.get("id") if isinstance(container, dict) else container
    if named is not None:
        if not isinstance(named, str):
            raise fields.invalid("container.id", "a text")
        found.resources.append(named)


def _tools(read: dict[str, Any], found: Found) -> tuple[tuple[str, ...], tuple[HostedTool, ...], tuple[str, ...]]:
    """Names of tools that run inside, tools of the provider, types that nobody knows."""
    inside: list[str] = []
    hosted = [HostedTool(name) for name in switched_on(read, HOSTED_FIELDS)]
    container = read.get("container")
    if isinstance(container, dict) and any(name != "id" and value for name, value in container.items()):
        hosted.append(HostedTool(CONTAINER_SKILLS))
    unknown: list[str] = []
    offered = [(f"tools[{index}]", tool) for index, tool in enumerate(fields.objects(read, "tools"))]
    for place, tool in (*offered, *found.tools):
        one_spelling(tool, place)
        kind = tool.get("type")
        if kind is not None and not isinstance(kind, str):
            raise fields.invalid(f"{place}.type", "a text")
        if kind is None or kind == "custom" or kind.startswith(INSIDE_TOOLS):
            # A set of tools has no name of its own.
            name = tool.get("name", kind if kind and "_toolset_" in kind else None)
            if not isinstance(name, str):
                raise fields.invalid(f"{place}.name", "a text")
            inside.append(name)
            continue
        # Allowed or not, what a tool of the provider is pointed at has an owner and is fetched.
        sweep(tool, place, found)
        if kind.startswith(HOSTED_TOOLS):
            hosted.append(HostedTool(kind))
        else:
            unknown.append(kind)
    return tuple(inside), tuple(hosted), tuple(unknown)


def _calls(block: Any) -> list[ToolCall]:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise Fault("upstream.broken", "A block of the provider's answer has no type.")
    if not is_tool_call(block):
        return []
    try:
        return [ToolCall(str(block.get("id", "")), tool_name(block), written(block.get("input", {})))]
    except (Unsound, NotPlain) as error:
        raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None


def _model(entry: ModelEntry, now: datetime) -> dict[str, str]:
    created = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    # What is listed can be called; that is all `active` says here.
    return {
        "type": "model",
        "id": entry.id,
        "display_name": entry.id,
        "created_at": created,
        "lifecycle": "active",
    }
