"""Requests for chat completions as documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.document import OfferedTool, Said
from bawn.wire.editable import Editable, Heard, Place, as_text, role_of, texts_of


class ChatDocument(Editable):
    LISTED = "messages"

    def _beside(self, read: dict[str, Any]) -> Iterator[tuple[str, Place]]:
        prediction = read.get("prediction")
        if isinstance(prediction, dict):
            for place in texts_of(prediction, "content", Said.USER, attached=True):
                yield "prediction", place

    def _hear(self, item: dict[str, Any]) -> Heard:
        said = role_of(item)
        if said is Said.TOOL:
            call = item.get("tool_call_id") or item.get("name") or ""
            return Heard(said, texts_of(item, "content", said, str(call)), answers=(str(call),))
        places = texts_of(item, "content", said)
        if isinstance(item.get("refusal"), str):
            places.append(Place(item, "refusal", said))
        return Heard(said, places, [*_calls(item)] if "tool_calls" in item or "function_call" in item else ())

    def _offered(self, read: dict[str, Any]) -> Iterator[OfferedTool]:
        for tool in (*_listed(read, "tools"), *_listed(read, "functions")):
            described = _described(tool)
            if isinstance(described.get("name"), str):
                schema = described.get("parameters")
                yield OfferedTool(
                    described["name"],
                    as_text(described.get("description")),
                    schema if isinstance(schema, dict) else None,
                )

    def without_tool(self, name: str) -> None:
        for field, choice in (("tools", "tool_choice"), ("functions", "function_call")):
            tools = _listed(self._read, field)
            left = [tool for tool in tools if _described(tool).get("name") != name]
            if len(left) != len(tools):
                self._fields |= {field, choice, "parallel_tool_calls"}
                drop_tool(self._read, field, left, choice, name)

    def add_system(self, text: str, *, first: bool = False) -> None:
        leading = 0
        heard = [message.said for message in self.messages]
        while leading < len(heard) and heard[leading] is Said.SYSTEM:
            leading += 1
        role = self._items[0]["role"] if leading else "system"
        self._insert(0 if first else leading, {"role": role, "content": text})

    def _said_by(self, said: Said, text: str) -> dict[str, Any]:
        return {"role": said.value, "content": text}


def drop_tool(read: dict[str, Any], field: str, left: list[Any], choice: str, name: str) -> None:
    """The tools without one of them; nor is it what has to be called, or all that may be."""
    if left:
        read[field] = left
    else:
        for each in (field, choice, "parallel_tool_calls"):
            read.pop(each, None)
    chosen = read.get(choice)
    if not isinstance(chosen, dict):
        return
    if _named(chosen) == name:
        del read[choice]
        return
    # The tools that may be chosen among stand in the choice itself (responses), or one level below (chat completions).
    inner = chosen.get("allowed_tools")
    listing = inner if isinstance(inner, dict) else chosen
    allowed = listing.get("tools")
    if isinstance(allowed, list):
        listing["tools"] = [tool for tool in allowed if not isinstance(tool, dict) or _named(tool) != name]
        if not listing["tools"]:
            del read[choice]


def _named(tool: dict[str, Any]) -> Any:
    return _described(tool).get("name")


def _described(tool: dict[str, Any]) -> dict[str, Any]:
    """What is said of a tool: in it, or below the name of its kind."""
    inner = tool.get("function", tool.get("custom"))
    return inner if isinstance(inner, dict) else tool


def _listed(read: dict[str, Any], field: str) -> list[dict[str, Any]]:
    tools = read.get(field)
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _calls(item: dict[str, Any]) -> Iterator[ToolCall]:
    legacy = item.get("function_call")
    if isinstance(legacy, dict):
        yield ToolCall("", as_text(legacy.get("name")), as_text(legacy.get("arguments")))
    for call in _listed(item, "tool_calls"):
        described = _described(call)
        arguments = described.get("arguments", described.get("input"))
        yield ToolCall(as_text(call.get("id")), as_text(described.get("name")), as_text(arguments))
