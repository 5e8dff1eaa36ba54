"""Requests of Google's Gemini, to and from a conversation (ai.google.dev/api/generate-content).

Google takes each name in two forms, `systemInstruction` and `system_instruction`; both are read, the first is written.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bawn.terms.exchange import WireName
from bawn.translation.chat_request import EFFORTS, read_document
from bawn.translation.claude_thinking import BUDGETS
from bawn.translation.features import Feature
from bawn.translation.neutral import (
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
    Turn,
    fitting_id,
    merged,
    object_of,
)  # fmt: skip
from bawn.wire import fields
from bawn.wire.json_text import written

_SETTINGS = {
    "temperature": Feature.TEMPERATURE, "topP": Feature.TOP_P, "topK": Feature.TOP_K, "stopSequences": Feature.STOP,
    "maxOutputTokens": Feature.MAX_TOKENS, "seed": Feature.SEED, "presencePenalty": Feature.PENALTIES,
    "frequencyPenalty": Feature.PENALTIES, "responseLogprobs": Feature.LOGPROBS, "logprobs": Feature.LOGPROBS,
    "speechConfig": Feature.SOUND, "mediaResolution": Feature.HINTS, "enableEnhancedCivicAnswers": Feature.HINTS,
}  # fmt: skip
_TOP = {
    "cachedContent": Feature.KEPT, "safetySettings": Feature.HINTS, "labels": Feature.HINTS, "serviceTier": Feature.HINTS,
}  # fmt: skip
UNSIGNED = "skip_thought_signature_validator"
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto"}
_LETTER = re.compile("[A-Z]")
_UNDERSCORE = re.compile("_([a-z])")


def either(holder: dict[str, Any], name: str) -> Any:
    """A field by either of its names."""
    value = holder.get(name)
    return value if value is not None else holder.get(_LETTER.sub(lambda found: f"_{found[0].lower()}", name))


def _plainly(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within, its fields by the first form of their names."""
    value = either(holder, name)
    if value is not None and not isinstance(value, dict):
        raise fields.invalid(name, "an object")
    return {_UNDERSCORE.sub(lambda found: found[1].upper(), key): each for key, each in (value or {}).items()}


def read_request(read: dict[str, Any], *, stream: bool) -> Conversation:
    """The conversation of a request. Fault `request.invalid` with the field that does not fit."""
    says = {feature for name, feature in _TOP.items() if either(read, name)}
    settings = _plainly(read, "generationConfig")
    says |= {
        feature
        for name, feature in _SETTINGS.items()
        if settings.get(name) is not None and settings.get(name) is not False
    }
    if (fields.count(settings, "candidateCount") or 1) > 1:
        says.add(Feature.CHOICES)
    if any(each.upper() != "TEXT" for each in fields.texts(settings, "responseModalities")):
        says.add(Feature.SOUND)
    instruction = either(read, "systemInstruction")
    system = _parts(instruction, "systemInstruction", says, []) if isinstance(instruction, dict) else []
    if system:
        says.add(Feature.SYSTEM)
    turns: list[tuple[Role, list[Part]]] = []
    calls: list[ToolUse] = []
    for index, content in enumerate(fields.objects(read, "contents", needed=True)):
        role = Role.ASSISTANT if content.get("role") == "model" else Role.USER
        turns.append((role, _parts(content, f"contents[{index}]", says, calls)))
    choice, chosen = _choice(read, says)
    form, effort, tools = _form(settings, says), _effort(settings, says), _tools(read, says)
    return Conversation(
        says=frozenset(says),
        system=tuple(part for part in system if isinstance(part, Text)),
        turns=merged(turns),
        tools=tools,
        choice=choice,
        chosen=chosen,
        most=fields.count(settings, "maxOutputTokens"),
        temperature=fields.number(settings, "temperature"),
        top_p=fields.number(settings, "topP"),
        # A float by its documentation, a whole number by its meaning.
        top_k=int(min(fields.number(settings, "topK") or 0, 10_000)) or None,
        stop=fields.texts(settings, "stopSequences"),
        seed=fields.count(settings, "seed"),
        frequency_penalty=fields.number(settings, "frequencyPenalty"),
        presence_penalty=fields.number(settings, "presencePenalty"),
        form=form,
        effort=effort,
        stream=stream,
    )


def _parts(content: dict[str, Any], place: str, says: set[Feature], calls: list[ToolUse]) -> list[Part]:
    given = content.get("parts")
    given = [given] if isinstance(given, dict) else given
    if not isinstance(given, list):
        raise fields.invalid(f"{place}.parts", "a list")
    found: list[Part] = []
    for index, part in enumerate(given):
        at = f"{place}.parts[{index}]"
        if not isinstance(part, dict):
            raise fields.invalid(at, "an object")
        found += _part(part, at, says, calls)
    return found


