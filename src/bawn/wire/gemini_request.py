"""What is found in a request to Gemini (ai.google.dev/api/generate-content, …/tokens, …/embeddings).

Google takes each field under two names, `systemInstruction` and `system_instruction`. Both are read here, and a body that
gives one field under two is refused: which of them counts, only the provider knows. What a model wrote as arguments, what
a function answered and what describes its data may hold any names, and is looked at for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, Fetch, HostedTool, WireName
from bawn.wire import fields
from bawn.wire.endpoints import Route
from bawn.wire.gemini_calls import folded
from bawn.wire.json_text import read_object
from bawn.wire.just_read import leave
from bawn.wire.ways_out import Found, sweep, switched_on, too_deep, unknown_fields

HOSTED_TOOLS = frozenset((
    "googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "googleMaps", "fileSearch", "computerUse",
    "mcpServers", "enterpriseWebSearch", "retrieval", "parallelAiSearch", "exaAiSearch",
))  # fmt: skip
"""Fields of a tool that the provider runs, each allowed by its name."""
HOSTED_FIELDS = {"store": "keeps what was asked at the provider"}

_PIECES = ("streamFunctionCallArguments", "includeServerSideToolInvocations")
"""What `toolConfig` can ask for, and what an answer could then not be judged by."""
_FREE = frozenset(map(folded, (
    "args", "response", "labels", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema",
)))  # fmt: skip
"""Fields whose names are data."""
_WRITTEN = {"functioncall": "args", "functionresponse": "response", "executablecode": "code"}
"""By kind of part, what a model, a function or a program wrote in it."""
_FILE = re.compile(r"(?:https://generativelanguage\.googleapis\.com/v1[a-z]*/)?(files/[A-Za-z0-9_-]{1,64})")


def _both(*names: str) -> frozenset[str]:
    return frozenset(names) | {_snake(name) for name in names}


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name)


GENERATE_FIELDS = _both(
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent", "labels",
    "serviceTier", "model",
)  # fmt: skip
COUNT_FIELDS = _both("contents", "generateContentRequest", "model")
EMBED_FIELDS = _both("content", "taskType", "title", "outputDimensionality", "model", "autoTruncate")
EMBED_ALL_FIELDS = _both("requests", "model")


def either(body: dict[str, Any], name: str) -> Any:
    """A field under either of its names; only for bodies that give it under one."""
    return body.get(name, body.get(_snake(name)))


def read_request(route: Route, body: bytes) -> Exchange:
    """The fields that are decided on. Faults `request.malformed_json` and `request.invalid`."""
    read = read_object(body)
    if too_deep(read, body):
        raise Fault("request.malformed_json", "The body is nested too deep.")
    _one_name_each(read)
    reading = _Reading(route.model)
    match route.endpoint:
        case Endpoint.GEMINI_COUNT:
            reading.counted(read)
        case Endpoint.GEMINI_EMBED:
            reading.embedded(read, "")
        case Endpoint.GEMINI_EMBED_ALL:
            reading.all_embedded(read)
        case _:
            reading.generated(read, "")
    fetches, resources = _own_files(reading.found)
    leave(body, read)
    return Exchange(
        wire=WireName.GEMINI,
        endpoint=route.endpoint,
        model=route.model,
        stream=route.stream,
        body=body,
        tools=tuple(reading.inside),
        hosted_tools=tuple(map(HostedTool, reading.hosted)),
        unknown_tools=tuple(reading.unknown),
        fetches=fetches,
        resources=resources,
        max_output_tokens=reading.most,
    )


class _Reading:
    """One request while it is looked through."""

    __slots__ = ("_model", "found", "hosted", "inside", "most", "unknown")

    def __init__(self, model: str) -> None:
        self._model = model
        self.found = Found()
        self.inside: list[str] = []
        self.hosted: list[str] = []
        self.unknown: list[str] = []
        self.most: int | None = None

    def generated(self, read: dict[str, Any], place: str) -> None:
        self._same_model(read)
        fields.objects(read, "contents", needed=True)
        self._said(read["contents"], f"{place}contents")
        instruction = either(read, "systemInstruction")
        if instruction is not None:
            self._said([instruction], f"{place}systemInstruction")
        config = _object(read, "generationConfig")
        self.most = fields.count(config, "maxOutputTokens" if "maxOutputTokens" in config else "max_output_tokens")
        sweep(_without_free(config), f"{place}generationConfig", self.found)
        self._tool_config(_object(read, "toolConfig"), f"{place}toolConfig")
        cached = either(read, "cachedContent")
        if cached is not None:
            if not isinstance(cached, str):
                raise fields.invalid("cachedContent", "a text")
            self.found.resources.append(cached)
        self._tools(read, place)
        self.hosted += switched_on(read, HOSTED_FIELDS)
        self.unknown += unknown_fields(read, GENERATE_FIELDS, HOSTED_FIELDS)

    def counted(self, read: dict[str, Any]) -> None:
        self._same_model(read)
        self.unknown += unknown_fields(read, COUNT_FIELDS, {})
        request = either(read, "generateContentRequest")
        if request is None:
            fields.objects(read, "contents", needed=True)
        elif not isinstance(request, dict):
            raise fields.invalid("generateContentRequest", "an object")
        else:
            self.generated(request, "generateContentRequest.")
        if read.get("contents") is not None:
            self._said(fields.objects(read, "contents"), "contents")

    def embedded(self, read: dict[str, Any], place: str) -> None:
        self._same_model(read)
        if not isinstance(read.get("content"), dict):
            raise fields.invalid(f"{place}content", "an object")
        self._said([read["content"]], f"{place}content")
        self.unknown += unknown_fields(read, EMBED_FIELDS, {})

    def all_embedded(self, read: dict[str, Any]) -> None:
        self._same_model(read)
        for index, request in enumerate(fields.objects(read, "requests", needed=True)):
            self.embedded(request, f"requests[{index}].")
        self.unknown += unknown_fields(read, EMBED_ALL_FIELDS, {})

    def _same_model(self, read: dict[str, Any]) -> None:
        """A body may repeat the model of the path, and say no other."""
        named = fields.text(read, "model")
        if named and named.removeprefix("models/") != self._model:
            raise fields.invalid("model", "the model that the path names")

    def _said(self, contents: list[Any], place: str) -> None:
        sweep([_shown(content, place) for content in contents], place, self.found)

    def _tool_config(self, config: dict[str, Any], place: str) -> None:
        sweep(config, place, self.found)
        for name in _PIECES:
            if either(config, name) or either(_object(config, "functionCallingConfig"), name):
                raise Fault("request.invalid", f"The field {name!r} is not taken here.", remedy="Leave it out.")

    def _tools(self, read: dict[str, Any], place: str) -> None:
        offered = [(f"{place}tools[{index}]", tool) for index, tool in enumerate(fields.objects(read, "tools"))]
        for where, tool in (*offered, *self.found.tools):
            for name, value in tool.items():
                if value is None:
                    continue
                if folded(name) == "functiondeclarations":
                    self.inside += _declared(tool, name, where)
                    continue
                # Allowed or not, what a tool of the provider is pointed at has an owner and is fetched.
                sweep(value, f"{where}.{name}", self.found)
                known = _CAMEL.get(name)
                if known == "fileSearch" and isinstance(value, dict):
                    self.found.resources += _texts(either(value, "fileSearchStoreNames"))
                (self.unknown if known is None else self.hosted).append(known or name)


_CAMEL = {spelling: name for name in HOSTED_TOOLS for spelling in (name, _snake(name))}


def _declared(tool: dict[str, Any], name: str, where: str) -> Iterator[str]:
    for index, function in enumerate(fields.objects(tool, name)):
        if not isinstance(function.get("name"), str):
            raise fields.invalid(f"{where}.{name}[{index}].name", "a text")
        yield function["name"]


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise fields.invalid("fileSearchStoreNames", "a list of texts")
    return value


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = either(body, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise fields.invalid(name, "an object")
    return value


def _shown(content: Any, place: str) -> dict[str, Any]:
    """A content without what may hold anything."""
    if not isinstance(content, dict):
        raise fields.invalid(place, "an object with parts")
    parts = content.get("parts")
    if parts is None:
        return content
    listed = [parts] if isinstance(parts, dict) else parts
    if not isinstance(listed, list) or not all(isinstance(part, dict) for part in listed):
        raise fields.invalid(f"{place}.parts", "a list of objects")
    return {**content, "parts": [_shown_part(part) for part in listed]}


def _shown_part(part: dict[str, Any]) -> dict[str, Any]:
    for name, value in part.items():
        hidden = _WRITTEN.get(folded(name))
        if hidden is not None and isinstance(value, dict):
            part = {**part, name: {key: item for key, item in value.items() if key != hidden}}
    return part


def _without_free(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if folded(name) not in _FREE}


def _own_files(found: Found) -> tuple[tuple[Fetch, ...], tuple[str, ...]]:
    """Fetches and resources: the address of a file that the provider keeps is the name of an object, which has an owner."""
    fetches: list[Fetch] = []
    resources = list(found.resources)
    for fetch in found.fetches:
        kept = _FILE.fullmatch(fetch.url)
        if kept is not None and folded(fetch.field).endswith("filedata.fileuri"):
            resources.append(kept[1])
        else:
            fetches.append(fetch)
    return tuple(fetches), tuple(resources)


def _one_name_each(read: dict[str, Any]) -> None:
    pending: list[Any] = [read]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            if len({folded(name) for name in each}) != len(each):
                raise Fault("request.invalid", "The body gives one field in two spellings.")
            pending += [item for name, item in each.items() if folded(name) not in _FREE]
