"""Requests for responses as documents. Each item of the input is a message; reasoning is one without texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.document import OfferedTool, Said
from bawn.wire.editable import Editable, Heard, Place, as_text, role_of, texts_of
from bawn.wire.holding import Unsound
from bawn.wire.openai_document import drop_tool
from bawn.wire.responses_calls import CALLS, tool_call

_NEVER = ("reasoning", "compaction", "item_reference")
"""Items that are signed, sealed or only named."""
_PRINTED = ("stdout", "stderr")


class ResponsesDocument(Editable):
    LISTED = "input"

    def _listed(self, read: dict[str, Any]) -> list[dict[str, Any]]:
        said = read.get("input")
        if isinstance(said, list):
            return said
        # A text alone is what a message of the user is short for.
        return [{"role": "user", "content": said}] if isinstance(said, str) else []

    def _beside(self, read: dict[str, Any]) -> Iterator[tuple[str, Place]]:
        if isinstance(read.get("instructions"), str):
            yield "instructions", Place(read, "instructions", Said.SYSTEM)

    def _hear(self, item: dict[str, Any]) -> Heard:
        kind = item.get("type", "message")
        if kind in _NEVER:
            return Heard(Said.ASSISTANT, [])
        if kind == "message":
            said = role_of(item)
            return Heard(said, texts_of(item, "content", said))
        if kind in CALLS:
            return Heard(Said.ASSISTANT, [], _calls(item))
        if kind == "mcp_call":
            # The provider has run it: call and result are one item.
            places = texts_of(item, "output", Said.TOOL, as_text(item.get("id")))
            call = ToolCall(as_text(item.get("id")), as_text(item.get("name")), as_text(item.get("arguments")))
            return Heard(Said.ASSISTANT, places, [call], [call.id])
        if str(kind).endswith("_output"):
            call_id = as_text(item.get("call_id"))
            return Heard(Said.TOOL, _results(item, call_id), answers=(call_id,))
        if kind == "mcp_approval_response":
            return Heard(Said.TOOL, [], answers=(as_text(item.get("approval_request_id")),))
        return Heard(Said.ASSISTANT, [])

    def _offered(self, read: dict[str, Any]) -> Iterator[OfferedTool]:
        pending = [read.get("tools")]
        while pending:
            tools = pending.pop()
            for tool in tools if isinstance(tools, list) else ():
                if not isinstance(tool, dict):
                    continue
                if tool.get("type") == "namespace":
                    pending.append(tool.get("tools"))
                elif tool.get("type") in ("function", "custom") and isinstance(tool.get("name"), str):
                    schema = tool.get("parameters")
                    yield OfferedTool(
                        tool["name"], as_text(tool.get("description")), schema if isinstance(schema, dict) else None
                    )

    def without_tool(self, name: str) -> None:
        tools = self._read.get("tools")
        if not isinstance(tools, list):
            return
        left = _without(tools, name)
        if left != tools:
            self._fields |= {"tools", "tool_choice", "parallel_tool_calls"}
            drop_tool(self._read, "tools", left, "tool_choice", name)

    def add_system(self, text: str, *, first: bool = False) -> None:
        there = self._read.get("instructions")
        if isinstance(there, str) and there:
            text = f"{text}\n\n{there}" if first else f"{there}\n\n{text}"
        self._read["instructions"] = text
        self._touch("instructions")

    def _said_by(self, said: Said, text: str) -> dict[str, Any]:
        return {"role": said.value, "content": text}

    def _insert(self, at: int, item: dict[str, Any]) -> None:
        if self._read.get("input") is not self._items:
            self._read["input"] = self._items
        super()._insert(at, item)

    def _room(self, at: int) -> int:
        # What was reasoned stands right before what came of it.
        while 0 < at < len(self._items) and self._items[at - 1].get("type") == "reasoning":
            at -= 1
        return super()._room(at)

    def _touch(self, within: dict[str, Any] | str) -> None:
        if self._items and within is self._items[0] and isinstance(self._read.get("input"), str):
            self._read["input"] = self._items[0]["content"]
            within = "input"
        super()._touch(within)


def _calls(item: dict[str, Any]) -> list[ToolCall]:
    try:
        return [tool_call(item)]
    except Unsound:
        return []


def _results(item: dict[str, Any], call: str) -> list[Place]:
    output = item.get("output")
    places = texts_of(item, "output", Said.TOOL, call)
    for part in output if isinstance(output, list) else ():
        if isinstance(part, dict):
            # What a shell has printed, one command after another.
            places += [Place(part, name, Said.TOOL, call) for name in _PRINTED if isinstance(part.get(name), str)]
    return places


def _without(tools: list[Any], name: str) -> list[Any]:
    left: list[Any] = []
    for tool in tools:
        if isinstance(tool, dict) and tool.get("type") == "namespace" and isinstance(tool.get("tools"), list):
            inner = _without(tool["tools"], name)
            if inner:
                left.append(tool if inner == tool["tools"] else {**tool, "tools": inner})
        elif not isinstance(tool, dict) or tool.get("name", tool.get("type")) != name:
            left.append(tool)
    return left
