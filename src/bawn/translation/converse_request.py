"""Requests of AWS Bedrock's Converse, from a conversation (docs.aws.amazon.com/bedrock/latest/APIReference)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import WireName
from bawn.translation.neutral import (
    NO_ARGUMENTS,
    Conversation,
    File,
    Image,
    Part,
    Role,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    object_of,
)  # fmt: skip

_POINT = {"cachePoint": {"type": "default"}}
_PICTURES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_FILES = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/markdown": "md", "text/plain": "txt",
    "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")


def write_request(conversation: Conversation) -> bytes:
    """The body; the model and whether it is a stream stand in the path."""
    body: dict[str, Any] = {"messages": _messages(conversation)}
    if conversation.system:
        body["system"] = [out for text in conversation.system for out in _marked({"text": text.text}, text)]
    settings: dict[str, Any] = {
        name: value
        for name, value in (
            ("maxTokens", conversation.most),
            (
                "temperature",
                conversation.temperature if conversation.temperature is None else min(conversation.temperature, 1.0),
            ),
            ("topP", conversation.top_p if conversation.temperature is None else None),
        )
        if value is not None
    }
    if conversation.stop:
        settings["stopSequences"] = list(conversation.stop)
    if settings:
        body["inferenceConfig"] = settings
    if config := _tool_config(conversation):
        body["toolConfig"] = config
    return msgspec.json.encode(body)


def _tool_config(conversation: Conversation) -> dict[str, Any]:
    """The tools; where none are offered any more but some were called, those, since there calls want their tool."""
    tools = conversation.tools
    if not tools:
        called = {part.name for turn in conversation.turns for part in turn.parts if isinstance(part, ToolUse)}
        tools = tuple(Tool(name, "", None) for name in sorted(called))
    if not tools:
        return {}
    config: dict[str, Any] = {"tools": [out for tool in tools for out in _marked({"toolSpec": _tool(tool)}, tool)]}
    if conversation.choice == "required":
        config["toolChoice"] = {"any": {}}
    elif conversation.choice == "one":
        config["toolChoice"] = {"tool": {"name": conversation.chosen}}
    return config


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    names = count(1)
    for turn in conversation.turns:
        content: list[dict[str, Any]] = []
        # Results have to stand before anything else of their turn.
        for part in sorted(turn.parts, key=_results_first):
            block = _block(part, names)
            if block is not None:
                content += [block] if isinstance(part, Thinking) else _marked(block, part)
        if any("document" in block for block in content) and not any("text" in block for block in content):
            content.append({"text": "(the document)"})
        role = "assistant" if turn.role is Role.ASSISTANT else "user"
        if content and messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        elif content:
            messages.append({"role": role, "content": content})
    return messages


def _results_first(part: Part) -> bool:
    return not isinstance(part, ToolResult)


def _marked(block: dict[str, Any], part: Text | Image | File | ToolUse | ToolResult | Tool) -> list[dict[str, Any]]:
    return [block, _POINT] if part.mark else [block]


def _block(part: Part, names: Iterator[int]) -> dict[str, Any] | None:
    match part:
        case Text(text=text):
            return {"text": text}
        case Image(media_type=media_type, data=data):
            return {"image": {"format": _format(media_type, _PICTURES), "source": {"bytes": data}}}
        case File():
            return _document(part, names)
        case Thinking(origin=origin, proof=proof) if origin is not WireName.CONVERSE or not proof:
            return None
        case Thinking(proof=proof, sealed=True):
            return {"reasoningContent": {"redactedContent": proof}}
        case Thinking(text=text, proof=proof):
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": proof}}}
        case ToolUse(id=call_id, name=name, arguments=arguments):
            return {"toolUse": {"toolUseId": call_id, "name": name, "input": object_of(arguments)}}
        case ToolResult(id=call_id, parts=parts, is_error=is_error):
            content = [block for each in parts if (block := _block(each, names)) is not None]
            result = {"toolUseId": call_id, "content": content or [{"text": "(empty)"}]}
            return {"toolResult": {**result, "status": "error"} if is_error else result}


def _document(file: File, names: Iterator[int]) -> dict[str, Any]:
    if file.media_type == "text/plain":
        return {"text": file.data}
    # Names of documents may hold few characters, and no two may be the same.
    name = f"{_NOT_IN_NAMES.sub(' ', file.name).strip() or 'document'} {next(names)}"
    return {"document": {"format": _format(file.media_type, _FILES), "name": name, "source": {"bytes": file.data}}}


def _format(media_type: str, known: dict[str, str]) -> str:
    if media_type not in known:
        raise Fault(
            "request.not_translatable", f"The provider of this model takes no content of the type {media_type[:80]!r}."
        )
    return known[media_type]


def _tool(tool: Tool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.schema or NO_ARGUMENTS}}
    if tool.description:
        described["description"] = tool.description
    return described
