"""Requests to Gemini as documents. Turns alternate; fields may be written in either of Google's two spellings.

What a function answered is an object. Where it is one text under one name, that is its text; else its text is the object
as JSON, and a text that is put there stands as its `output`, unless it is an object itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.document import OfferedTool, Said
from bawn.wire.editable import Editable, Heard, Place, as_text, role_of
from bawn.wire.gemini_calls import folded
from bawn.wire.json_text import NotPlain, read_plain


class _Signed(Place):
    """A text that may have a signature beside it, which holds for this text only."""

    __slots__ = ()

    def write(self, text: str) -> None:
        super().write(text)
        for name in [each for each in self.holder if folded(each) == "thoughtsignature"]:
            del self.holder[name]


class _Given(Place):
    """What a function answered."""

    __slots__ = ()

    def read(self) -> str:
        value = self.holder[self.key]
        name = _only_text(value)
        return str(value[name]) if name else as_text(value)

    def write(self, text: str) -> None:
        value = self.holder[self.key]
        name = _only_text(value)
        self.holder[self.key] = {name: text} if name else _object_of(text) or {"output": text}


def _only_text(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        (name, text), *_ = value.items()
        return str(name) if isinstance(text, str) else ""
    return ""


def _object_of(text: str) -> dict[str, Any] | None:
    try:
        value = read_plain(text.encode())
    except (NotPlain, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None


def _key(holder: dict[str, Any], name: str) -> str:
    """The name under which a field stands, in whatever spelling; as given when it does not."""
    wanted = folded(name)
    return next((each for each in holder if folded(each) == wanted), name)


def _under(holder: Any, name: str) -> Any:
    return holder.get(_key(holder, name)) if isinstance(holder, dict) else None


def _parts(content: Any) -> list[Any]:
    parts = _under(content, "parts")
    return [parts] if isinstance(parts, dict) else parts if isinstance(parts, list) else []


class GeminiDocument(Editable):
    LISTED = "contents"
    ALTERNATES = True

    def _beside(self, read: dict[str, Any]) -> Iterator[tuple[str, Place]]:
        field = _key(read, "systemInstruction")
        for part in _parts(read.get(field)):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield field, _Signed(part, "text", Said.SYSTEM)

    def _hear(self, item: dict[str, Any]) -> Heard:
        said = role_of(item)
        said = Said.USER if said is Said.TOOL else said
        places: list[Place] = []
        calls: list[ToolCall] = []
        answers: list[str] = []
        parts = [part for part in _parts(item) if isinstance(part, dict)]
        for part in parts:
            answer, call = _under(part, "functionResponse"), _under(part, "functionCall")
            if isinstance(answer, dict):
                named = as_text(answer.get("id") or answer.get("name"))
                answers.append(named)
                if "response" in answer:
                    places.append(_Given(answer, "response", Said.TOOL, named))
            elif isinstance(call, dict):
                arguments = as_text(call.get("args") or {})
                calls.append(ToolCall(as_text(call.get("id")), as_text(call.get("name")), arguments))
            elif isinstance(part.get("text"), str) and not part.get("thought"):
                places.append(_Signed(part, "text", said))
        if said is Said.USER and parts and len(answers) == len(parts):
            said = Said.TOOL
        return Heard(said, places, calls, answers)

    def _offered(self, read: dict[str, Any]) -> Iterator[OfferedTool]:
        for _, declared in _declarations(read):
            for function in declared:
                schema = _under(function, "parametersJsonSchema") or _under(function, "parameters")
                if isinstance(function, dict) and isinstance(function.get("name"), str):
                    yield OfferedTool(
                        function["name"],
                        as_text(function.get("description")),
                        schema if isinstance(schema, dict) else None,
                    )

    def without_tool(self, name: str) -> None:
        read = self._read
        gone = False
        for tool, declared in [*_declarations(read)]:
            left = [each for each in declared if not isinstance(each, dict) or each.get("name") != name]
            if len(left) != len(declared):
                gone = True
                tool[_key(tool, "functionDeclarations")] = left
                if not left:
                    del tool[_key(tool, "functionDeclarations")]
        if not gone:
            return
        config = _key(read, "toolConfig")
        self._fields |= {"tools", config}
        read["tools"] = [tool for tool in read["tools"] if tool]
        if not read["tools"]:
            del read["tools"]
            read.pop(config, None)
        _not_chosen(read.get(config), name)

    def add_system(self, text: str, *, first: bool = False) -> None:
        field = _key(self._read, "systemInstruction")
        instruction = self._read.get(field)
        if not isinstance(instruction, dict):
            instruction = self._read[field] = {}
        self._add_part(instruction, text, first=first)
        self._touch(field)

    def _said_by(self, said: Said, text: str) -> dict[str, Any]:
        return {"role": "model" if said is Said.ASSISTANT else "user", "parts": [{"text": text}]}

    def _join(self, item: dict[str, Any], text: str, *, first: bool) -> None:
        self._add_part(item, text, first=first)

    def _add_part(self, content: dict[str, Any], text: str, *, first: bool) -> None:
        parts = _parts(content)
        content[_key(content, "parts")] = parts
        at = len(parts)
        if first:
            # What functions answered is told first.
            at = next((index for index, part in enumerate(parts) if _under(part, "functionResponse") is None), at)
        parts.insert(at, {"text": text})

    def _name_model(self, read: dict[str, Any], model: str) -> None:
        # The path names it. A body may repeat it, and then says the same one.
        if read.get("model"):
            read["model"] = f"models/{model}"
            self._fields.add("model")


def _declarations(read: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    tools = read.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        declared = _under(tool, "functionDeclarations")
        if isinstance(declared, list):
            yield tool, declared


def _not_chosen(config: Any, name: str) -> None:
    calling = _under(config, "functionCallingConfig")
    allowed = _under(calling, "allowedFunctionNames")
    if isinstance(allowed, list) and name in allowed:
        left = [each for each in allowed if each != name]
        if left:
            calling[_key(calling, "allowedFunctionNames")] = left
        else:
            del config[_key(config, "functionCallingConfig")]
