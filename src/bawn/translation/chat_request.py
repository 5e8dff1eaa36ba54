"""Requests of chat completions, to and from a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.translation.data_url import data_url, media_of
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
    Tool,
    ToolResult,
    ToolUse,
    document,
    fitting_id,
    free_arguments,
    merged,
    short,
)  # fmt: skip
from bawn.wire import fields
from bawn.wire.holding import Unsound
from bawn.wire.openai_calls import Piece, pieces

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_AS_THEY_ARE = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_FEATURES = {
    "temperature": Feature.TEMPERATURE, "top_p": Feature.TOP_P, "seed": Feature.SEED,
    "frequency_penalty": Feature.PENALTIES, "presence_penalty": Feature.PENALTIES,
    "logit_bias": Feature.LOGIT_BIAS, "logprobs": Feature.LOGPROBS, "top_logprobs": Feature.LOGPROBS,
    "audio": Feature.SOUND, "metadata": Feature.HINTS, "service_tier": Feature.HINTS, "prediction": Feature.HINTS,
    "safety_identifier": Feature.HINTS, "prompt_cache_retention": Feature.HINTS, "prompt_cache_options": Feature.HINTS,
    "verbosity": Feature.VERBOSITY, "prompt_cache_key": Feature.CACHE_KEY, "user": Feature.USER,
    "top_k": Feature.TOP_K, "min_p": Feature.HINTS, "repetition_penalty": Feature.PENALTIES,
}  # fmt: skip
"""Fields that use a feature by being there."""
_CALLED_PICTURE = "What the tool {name} gave:"
FAILED = "[the tool failed]"
"""Stands before a result where a wire has no field that says so."""
_MOST_STOPS = 4
_SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_request(read: dict[str, Any]) -> Conversation:
    """The conversation of a request. Fault `request.invalid` with the field that does not fit."""
    says = {
        feature for name, feature in _FEATURES.items() if read.get(name) is not None and read.get(name) is not False
    }
    if (fields.count(read, "n") or 1) > 1:
        says.add(Feature.CHOICES)
    if "audio" in fields.texts(read, "modalities"):
        says.add(Feature.SOUND)
    system, turns = _messages(read, says)
    choice, chosen = _choice(read, says)
    most = fields.count(read, "max_completion_tokens")
    most = fields.count(read, "max_tokens") if most is None else most
    if most is not None:
        says.add(Feature.MAX_TOKENS)
    effort = _effort(read)
    if effort:
        says.add(Feature.EFFORT)
    stop = fields.texts(read, "stop")
    if stop:
        says.add(Feature.STOP)
    parallel = read.get("parallel_tool_calls") is not False
    if not parallel:
        says.add(Feature.ONE_BY_ONE)
    options = read.get("stream_options")
    tools, form = _tools(read, says), _form(read, says)
    return Conversation(
        says=frozenset(says),
        system=tuple(system),
        turns=merged(turns),
        tools=tools,
        choice=choice,
        chosen=chosen,
        parallel=parallel,
        most=most,
        stop=stop,
        form=form,
        effort=effort,
        verbosity=fields.text(read, "verbosity"),
        user=fields.text(read, "user"),
        cache_key=fields.text(read, "prompt_cache_key"),
        stream=fields.switch(read, "stream"),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        seed=_seed(read),
        temperature=fields.number(read, "temperature"),
        top_p=fields.number(read, "top_p"),
        frequency_penalty=fields.number(read, "frequency_penalty"),
        presence_penalty=fields.number(read, "presence_penalty"),
    )


def _seed(read: dict[str, Any]) -> int | None:
    seed = fields.number(read, "seed")
    if isinstance(seed, float):
        raise fields.invalid("seed", "a whole number")
    return seed


def _messages(read: dict[str, Any], says: set[Feature]) -> tuple[list[Text], list[tuple[Role, list[Part]]]]:
    system: list[Text] = []
    turns: list[tuple[Role, list[Part]]] = []
    names: dict[str, str] = {}
    for index, message in enumerate(fields.objects(read, "messages", needed=True)):
        place = f"messages[{index}]"
        role, content = message.get("role"), message.get("content")
        if role in ("system", "developer"):
            says.add(Feature.LATER_SYSTEM if turns else Feature.SYSTEM)
            system += [part for part in _parts(content, place, says) if isinstance(part, Text)]
        elif role == "user":
            turns.append((Role.USER, _parts(content, place, says)))
        elif role == "assistant":
            parts = _parts(content, place, says) if content is not None else []
            for piece in _called(message, place):
                call_id = piece.id or f"call_{piece.name}"
                names[call_id] = piece.name
                parts.append(ToolUse(fitting_id(call_id), piece.name, _arguments(message, piece)))
                says.add(Feature.TOOLS)
            turns.append((Role.ASSISTANT, parts))
        elif role in ("tool", "function"):
            call_id = fields.text(message, "tool_call_id") or f"call_{fields.text(message, 'name')}"
            given = tuple(part for part in _parts(content, place, says) if isinstance(part, Text | Image | File))
            turns.append((Role.USER, [ToolResult(fitting_id(call_id), names.get(call_id, ""), given)]))
            says.add(Feature.TOOLS)
        else:
            raise fields.invalid(f"{place}.role", "a role of chat completions")
    return system, turns


def _called(message: dict[str, Any], place: str) -> list[Piece]:
    try:
        return pieces(message)
    except Unsound:
        raise fields.invalid(f"{place}.tool_calls", "a list of calls") from None


def _arguments(message: dict[str, Any], piece: Piece) -> str:
    """The arguments of an earlier call, such that they are an object also where the tool took a text."""
    calls = message.get("tool_calls") or ()
    free = 0 <= piece.index < len(calls) and calls[piece.index].get("custom") is not None
    return free_arguments(piece.arguments) if free else piece.arguments or "{}"


def _parts(content: Any, place: str, says: set[Feature]) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is None:
        return []
    if not isinstance(content, list):
        raise fields.invalid(f"{place}.content", "a text or a list")
    found: list[Part] = []
    for index, part in enumerate(content):
        at = f"{place}.content[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            if text := fields.text(part, kind):
                found.append(Text(text))
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            found.append(image_of(fields.text(part["image_url"], "url"), f"{at}.image_url.url", says))
        elif kind == "file" and isinstance(part.get("file"), dict):
            found.append(file_of(part["file"], f"{at}.file", says))
        elif kind == "input_audio" and isinstance(part.get("input_audio"), dict):
            sound = part["input_audio"]
            says.add(Feature.AUDIO)
            media_type = _SOUNDS.get(fields.text(sound, "format"), "audio/wav")
            found.append(File(media_type, fields.text(sound, "data")))
        else:
            raise fields.invalid(at, "a part of a type that can be translated")
    return found


def image_of(url: str, place: str, says: set[Feature]) -> Image:
    """A picture of OpenAI's formats, in its address or at it."""
    if not url.startswith("data:"):
        says.add(Feature.IMAGE_URL)
        return Image("", "", url)
    says.add(Feature.IMAGE)
    return Image(*media_of(url, place))