def _part(part: dict[str, Any], place: str, says: set[Feature], calls: list[ToolUse]) -> list[Part]:
    proof = either(part, "thoughtSignature")
    proof = proof if isinstance(proof, str) else ""
    if proof:
        says.add(Feature.THINKING)
    if isinstance(part.get("text"), str):
        if part.get("thought") is True:
            says.add(Feature.THINKING)
            return [Thinking(part["text"], proof, WireName.GEMINI)]
        return [Text(part["text"])] if part["text"] else []
    if isinstance(data := either(part, "inlineData"), dict):
        return [_inline(data, says)]
    if isinstance(call := either(part, "functionCall"), dict):
        says.add(Feature.TOOLS)
        name = fields.text(call, "name")
        call_id = fitting_id(fields.text(call, "id") or f"call_{len(calls)}_{name}")
        calls.append(ToolUse(call_id, name, written(call.get("args") or {}), proof, WireName.GEMINI))
        return [calls[-1]]
    if isinstance(given := either(part, "functionResponse"), dict):
        says.add(Feature.TOOLS)
        return [_result(given, says, calls)]
    if either(part, "fileData") is not None:
        says.add(Feature.FILE_URL)
        return []
    raise fields.invalid(place, "a part of a kind that can be translated")


def _inline(data: dict[str, Any], says: set[Feature]) -> Image | File:
    media_type, encoded = str(either(data, "mimeType") or "application/octet-stream"), fields.text(data, "data")
    if media_type.startswith("image/"):
        says.add(Feature.IMAGE)
        return Image(media_type, encoded)
    says.add(Feature.AUDIO if media_type.startswith("audio/") else Feature.FILE)
    return read_document(media_type, encoded, str(either(data, "displayName") or ""), "inlineData")


def _result(given: dict[str, Any], says: set[Feature], calls: list[ToolUse]) -> ToolResult:
    name, said_id = fields.text(given, "name"), fields.text(given, "id")
    # Without an id, results answer the calls of their name in the order of these.
    open_call = next((call for call in calls if call.name == name), None)
    call_id = fitting_id(said_id) if said_id else open_call.id if open_call is not None else fitting_id(f"call_{name}")
    calls[:] = [call for call in calls if call.id != call_id]
    response = given.get("response")
    is_error = isinstance(response, dict) and set(response) == {"error"}
    if is_error:
        says.add(Feature.TOOL_ERRORS)
    told = _told(response)
    parts: list[Text | Image | File] = [Text(told)] if told else []
    for each in _objects(given.get("parts"), "functionResponse.parts"):
        if isinstance(data := either(each, "inlineData"), dict):
            says.add(Feature.TOOL_IMAGES)
            parts.append(_inline(data, says))
    return ToolResult(call_id, name, tuple(parts), is_error)


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    return fields.objects({name: value}, name)


def _told(response: Any) -> str:
    """What a function gave: by custom a text under `output`, `result` or `error`."""
    if isinstance(response, dict) and len(response) == 1:
        ((name, value),) = response.items()
        if name in ("output", "result", "error") and isinstance(value, str):
            return value
    return written(response)


def _tools(read: dict[str, Any], says: set[Feature]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for tool in fields.objects(read, "tools"):
        for name, value in tool.items():
            if name not in ("functionDeclarations", "function_declarations"):
                says.add(Feature.HOSTED)
                continue
            for declared in _objects(value, name):
                says.add(Feature.TOOLS)
                schema = either(declared, "parametersJsonSchema") or _plain_schema(declared.get("parameters"))
                described = fields.text(declared, "description")
                found.append(
                    Tool(fields.text(declared, "name"), described, schema if isinstance(schema, dict) else None)
                )
    return tuple(found)


def _plain_schema(schema: Any) -> Any:
    """Google's schema as JSON Schema, which writes its types in small letters and has no `nullable`."""
    if isinstance(schema, list):
        return [_plain_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            out[name] = value.lower()
        elif name == "properties" and isinstance(value, dict):
            out[name] = {key: _plain_schema(each) for key, each in value.items()}
        elif name in ("items", "anyOf", "any_of"):
            out["anyOf" if name == "any_of" else name] = _plain_schema(value)
        elif name not in ("nullable", "propertyOrdering", "property_ordering"):
            out[name] = value
    if schema.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


def _choice(read: dict[str, Any], says: set[Feature]) -> tuple[str, str]:
    config = either(read, "toolConfig")
    calling = either(config, "functionCallingConfig") if isinstance(config, dict) else None
    if not isinstance(calling, dict):
        return "auto", ""
    how = _MODES.get(str(calling.get("mode", "AUTO")).upper())
    names = fields.texts(calling, "allowedFunctionNames") or fields.texts(calling, "allowed_function_names")
    if how is None or len(names) > 1:
        raise fields.invalid("toolConfig.functionCallingConfig", "AUTO, NONE, or ANY with one name at most")
    if how != "auto":
        says.add(Feature.NO_TOOL if how == "none" else Feature.TOOL_CHOICE)
    return ("one", names[0]) if how == "required" and names else (how, "")


def _form(settings: dict[str, Any], says: set[Feature]) -> Form | None:
    if settings.get("responseMimeType") != "application/json":
        return None
    schema = settings.get("responseJsonSchema") or _plain_schema(settings.get("responseSchema"))
    says.add(Feature.JSON_SCHEMA if isinstance(schema, dict) else Feature.JSON)
    return Form("answer", schema) if isinstance(schema, dict) else Form()


def _effort(settings: dict[str, Any], says: set[Feature]) -> str:
    config = _plainly(settings, "thinkingConfig")
    level, budget = fields.text(config, "thinkingLevel").lower(), fields.number(config, "thinkingBudget")
    if level in EFFORTS:
        said = level
    elif budget is None:
        return ""
    else:
        # Less than none is as much as the model likes.
        within = (effort for effort, tokens in BUDGETS.items() if 0 < budget <= tokens)
        said = "none" if budget == 0 else next(within, "high")
    says.add(Feature.EFFORT)
    return said


# out


def write_request(conversation: Conversation, *, ids: bool = True) -> bytes:
    """The body; the model and whether it is a stream stand in the path. Vertex takes no `ids` of calls."""
    running = _running(conversation.turns)
    contents = [
        _content(turn.role, turn.parts, ids=ids, running=number >= running)
        for number, turn in enumerate(conversation.turns)
    ]
    body: dict[str, Any] = {"contents": [content for content in contents if content["parts"]]}
    if conversation.system:
        body["systemInstruction"] = {"parts": [{"text": text.text} for text in conversation.system]}
    if conversation.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in conversation.tools]}]
        if conversation.choice != "auto":
            calling: dict[str, Any] = {"mode": "NONE" if conversation.choice == "none" else "ANY"}
            if conversation.chosen:
                calling["allowedFunctionNames"] = [conversation.chosen]
            body["toolConfig"] = {"functionCallingConfig": calling}
    if settings := _settings(conversation):
        body["generationConfig"] = settings
    return msgspec.json.encode(body)


