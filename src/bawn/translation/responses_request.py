"""Requests of OpenAI's responses, to and from a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import WireName
from bawn.translation.chat_request import EFFORTS, FAILED, described_text, file_of, form_of, image_of, openai_effort
from bawn.translation.data_url import data_url
from bawn.translation.features import Feature
from bawn.translation.neutral import (
    FREE_SCHEMA,
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
    free_arguments,
    merged,
    proof_read,
    short,
)  # fmt: skip
from bawn.wire import fields

_FEATURES = {
    "temperature": Feature.TEMPERATURE, "top_p": Feature.TOP_P, "max_output_tokens": Feature.MAX_TOKENS,
    "metadata": Feature.HINTS, "service_tier": Feature.HINTS, "truncation": Feature.HINTS,
    "max_tool_calls": Feature.HINTS, "client_metadata": Feature.HINTS, "context_management": Feature.HINTS,
    "safety_identifier": Feature.HINTS, "prompt_cache_retention": Feature.HINTS, "prompt_cache_options": Feature.HINTS,
    "top_logprobs": Feature.LOGPROBS, "prompt_cache_key": Feature.CACHE_KEY, "user": Feature.USER,
    "previous_response_id": Feature.KEPT, "conversation": Feature.KEPT, "prompt": Feature.KEPT, "store": Feature.KEPT,
    "background": Feature.KEPT,
}  # fmt: skip
"""Fields that use a feature by being there."""
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_TYPED = ("local_shell", "shell", "apply_patch", "computer", "computer_use_preview")
_LOGPROBS = "message.output_text.logprobs"


def read_request(read: dict[str, Any]) -> Conversation:
    """The conversation of a request. Fault `request.invalid` with the field that does not fit."""
    says = {
        feature for name, feature in _FEATURES.items() if read.get(name) is not None and read.get(name) is not False
    }
    if _LOGPROBS in fields.texts(read, "include"):
        says.add(Feature.LOGPROBS)
    system: list[Text] = []
    if instructions := fields.text(read, "instructions"):
        says.add(Feature.SYSTEM)
        system.append(Text(instructions))
    turns = _turns(read.get("input"), system, says)
    choice, chosen = _choice(read.get("tool_choice"), says)
    parallel = read.get("parallel_tool_calls") is not False
    if not parallel:
        says.add(Feature.ONE_BY_ONE)
    text = fields.part(read, "text")
    verbosity = fields.text(text, "verbosity")
    if verbosity:
        says.add(Feature.VERBOSITY)
    effort, form, tools = _effort(read, says), _form(text.get("format"), says), _tools(read, says)
    return Conversation(
        says=frozenset(says),
        system=tuple(system),
        turns=merged(turns),
        tools=tools,
        choice=choice,
        chosen=chosen,
        parallel=parallel,
        most=fields.count(read, "max_output_tokens"),
        temperature=fields.number(read, "temperature"),
        top_p=fields.number(read, "top_p"),
        form=form,
        effort=effort,
        verbosity=verbosity,
        user=fields.text(read, "user"),
        cache_key=fields.text(read, "prompt_cache_key"),
        stream=fields.switch(read, "stream"),
    )


def _turns(said: Any, system: list[Text], says: set[Feature]) -> list[tuple[Role, list[Part]]]:
    if isinstance(said, str):
        return [(Role.USER, [Text(said)])]
    turns: list[tuple[Role, list[Part]]] = []
    names: dict[str, str] = {}
    if said is not None and not isinstance(said, list):
        raise fields.invalid("input", "a text or a list")
    for index, item in enumerate(said or ()):
        place = f"input[{index}]"
        if not isinstance(item, dict):
            raise fields.invalid(place, "an object")
        kind = fields.text(item, "type", "message")
        if kind == "message":
            parts = _parts(item.get("content"), place, says)
            role = item.get("role")
            if role in ("system", "developer"):
                says.add(Feature.LATER_SYSTEM if turns else Feature.SYSTEM)
                system += [part for part in parts if isinstance(part, Text)]
            elif role in ("user", "assistant"):
                turns.append((Role(role), parts))
            else:
                raise fields.invalid(f"{place}.role", "user, assistant, system or developer")
        elif kind in _CALLS:
            says.add(Feature.TOOLS)
            call_id, name = fitting_id(fields.text(item, "call_id")), called_name(item)
            names[call_id] = name
            arguments = fields.text(item, _CALLS[kind])
            free = kind == "custom_tool_call"
            use = ToolUse(call_id, name, free_arguments(arguments) if free else arguments or "{}")
            turns.append((Role.ASSISTANT, [use]))
        elif kind in _RESULTS:
            turns.append((Role.USER, [_result(item, place, names, says)]))
        elif kind == "reasoning":
            says.add(Feature.THINKING)
            origin, proof = proof_read(fields.text(item, "encrypted_content"), WireName.RESPONSES)
            turns.append((Role.ASSISTANT, [Thinking(summary_of(item), proof, origin)]))
        else:
            says.add(Feature.KEPT if kind == "item_reference" else Feature.TYPED_TOOLS)
    return turns


def called_name(item: dict[str, Any]) -> str:
    """The name of a call's tool, with the set that it is of."""
    name, space = fields.text(item, "name"), fields.text(item, "namespace")
    return spaced_name(space, name) if space else name


