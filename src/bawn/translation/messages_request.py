"""Requests of Anthropic's messages, to and from a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import WireName
from bawn.translation.chat_request import EFFORTS, read_document
from bawn.translation.claude_thinking import BUDGETS, asked_to_think, is_own, may_think
from bawn.translation.features import Feature
from bawn.translation.neutral import (
    NO_ARGUMENTS,
    Conversation,
    File,
    Form,
    Image,
    Part,
    Role,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    fitting_id,
    merged,
    object_of,
    proof_read,
    proof_written,
)  # fmt: skip
from bawn.wire import fields
from bawn.wire.json_text import written

MOST = 8192
"""Tokens of an answer when the client set no limit; this wire needs one."""
_FEATURES = {
    "temperature": Feature.TEMPERATURE, "top_p": Feature.TOP_P, "top_k": Feature.TOP_K, "stop_sequences": Feature.STOP,
    "max_tokens": Feature.MAX_TOKENS, "service_tier": Feature.HINTS, "context_management": Feature.HINTS,
    "inference_geo": Feature.HINTS, "speed": Feature.HINTS, "diagnostics": Feature.HINTS, "compaction": Feature.HINTS,
    "cache_control": Feature.CACHE_MARKS, "container": Feature.KEPT,
}  # fmt: skip
_INSIDE = (None, "custom")


def read_request(read: dict[str, Any]) -> Conversation:
    """The conversation of a request. Fault `request.invalid` with the field that does not fit."""
    says = {feature for name, feature in _FEATURES.items() if read.get(name) is not None}
    system = [part for part in _parts(read.get("system"), "system", says) if isinstance(part, Text)]
    if system:
        says.add(Feature.SYSTEM)
    turns: list[tuple[Role, list[Part]]] = []
    names: dict[str, str] = {}
    for index, message in enumerate(fields.objects(read, "messages", needed=True)):
        place = f"messages[{index}]"
        parts = _parts(message.get("content"), place, says, names)
        if message.get("role") == "system":
            says.add(Feature.LATER_SYSTEM)
            system += [part for part in parts if isinstance(part, Text)]
        elif message.get("role") in ("user", "assistant"):
            turns.append((Role(message["role"]), parts))
        else:
            raise fields.invalid(f"{place}.role", "user or assistant")
    choice = read.get("tool_choice")
    how, chosen, parallel = _choice(choice if isinstance(choice, dict) else {}, says)
    metadata = read.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if user:
        says.add(Feature.USER)
    form, effort, tools = _form(read, says), _effort(read, says), _tools(read, says)
    return Conversation(
        says=frozenset(says),
        system=tuple(system),
        turns=merged(turns),
        tools=tools,
        choice=how,
        chosen=chosen,
        parallel=parallel,
        most=fields.count(read, "max_tokens"),
        temperature=fields.number(read, "temperature"),
        top_p=fields.number(read, "top_p"),
        top_k=fields.count(read, "top_k"),
        stop=fields.texts(read, "stop_sequences"),
        form=form,
        effort=effort,
        user=user if isinstance(user, str) else "",
        stream=fields.switch(read, "stream"),
    )


def _parts(content: Any, place: str, says: set[Feature], names: dict[str, str] | None = None) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is None:
        return []
    if not isinstance(content, list):
        raise fields.invalid(place, "a text or a list")
    found: list[Part] = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise fields.invalid(f"{place}[{index}]", "an object")
        part = _part(block, f"{place}[{index}]", says, names if names is not None else {})
        if part is not None:
            found.append(part)
    return found


def _part(block: dict[str, Any], place: str, says: set[Feature], names: dict[str, str]) -> Part | None:
    mark = block.get("cache_control") is not None
    if mark:
        says.add(Feature.CACHE_MARKS)
    match block.get("type"):
        case "text":
            text = fields.text(block, "text")
            return Text(text, mark) if text else None
        case "image" | "document":
            return _source(block, place, says, mark=mark)
        case "thinking" | "redacted_thinking" as kind:
            says.add(Feature.THINKING)
            sealed = kind == "redacted_thinking"
            origin, proof = proof_read(fields.text(block, "data" if sealed else "signature"), WireName.ANTHROPIC)
            return Thinking(fields.text(block, "thinking"), proof, origin, sealed)
        case "tool_use":
            says.add(Feature.TOOLS)
            call_id, name = fitting_id(fields.text(block, "id")), fields.text(block, "name")
            names[call_id] = name
            return ToolUse(call_id, name, written(block.get("input") or {}), mark=mark)
        case "tool_result":
            return _result(block, place, says, names, mark=mark)
        case _:
            raise fields.invalid(place, "a block of a type that can be translated")


def _result(block: dict[str, Any], place: str, says: set[Feature], names: dict[str, str], *, mark: bool) -> ToolResult:
    says.add(Feature.TOOLS)
    inner: set[Feature] = set()
    parts = tuple(part for part in _parts(block.get("content"), place, inner) if isinstance(part, Text | Image | File))
    if inner & {Feature.IMAGE, Feature.FILE}:
        says.add(Feature.TOOL_IMAGES)
    says |= inner
    is_error = block.get("is_error") is True
    if is_error:
        says.add(Feature.TOOL_ERRORS)
    call_id = fitting_id(fields.text(block, "tool_use_id"))
    return ToolResult(call_id, names.get(call_id, ""), parts, is_error, mark)


def _source(block: dict[str, Any], place: str, says: set[Feature], *, mark: bool) -> Image | File:
    source, picture = block.get("source"), block["type"] == "image"
    if not isinstance(source, dict):
        raise fields.invalid(f"{place}.source", "an object")
    name = fields.text(block, "title")
    match source.get("type"):
        case "base64" | "text" as kind:
            says.add(Feature.IMAGE if picture else Feature.FILE)
            media_type, data = fields.text(source, "media_type"), fields.text(source, "data")
            if picture:
                return Image(media_type, data, mark=mark)
            if kind == "text":
                return File("text/plain", data, name, mark=mark)
            return read_document(media_type, data, name, place, mark=mark)
        case "url":
            says.add(Feature.IMAGE_URL if picture else Feature.FILE_URL)
            url = fields.text(source, "url")
            return Image("", "", url, mark) if picture else File("", "", name, url, mark)
        case "file":
            says.add(Feature.KEPT)
            return File("", "")
        case _:
            raise fields.invalid(f"{place}.source.type", "base64, text or url")


def _tools(read: dict[str, Any], says: set[Feature]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for tool in fields.objects(read, "tools"):
        if tool.get("type") not in _INSIDE:
            says.add(Feature.TYPED_TOOLS if _runs_inside(str(tool["type"])) else Feature.HOSTED)
            continue
        says.add(Feature.TOOLS)
        mark = tool.get("cache_control") is not None
        if mark:
            says.add(Feature.CACHE_MARKS)
        if tool.get("strict"):
            says.add(Feature.STRICT_TOOLS)
        schema = tool.get("input_schema")
        found.append(
            Tool(
                fields.text(tool, "name"),
                fields.text(tool, "description"),
                schema if isinstance(schema, dict) else None,
                True if tool.get("strict") else None,
                mark=mark,
            )
        )
    return tuple(found)


def _runs_inside(kind: str) -> bool:
    return kind.startswith(("bash_", "text_editor_", "computer_", "memory_", "browser_toolset_"))


def _choice(choice: dict[str, Any], says: set[Feature]) -> tuple[str, str, bool]:
    parallel = choice.get("disable_parallel_tool_use") is not True
    if not parallel:
        says.add(Feature.ONE_BY_ONE)
    match choice.get("type"):
        case None | "auto":
            return "auto", "", parallel
        case "none":
            says.add(Feature.NO_TOOL)
            return "none", "", parallel
        case "any":
            says.add(Feature.TOOL_CHOICE)
            return "required", "", parallel
        case "tool":
            says.add(Feature.TOOL_CHOICE)
            return "one", fields.text(choice, "name"), parallel
        case _:
            raise fields.invalid("tool_choice.type", "auto, any, tool or none")


def _form(read: dict[str, Any], says: set[Feature]) -> Form | None:
    config = read.get("output_config")
    asked = config.get("format") if isinstance(config, dict) else None
    asked = read.get("output_format") if asked is None else asked
    if asked is None:
        return None
    if not isinstance(asked, dict) or not isinstance(asked.get("schema"), dict):
        raise fields.invalid("output_config.format", "an object with a schema")
    says.add(Feature.JSON_SCHEMA)
    return Form("answer", asked["schema"], strict=True)


def _effort(read: dict[str, Any], says: set[Feature]) -> str:
    config, thinking = read.get("output_config"), read.get("thinking")
    said = config.get("effort") if isinstance(config, dict) else None
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled" and isinstance(thinking, dict):
        budget = fields.count(thinking, "budget_tokens") or 0
        said = next((effort for effort, tokens in BUDGETS.items() if budget <= tokens), "high")
        said = "high" if said in ("xhigh", "max") else said
    elif kind == "adaptive":
        said = said or "high"
    elif (kind != "disabled" and said is None) or kind == "disabled":
        return ""
    if said not in EFFORTS:
        raise fields.invalid("output_config.effort", ", ".join(EFFORTS))
    says.add(Feature.EFFORT)
    return str(said)


# out


def write_request(conversation: Conversation, model: str) -> bytes:
    most = conversation.most or MOST
    body: dict[str, Any] = {"model": model, "max_tokens": most, "messages": _messages(conversation)}
    output: dict[str, Any] = {}
    if conversation.effort not in ("", "none") and may_think(conversation):
        output = asked_to_think(conversation, model, most, body)
    if "thinking" not in body:
        body |= _sampling(conversation)
    if conversation.form is not None and conversation.form.schema is not None:
        output["format"] = {"type": "json_schema", "schema": conversation.form.schema}
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
        body["tool_choice"] = _choice_written(conversation)
    given: dict[str, Any] = {
        "system": [_written(text) for text in conversation.system] or None,
        "output_config": output or None,
        "stop_sequences": list(conversation.stop) or None,
        "metadata": {"user_id": conversation.user} if conversation.user else None,
        "stream": conversation.stream or None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    return msgspec.json.encode(body)


def _sampling(conversation: Conversation) -> dict[str, Any]:
    sampling: dict[str, Any] = {}
    if conversation.temperature is not None:
        # The scale of others ends at 2.
        sampling["temperature"] = min(conversation.temperature, 1.0)
    elif conversation.top_p is not None:
        # Newer models take one of the two only.
        sampling["top_p"] = conversation.top_p
    if conversation.top_k is not None:
        sampling["top_k"] = conversation.top_k
    return sampling


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in conversation.turns:
        # Results have to stand before anything else of their turn.
        first = [_written(part) for part in turn.parts if isinstance(part, ToolResult)]
        rest = [
            _written(part)
            for part in turn.parts
            if not isinstance(part, ToolResult) and (not isinstance(part, Thinking) or is_own(part))
        ]
        if not first and not rest:
            continue
        if messages and messages[-1]["role"] == turn.role.value:
            messages[-1]["content"] += [*first, *rest]
        else:
            messages.append({"role": turn.role.value, "content": [*first, *rest]})
    return messages


def _written(part: Part) -> dict[str, Any]:
    block = _block(part)
    if not isinstance(part, Thinking) and part.mark:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image(url=url) | File(url=url) if url:
            kind = "image" if isinstance(part, Image) else "document"
            return {"type": kind, "source": {"type": "url", "url": url}}
        case Image(media_type=media_type, data=data):
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case File(media_type=media_type, data=data, name=name):
            kind = "text" if media_type == "text/plain" else "base64"
            block: dict[str, Any] = {
                "type": "document",
                "source": {"type": kind, "media_type": media_type, "data": data},
            }
            return {**block, "title": name} if name else block
        case Thinking(proof=proof, sealed=True):
            return {"type": "redacted_thinking", "data": proof}
        case Thinking(text=text, proof=proof):
            return {"type": "thinking", "thinking": text, "signature": proof}
        case ToolUse(id=call_id, name=name, arguments=arguments):
            return {"type": "tool_use", "id": call_id, "name": name, "input": object_of(arguments)}
        case ToolResult(id=call_id, parts=parts, is_error=is_error):
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
            if parts:
                result["content"] = [_block(each) for each in parts]
            return {**result, "is_error": True} if is_error else result


def _tool(tool: Tool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema or NO_ARGUMENTS}
    if tool.description:
        described["description"] = tool.description
    if tool.mark:
        described["cache_control"] = {"type": "ephemeral"}
    return described


def _choice_written(conversation: Conversation) -> dict[str, Any]:
    kind = {"required": "any", "one": "tool"}.get(conversation.choice, conversation.choice)
    choice: dict[str, Any] = {"type": kind}
    if kind == "tool":
        choice["name"] = conversation.chosen
    if not conversation.parallel and kind != "none":
        choice["disable_parallel_tool_use"] = True
    return choice


def client_thinking(thinking: Thinking) -> dict[str, Any]:
    """Thinking as a client of this wire keeps it and sends it back, whoever thought it."""
    proof = proof_written(thinking.origin, thinking.proof, WireName.ANTHROPIC)
    if thinking.sealed:
        return {"type": "redacted_thinking", "data": proof}
    return {"type": "thinking", "thinking": thinking.text, "signature": proof}