def _settings(conversation: Conversation) -> dict[str, Any]:
    settings: dict[str, Any] = {
        name: value
        for name, value in (
            ("maxOutputTokens", conversation.most),
            ("temperature", conversation.temperature),
            ("topP", conversation.top_p),
            ("topK", conversation.top_k),
            ("seed", conversation.seed),
            ("frequencyPenalty", conversation.frequency_penalty),
            ("presencePenalty", conversation.presence_penalty),
        )
        if value is not None
    }
    if conversation.stop:
        settings["stopSequences"] = list(conversation.stop)
    if conversation.form is not None:
        settings["responseMimeType"] = "application/json"
        if conversation.form.schema is not None:
            settings["responseJsonSchema"] = conversation.form.schema
    if conversation.effort:
        # More than this is refused by some of its models.
        budget = min(BUDGETS.get(conversation.effort, 0), 24_576)
        if conversation.most is not None:
            budget = min(budget, conversation.most // 2)
        settings["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": budget > 0}
    return settings


def _running(turns: tuple[Turn, ...]) -> int:
    """Where the running turn begins: behind the last thing that the user himself said."""
    for number in range(len(turns) - 1, -1, -1):
        if turns[number].role is Role.USER and not any(isinstance(part, ToolResult) for part in turns[number].parts):
            return number
    return 0


def _content(role: Role, parts: tuple[Part, ...], *, ids: bool, running: bool) -> dict[str, Any]:
    said = [out for part in parts for out in _out(part, ids=ids)]
    if running and role is Role.ASSISTANT:
        # Newer models want the first call of each step of the running turn signed. Where the signature is lost, or the call
        # was another model's, Google has a word for that (ai.google.dev/gemini-api/docs/thought-signatures).
        first = next((each for each in said if "functionCall" in each), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = UNSIGNED
    return {"role": "model" if role is Role.ASSISTANT else "user", "parts": said}


def _out(part: Part, *, ids: bool) -> list[dict[str, Any]]:
    match part:
        case Text(text=text):
            return [{"text": text}]
        case Image(media_type=media_type, data=data) | File(media_type=media_type, data=data) if (
            media_type != "text/plain"
        ):
            return [{"inlineData": {"mimeType": media_type, "data": data}}]
        case File(data=data):
            return [{"text": data}]
        case Thinking(text=text, proof=proof, origin=origin):
            # Its own thoughts are signed at the call, so those of a turn without calls need not come back.
            own = origin is WireName.GEMINI and proof
            return [{"text": text, "thought": True, "thoughtSignature": proof}] if own else []
        case ToolUse(id=call_id, name=name, arguments=arguments, proof=proof, origin=origin):
            named = {"id": call_id, "name": name} if ids else {"name": name}
            call: dict[str, Any] = {"functionCall": {**named, "args": object_of(arguments)}}
            return [{**call, "thoughtSignature": proof} if proof and origin is WireName.GEMINI else call]
        case ToolResult():
            return _given(part, ids=ids)
    return []


def _given(result: ToolResult, *, ids: bool) -> list[dict[str, Any]]:
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    response = {"error" if result.is_error else "output": text}
    named = {"id": result.id, "name": result.name or result.id} if ids else {"name": result.name or result.id}
    given = {"functionResponse": {**named, "response": response}}
    return [given, *(out for part in result.parts if not isinstance(part, Text) for out in _out(part, ids=ids))]


def _tool(tool: Tool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.schema is not None:
        described["parametersJsonSchema"] = tool.schema
    return described