def file_of(described: dict[str, Any], place: str, says: set[Feature]) -> File:
    """A file of OpenAI's formats."""
    if described.get("file_id"):
        says.add(Feature.KEPT)
        return File("", "")
    name = fields.text(described, "filename")
    if url := fields.text(described, "file_url"):
        says.add(Feature.FILE_URL)
        return File("", "", name, url)
    says.add(Feature.FILE)
    return read_document(*media_of(fields.text(described, "file_data"), f"{place}.file_data"), name, place)


def read_document(media_type: str, data: str, name: str, place: str, *, mark: bool = False) -> File:
    """A document, or Fault `request.invalid` when it is not what its type says."""
    try:
        return document(media_type, data, name, mark=mark)
    except ValueError:
        raise fields.invalid(place, "a document; plain text has to be UTF-8") from None


def _tools(read: dict[str, Any], says: set[Feature]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    offered = [*fields.objects(read, "tools")]
    offered += [{"type": "function", "function": each} for each in fields.objects(read, "functions")]
    for index, tool in enumerate(offered):
        kind = tool.get("type")
        described = tool.get(kind) if isinstance(kind, str) else None
        if not isinstance(described, dict) or kind not in ("function", "custom"):
            says.add(Feature.HOSTED)
            continue
        says.add(Feature.TOOLS)
        name = fields.text(described, "name")
        if kind == "custom":
            says.add(Feature.FREE_TOOLS)
            found.append(Tool(name, described_text(described), FREE_SCHEMA, free=True))
            continue
        schema, strict = described.get("parameters"), described.get("strict")
        if schema is not None and not isinstance(schema, dict):
            raise fields.invalid(f"tools[{index}].function.parameters", "an object")
        if strict is not None:
            says.add(Feature.STRICT_TOOLS)
        found.append(Tool(name, fields.text(described, "description"), schema, strict if strict is True else None))
    return tuple(found)


def described_text(described: dict[str, Any]) -> str:
    """The description of a tool that takes a text, with the grammar of that text, if it has one."""
    said, form = fields.text(described, "description"), described.get("format")
    grammar = form.get("grammar", form) if isinstance(form, dict) else None
    if isinstance(grammar, dict) and isinstance(grammar.get("definition"), str):
        said = f"{said}\n\nThe input follows this grammar ({grammar.get('syntax', 'lark')}):\n{grammar['definition']}"
    return said


def _choice(read: dict[str, Any], says: set[Feature]) -> tuple[str, str]:
    choice = read.get("tool_choice", read.get("function_call"))
    if choice in (None, "auto"):
        return "auto", ""
    if choice in ("none", "required"):
        says.add(Feature.NO_TOOL if choice == "none" else Feature.TOOL_CHOICE)
        return choice, ""
    says.add(Feature.TOOL_CHOICE)
    named = choice.get("function", choice.get("custom", choice)) if isinstance(choice, dict) else None
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        raise fields.invalid("tool_choice", "auto, none, required, or a function by its name")
    return "one", named["name"]


def _effort(read: dict[str, Any]) -> str:
    said = read.get("reasoning_effort")
    if said is None and isinstance(read.get("reasoning"), dict):
        said = read["reasoning"].get("effort")
    if said is None:
        return ""
    if said not in EFFORTS:
        raise fields.invalid("reasoning_effort", ", ".join(EFFORTS))
    return str(said)


def _form(read: dict[str, Any], says: set[Feature]) -> Form | None:
    asked = read.get("response_format")
    if asked is None:
        return None
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        says.add(Feature.JSON)
        return Form()
    described = asked.get("json_schema") if kind == "json_schema" else None
    return form_of(described, "response_format.json_schema", says)


def form_of(described: Any, place: str, says: set[Feature]) -> Form:
    """A form by its schema."""
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise fields.invalid(place, "an object with a schema")
    says.add(Feature.JSON_SCHEMA)
    name = fields.text(described, "name", "answer")
    return Form(name, described["schema"], described.get("strict"), fields.text(described, "description"))


# out


def write_request(conversation: Conversation, model: str, *, older: bool) -> bytes:
    """The body. `older` servers of this wire know `max_tokens` only, which OpenAI no longer takes for all models."""
    if len(conversation.stop) > _MOST_STOPS:
        raise Fault("request.not_translatable", "The provider of this model takes four stop sequences at most.")
    body: dict[str, Any] = {"model": model, "messages": _written(conversation)}
    given: dict[str, Any] = {name: getattr(conversation, name) for name in _AS_THEY_ARE}
    given["seed"] = conversation.seed
    given["max_tokens" if older else "max_completion_tokens"] = conversation.most
    given["stop"] = list(conversation.stop) or None
    given["response_format"] = _form_written(conversation.form) if conversation.form is not None else None
    given["verbosity"] = conversation.verbosity or None
    given["user"] = short(conversation.user) or None
    given["prompt_cache_key"] = short(conversation.cache_key) or None
    if not (older and conversation.effort == "none"):
        given["reasoning_effort"] = openai_effort(conversation.effort) or None
    body |= {name: value for name, value in given.items() if value is not None}
    if conversation.tools:
        body |= _offered(conversation)
    if conversation.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def openai_effort(effort: str) -> str:
    """The highest that OpenAI has a word for is not known to all of its models."""
    return "high" if effort == "max" else effort


def _offered(conversation: Conversation) -> dict[str, Any]:
    offered: dict[str, Any] = {"tools": [_tool(tool) for tool in conversation.tools]}
    if not conversation.parallel:
        offered["parallel_tool_calls"] = False
    if conversation.choice == "one":
        offered["tool_choice"] = {"type": "function", "function": {"name": conversation.chosen}}
    elif conversation.choice != "auto":
        offered["tool_choice"] = conversation.choice
    return offered


def _written(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": "\n\n".join(text.text for text in conversation.system)})
    for turn in conversation.turns:
        if turn.role is Role.ASSISTANT:
            messages.append(_assistant(turn.parts))
            continue
        pictures: list[dict[str, Any]] = []
        messages += [_result(part, pictures) for part in turn.parts if isinstance(part, ToolResult)]
        said = [*pictures, *(_part(part) for part in turn.parts if isinstance(part, Text | Image | File))]
        if said:
            plain = len(said) == 1 and said[0]["type"] == "text"
            messages.append({"role": "user", "content": said[0]["text"] if plain else said})
    return messages


def _assistant(parts: tuple[Part, ...]) -> dict[str, Any]:
    text = "".join(part.text for part in parts if isinstance(part, Text))
    calls = [call_written(part) for part in parts if isinstance(part, ToolUse)]
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    elif not text:
        message["content"] = ""
    return message


def call_written(use: ToolUse) -> dict[str, Any]:
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}


def _result(result: ToolResult, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """A result as the text that it can only be here; pictures follow as the user's, under a line that says whose."""
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    if result.is_error:
        text = f"{FAILED}\n{text}"
    shown = [_part(part) for part in result.parts if not isinstance(part, Text)]
    if shown:
        pictures += [{"type": "text", "text": _CALLED_PICTURE.format(name=result.name or result.id)}, *shown]
        text = text or "(see below)"
    return {"role": "tool", "tool_call_id": result.id, "content": text}


def _part(part: Text | Image | File) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image(media_type=media_type, data=data, url=url):
            return {"type": "image_url", "image_url": {"url": url or data_url(media_type, data)}}
        case File(media_type=media_type, data=data, name=name) if media_type.startswith("audio/"):
            sound = "mp3" if media_type in ("audio/mpeg", "audio/mp3") else "wav"
            return {"type": "input_audio", "input_audio": {"data": data, "format": sound}}
        case File(media_type="text/plain", data=data):
            return {"type": "text", "text": data}
        case File(media_type=media_type, data=data, name=name):
            return {"type": "file", "file": {"filename": name or "file", "file_data": data_url(media_type, data)}}


def _tool(tool: Tool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tool.name}
    if tool.description:
        described["description"] = tool.description
    described["parameters"] = tool.schema if tool.schema is not None else NO_ARGUMENTS
    if tool.strict is not None:
        described["strict"] = tool.strict
    return {"type": "function", "function": described}


def _form_written(form: Form) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    described: dict[str, Any] = {"name": form.name or "answer", "schema": form.schema}
    if form.strict is not None:
        described["strict"] = form.strict
    if form.description:
        described["description"] = form.description
    return {"type": "json_schema", "json_schema": described}
