"""OpenAI's chat completions (platform.openai.com/docs/api-reference/chat), and what else has its format."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import fields
from bawn.wire.endpoints import Route
from bawn.wire.holding import Unsound
from bawn.wire.interface import Answer, ModelEntry, StreamReader
from bawn.wire.json_text import NotPlain, read_object, read_plain
from bawn.wire.just_read import leave
from bawn.wire.multipart import with_value
from bawn.wire.openai_calls import pieces
from bawn.wire.openai_other import read_other
from bawn.wire.openai_sound import read_speech
from bawn.wire.openai_stream import ChatStreamReader
from bawn.wire.usage import openai_usage, responses_usage
from bawn.wire.ways_out import Found, one_spelling, sweep, switched_on, too_deep, unknown_fields

CHAT_FIELDS = frozenset((
    "messages", "model", "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format",
    "prompt_cache_options", "safety_identifier", "seed", "service_tier", "stop", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
    # Documented by servers that speak this wire.
    "reasoning", "thinking", "enable_thinking", "include_reasoning", "chat_template_kwargs", "ignore_eos",
    "skip_special_tokens", "add_generation_prompt", "cache_prompt", "top_k", "min_p", "repetition_penalty",
))  # fmt: skip

INSIDE_TOOLS = frozenset(("function", "custom"))
"""Types of tools that run inside the container."""
HOSTED_TOOLS = frozenset((
    "web_search", "web_search_preview", "web_search_preview_2025_03_11", "web_search_2025_08_26", "file_search",
    "code_interpreter", "computer_use_preview", "image_generation", "mcp", "local_shell", "shell", "apply_patch",
))  # fmt: skip
HOSTED_FIELDS = {
    "web_search_options": "searches the web",
    "search_parameters": "searches the web (xAI)",
    "enable_search": "searches the web (Qwen)",
    "plugins": "searches the web, reads files (OpenRouter)",
    "mcp_servers": "calls servers of tools",
    "store": "keeps the conversation at the provider",
    "previous_response_id": "goes on with a conversation kept at the provider",
    "conversation": "goes on with a conversation kept at the provider",
    "background": "runs on after the call has ended",
    "models": "names other models than the one that was permitted (OpenRouter)",
    "fallbacks": "names other models than the one that was permitted",
    "provider": "chooses who answers (OpenRouter)",
}
"""Fields that switch something of the provider on by being there, and what; each is allowed by its name."""


_NO_TOOLS = CHAT_FIELDS - {"tools", "functions"}
"""A request with these fields only has no tool of any kind, and no field that is unknown."""

_ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "invalid_request_error", 415: "invalid_request_error", 429: "rate_limit_error",
}  # fmt: skip


class OpenAIChat:
    def read_request(self, route: Route, body: bytes) -> Exchange:
        endpoint = route.endpoint
        read = read_object(body)
        if endpoint is Endpoint.SPEECH:
            return read_speech(read, body)
        if endpoint is not Endpoint.CHAT_COMPLETIONS:
            return read_other(endpoint, read, body)
        model = fields.text(read, "model")
        messages = fields.objects(read, "messages", needed=True)
        found = Found()
        sweep(messages, "messages", found)
        if "prediction" in read:
            sweep(read["prediction"], "prediction", found)
        if too_deep(read, body):
            raise Fault("request.malformed_json", "The body is nested too deep.")
        tools: tuple[str, ...] = ()
        hosted: tuple[HostedTool, ...] = ()
        unknown: tuple[str, ...] = ()
        if found.tools or not _NO_TOOLS.issuperset(read):
            tools, hosted, unknown_types = _tools(read, found)
            unknown = (*unknown_types, *unknown_fields(read, CHAT_FIELDS, HOSTED_FIELDS))
        leave(body, read)
        return Exchange(
            wire=WireName.OPENAI,
            endpoint=endpoint,
            model=model,
            stream=fields.switch(read, "stream"),
            body=body,
            tools=tools,
            hosted_tools=hosted,
            unknown_tools=unknown,
            fetches=tuple(found.fetches),
            resources=tuple(found.resources),
            max_output_tokens=_most(read),
            session=fields.text(read, "prompt_cache_key"),
        )

    def with_model(self, body: bytes, model: str) -> bytes:
        if body.startswith(b"--"):
            # A form: no JSON begins like this.
            return with_value(body, "model", model.encode())
        return fields.with_field(body, "model", model)

    def with_usage(self, body: bytes) -> bytes:
        read = read_object(body)
        options = read.get("stream_options")
        if options is None:
            return fields.with_field(body, "stream_options", {"include_usage": True})
        if not isinstance(options, dict):
            raise fields.invalid("stream_options", "an object")
        if options.get("include_usage") is True:
            return body
        return fields.with_field(body, "stream_options", {**options, "include_usage": True})

    def unkept(self, body: bytes) -> bytes:
        return body

    def read_answer(self, endpoint: Endpoint, body: bytes) -> Answer:
        read = read_completion(body)
        usage, model = openai_usage(read.get("usage")) or responses_usage(read.get("usage")), read.get("model")
        calls: Sequence[ToolCall] = ()
        if endpoint is Endpoint.CHAT_COMPLETIONS:
            calls = calls_of(read)
        elif endpoint is Endpoint.TRANSCRIPTIONS and not isinstance(read.get("text"), str):
            raise Fault("upstream.broken", "The provider's answer has no text.")
        leave(body, read)
        return Answer(usage, tuple(calls), model if isinstance(model, str) else "")

    def stream_reader(self, *, hide_usage: bool) -> StreamReader:
        return ChatStreamReader(hide_usage=hide_usage)

    def is_error(self, body: bytes) -> bool:
        try:
            read = read_plain(body)
        except NotPlain:
            return False
        return isinstance(read, dict) and isinstance(read.get("error"), dict)

    def refusal(self, fault: Fault, request_id: str) -> bytes:
        return msgspec.json.encode({"error": _error(fault), "request_id": request_id})

    def stream_error(self, fault: Fault, request_id: str) -> bytes:
        return b"data: " + self.refusal(fault, request_id) + b"\n\n"

    def models_list(self, entries: Sequence[ModelEntry], now: datetime) -> bytes:
        return msgspec.json.encode({"object": "list", "data": [_model(entry, now) for entry in entries]})

    def model(self, entry: ModelEntry, now: datetime) -> bytes:
        return msgspec.json.encode(_model(entry, now))


CHAT = OpenAIChat()


def _most(read: dict[str, Any]) -> int | None:
    """The larger of the two fields: which of them a server heeds when both are given, we cannot know."""
    most, older = fields.count(read, "max_completion_tokens"), fields.count(read, "max_tokens")
    return older if most is None else most if older is None else max(most, older)


def _tools(read: dict[str, Any], found: Found) -> tuple[tuple[str, ...], tuple[HostedTool, ...], tuple[str, ...]]:
    """Names of tools that run inside, tools of the provider, types that nobody knows."""
    inside: list[str] = []
    fields.switch(read, "store")
    hosted = [HostedTool(name) for name in switched_on(read, HOSTED_FIELDS)]
    unknown: list[str] = []
    offered = [(f"tools[{index}]", tool) for index, tool in enumerate(fields.objects(read, "tools"))]
    for place, tool in (*offered, *found.tools):
        one_spelling(tool, place)
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise fields.invalid(f"{place}.type", "a text")
        if kind in INSIDE_TOOLS:
            described = tool.get(kind)
            if not isinstance(described, dict) or not isinstance(described.get("name"), str):
                raise fields.invalid(f"{place}.{kind}.name", "a text")
            inside.append(described["name"])
            continue
        # Allowed or not, what a tool of the provider is pointed at has an owner and is fetched.
        sweep(tool, place, found)
        if kind in HOSTED_TOOLS:
            hosted.append(HostedTool(kind))
        else:
            unknown.append(kind)
    for index, function in enumerate(fields.objects(read, "functions")):
        if not isinstance(function.get("name"), str):
            raise fields.invalid(f"functions[{index}].name", "a text")
        inside.append(function["name"])
    return tuple(inside), tuple(hosted), tuple(unknown)


def calls_of(read: dict[str, Any]) -> list[ToolCall]:
    """The calls of a completion. Fault `upstream.broken` where they could be read in two ways."""
    choices = read.get("choices")
    if not isinstance(choices, list):
        raise Fault("upstream.broken", "The provider's answer has no choices.")
    calls: list[ToolCall] = []
    for choice in choices:
        calls += _calls(choice)
    return calls


def _calls(choice: Any) -> list[ToolCall]:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise Fault("upstream.broken", "A choice of the provider's answer has no message.")
    try:
        calls = [ToolCall(piece.id, piece.name, piece.arguments, free=piece.free or False) for piece in pieces(message)]
    except Unsound as error:
        raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None
    if not all(call.name for call in calls):
        raise Fault("upstream.broken", "A tool call of the provider's answer has no name.")
    return calls


def read_completion(body: bytes) -> dict[str, Any]:
    """The object that an answer is. Fault `upstream.broken`."""
    try:
        read = read_plain(body)
    except NotPlain as error:
        raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
    if not isinstance(read, dict):
        raise Fault("upstream.broken", "The provider's answer is not a JSON object.")
    return read


def _error(fault: Fault) -> dict[str, Any]:
    return {
        "message": f"{fault.sentence} {fault.remedy}".strip(),
        "type": _ERROR_TYPES.get(fault.status, "server_error" if fault.status >= 500 else "invalid_request_error"),
        "param": None,
        "code": fault.code,
    }


def _model(entry: ModelEntry, now: datetime) -> dict[str, Any]:
    return {"id": entry.id, "object": "model", "created": int(now.timestamp()), "owned_by": entry.provider}