def spaced_name(space: str, name: str) -> str:
    return f"{space}__{name}"


def summary_of(item: dict[str, Any]) -> str:
    """What a reasoning item lets be read."""
    told = [part for name in ("summary", "content") for part in _listed(item, name)]
    return "\n\n".join(str(part.get("text", "")) for part in told if isinstance(part, dict))


def _listed(item: dict[str, Any], name: str) -> list[Any]:
    value = item.get(name)
    return value if isinstance(value, list) else []


def _result(item: dict[str, Any], place: str, names: dict[str, str], says: set[Feature]) -> ToolResult:
    says.add(Feature.TOOLS)
    call_id = fitting_id(fields.text(item, "call_id"))
    inner: set[Feature] = set()
    parts = _parts(item.get("output"), place, inner)
    if inner:
        says |= {*inner, Feature.TOOL_IMAGES}
    given = tuple(part for part in parts if isinstance(part, Text | Image | File))
    return ToolResult(call_id, names.get(call_id, ""), given)


def _parts(content: Any, place: str, says: set[Feature]) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is not None and not isinstance(content, list):
        raise fields.invalid(place, "a text or a list")
    found: list[Part] = []
    for index, part in enumerate(content or ()):
        at = f"{place}.content[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_text", "output_text", "text", "refusal"):
            text = fields.text(part, "refusal" if kind == "refusal" else "text")
            if text:
                found.append(Text(text))
        elif kind == "input_image":
            if part.get("file_id"):
                says.add(Feature.KEPT)
            else:
                found.append(image_of(fields.text(part, "image_url"), f"{at}.image_url", says))
        elif kind == "input_file":
            found.append(file_of(part, at, says))
        else:
            raise fields.invalid(at, "a part of a type that can be translated")
    return found


