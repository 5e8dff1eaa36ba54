"""Requests for messages as documents. Turns alternate; thinking is signed with its place, so it is left where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.anthropic_calls import is_tool_call, tool_name
from bawn.wire.document import OfferedTool, Said
from bawn.wire.editable import Editable, Heard, Place, as_text, role_of, texts_of
from bawn.wire.holding import Unsound

_THINKING = ("thinking", "redacted_thinking")
_RESULTS = ("tool_result", "mcp_tool_result")


class MessagesDocument(Editable):
    LISTED = "messages"
    ALTERNATES = True

    def _beside(self, read: dict[str, Any]) -> Iterator[tuple[str, Place]]:
        for place in texts_of(read, "system", Said.SYSTEM):
            yield "system", place

    def _hear(self, item: dict[str, Any]) -> Heard:
        said, content = role_of(item), item.get("content")
        if not isinstance(content, list):
            return Heard(said, texts_of(item, "content", said))
        places: list[Place] = []
        calls: list[ToolCall] = []
        answers: list[str] = []
        for index, block in enumerate(content):
            if isinstance(block, str):
                places.append(Place(content, index, said))
            elif isinstance(block, dict):
                kind = str(block.get("type"))
                if kind in _RESULTS or kind.endswith("_tool_result"):
                    answers.append(as_text(block.get("tool_use_id")))
                places += _texts(block, kind, said)
                if is_tool_call(block):
                    calls += _calls(block)
        if said is Said.USER and content and all(_is_result(block) for block in content):
            said = Said.TOOL
        return Heard(said, places, calls, answers)

    def _offered(self, read: dict[str, Any]) -> Iterator[OfferedTool]:
        tools = read.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str) and tool.get("type") in (None, "custom"):
                schema = tool.get("input_schema")
                yield OfferedTool(
                    tool["name"], as_text(tool.get("description")), schema if isinstance(schema, dict) else None
                )

    def without_tool(self, name: str) -> None:
        read = self._read
        tools = read.get("tools")
        if not isinstance(tools, list):
            return
        left = [tool for tool in tools if not isinstance(tool, dict) or tool.get("name") != name]
        if len(left) == len(tools):
            return
        self._fields |= {"tools", "tool_choice"}
        chosen = read.get("tool_choice")
        if not left or (isinstance(chosen, dict) and chosen.get("name") == name):
            read.pop("tool_choice", None)
        if left:
            read["tools"] = left
        else:
            del read["tools"]

    def add_system(self, text: str, *, first: bool = False) -> None:
        read = self._read
        if read.get("system") in (None, "", []):
            read["system"] = text
        else:
            self._look()
            system = self._as_parts(read, "system")
            self._put(system, 0 if first else len(system), _block(text))
        self._touch("system")

    def _said_by(self, said: Said, text: str) -> dict[str, Any]:
        return {"role": said.value, "content": text}

    def _join(self, item: dict[str, Any], text: str, *, first: bool) -> None:
        content = self._as_parts(item, "content")
        at = len(content)
        if first:
            # Results of tools and thinking are the first blocks of their turn.
            at = next((index for index, block in enumerate(content) if not _leads(block)), at)
        self._put(content, at, _block(text))

    def _as_parts(self, holder: dict[str, Any], key: str) -> list[Any]:
        content = holder.get(key)
        if isinstance(content, list):
            return content
        parts: list[Any] = []
        if isinstance(content, str) and content:
            block = _block(content)
            parts.append(block)
            self._moved(holder, key, block, "text")
        holder[key] = parts
        return parts


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _leads(block: Any) -> bool:
    return _is_result(block) or (isinstance(block, dict) and block.get("type") in _THINKING)


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _RESULTS


def _texts(block: dict[str, Any], kind: str, said: Said, call: str = "") -> list[Place]:
    """The texts of one block, those of the documents in it among them."""
    if kind == "text":
        return [Place(block, "text", said, call)] if isinstance(block.get("text"), str) else []
    if kind in _RESULTS:
        call, content = as_text(block.get("tool_use_id")), block.get("content")
        if not isinstance(content, list):
            return texts_of(block, "content", Said.TOOL, call)
        places: list[Place] = []
        for index, inner in enumerate(content):
            if isinstance(inner, dict):
                places += _texts(inner, str(inner.get("type", "text")), Said.TOOL, call)
            elif isinstance(inner, str):
                places.append(Place(content, index, Said.TOOL, call))
        return places
    if kind == "search_result":
        return texts_of(block, "content", said, call, attached=True)
    if kind == "document":
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "text" and isinstance(source.get("data"), str):
            return [Place(source, "data", said, call, attached=True)]
        if isinstance(source, dict) and source.get("type") == "content":
            return texts_of(source, "content", said, call, attached=True)
    return []


def _calls(block: dict[str, Any]) -> list[ToolCall]:
    try:
        return [ToolCall(as_text(block.get("id")), tool_name(block), as_text(block.get("input", {})))]
    except Unsound:
        return []