def _tools(read: dict[str, Any], says: set[Feature]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for tool in fields.objects(read, "tools"):
        if tool.get("type") == "namespace":
            says.add(Feature.TOOL_SETS)
            space = fields.text(tool, "name")
            for inner in fields.objects(tool, "tools"):
                _offer(inner, space, found, says)
        else:
            _offer(tool, "", found, says)
    if len({tool.name for tool in found}) != len(found):
        raise fields.invalid("tools", "tools of different names")
    return tuple(found)


def _offer(tool: dict[str, Any], space: str, found: list[Tool], says: set[Feature]) -> None:
    kind, name = tool.get("type"), fields.text(tool, "name")
    spaced = (space, name) if space else None
    shown = spaced_name(space, name) if space else name
    if kind == "custom":
        says |= {Feature.TOOLS, Feature.FREE_TOOLS}
        found.append(Tool(shown, described_text(tool), FREE_SCHEMA, free=True, spaced=spaced))
    elif kind == "function":
        says.add(Feature.TOOLS)
        schema = tool.get("parameters")
        strict = True if tool.get("strict") is True else None
        if strict:
            says.add(Feature.STRICT_TOOLS)
        described = fields.text(tool, "description")
        found.append(Tool(shown, described, schema if isinstance(schema, dict) else None, strict, spaced=spaced))
    else:
        says.add(Feature.TYPED_TOOLS if kind in _TYPED else Feature.HOSTED)


def _choice(choice: Any, says: set[Feature]) -> tuple[str, str]:
    if choice in (None, "auto"):
        return "auto", ""
    if choice in ("none", "required"):
        says.add(Feature.NO_TOOL if choice == "none" else Feature.TOOL_CHOICE)
        return choice, ""
    if not isinstance(choice, dict) or choice.get("type") not in ("function", "custom"):
        raise fields.invalid("tool_choice", "auto, none, required, or a function by its name")
    says.add(Feature.TOOL_CHOICE)
    return "one", fields.text(choice, "name")


def _effort(read: dict[str, Any], says: set[Feature]) -> str:
    said = fields.part(read, "reasoning").get("effort")
    if said is None:
        return ""
    if said not in EFFORTS:
        raise fields.invalid("reasoning.effort", ", ".join(EFFORTS))
    says.add(Feature.EFFORT)
    return str(said)


def _form(asked: Any, says: set[Feature]) -> Form | None:
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        says.add(Feature.JSON)
        return Form()
    return form_of(asked, "text.format", says)


# out


def write_request(conversation: Conversation, model: str) -> bytes:
    """The body; the provider keeps nothing of it, and seals its thoughts so that they can be told to it again."""
    body: dict[str, Any] = {
        "model": model,
        "input": _items(conversation),
        "store": False,
    }
    if conversation.effort not in ("", "none") or any(item["type"] == "reasoning" for item in body["input"]):
        # Models that do not think refuse to be asked for it.
        body["include"] = ["reasoning.encrypted_content"]
    given: dict[str, Any] = {
        "instructions": "\n\n".join(text.text for text in conversation.system) or None,
        # Less than 16 is refused there.
        "max_output_tokens": max(conversation.most, 16) if conversation.most is not None else None,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "reasoning": {"effort": openai_effort(conversation.effort), "summary": "auto"} if conversation.effort else None,
        "text": _text_settings(conversation) or None,
        "user": short(conversation.user) or None,
        "prompt_cache_key": short(conversation.cache_key) or None,
        "stream": conversation.stream or None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
        body["parallel_tool_calls"] = conversation.parallel
        if conversation.choice == "one":
            body["tool_choice"] = {"type": "function", "name": conversation.chosen}
        elif conversation.choice != "auto":
            body["tool_choice"] = conversation.choice
    return msgspec.json.encode(body)


def _text_settings(conversation: Conversation) -> dict[str, Any]:
    text: dict[str, Any] = {"verbosity": conversation.verbosity} if conversation.verbosity else {}
    form = conversation.form
    if form is not None and form.schema is None:
        text["format"] = {"type": "json_object"}
    elif form is not None:
        text["format"] = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
        if form.strict is not None:
            text["format"]["strict"] = form.strict
        if form.description:
            text["format"]["description"] = form.description
    return text


def _items(conversation: Conversation) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in conversation.turns:
        said: list[dict[str, Any]] = []
        for part in turn.parts:
            if isinstance(part, Text | Image | File):
                said.append(_part(part, turn.role))
                continue
            if said:
                items.append({"type": "message", "role": turn.role.value, "content": said})
                said = []
            item = _item(part)
            if item is not None:
                items.append(item)
        if said:
            items.append({"type": "message", "role": turn.role.value, "content": said})
    return items


def _item(part: Thinking | ToolUse | ToolResult) -> dict[str, Any] | None:
    match part:
        case Thinking(proof=proof, origin=origin, text=text):
            if origin is not WireName.RESPONSES or not proof:
                return None
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "summary": summary, "encrypted_content": proof}
        case ToolUse(id=call_id, name=name, arguments=arguments):
            return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        case ToolResult(id=call_id, parts=parts, is_error=is_error):
            marked = (Text(FAILED), *parts) if is_error else parts
            texts = [each.text for each in marked if isinstance(each, Text)]
            plain = len(texts) == len(marked)
            output = "\n".join(texts) if plain else [_part(each, Role.USER) for each in marked]
            return {"type": "function_call_output", "call_id": call_id, "output": output}


def _part(part: Text | Image | File, role: Role) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "output_text" if role is Role.ASSISTANT else "input_text", "text": text}
        case Image(media_type=media_type, data=data, url=url):
            return {"type": "input_image", "detail": "auto", "image_url": url or data_url(media_type, data)}
        case File(url=url) if url:
            return {"type": "input_file", "file_url": url}
        case File(media_type="text/plain", data=data):
            return {"type": "input_text", "text": data}
        case File(media_type=media_type, data=data, name=name):
            return {"type": "input_file", "filename": name or "file", "file_data": data_url(media_type, data)}


def _tool(tool: Tool) -> dict[str, Any]:
    # What says nothing is strict here, and nowhere else.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema if tool.schema is not None else NO_ARGUMENTS,
        "strict": tool.strict is True,
    }
