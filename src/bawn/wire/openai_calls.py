"""Where a message or a delta of chat completions holds tool calls; one reading for both.

A call that could be read in two ways (as a function and as a custom tool, with arguments and with an input)
is not chosen between: a client could run the one and we judge the other.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.value import Value
from bawn.wire.holding import Unsound

LEGACY = -1
"""The place of `function_call`, which is before all `tool_calls`."""


class Piece(Value, frozen=True):
    """A call, or what one frame says of it."""

    index: int
    id: str
    name: str
    arguments: str
    free: bool | None = None
    """Whether the tool takes a text; None where it does not tell."""


def pieces(holder: dict[str, Any], *, streamed: bool = False) -> list[Piece]:
    """The calls of a message or, when `streamed`, of a delta, whose calls have a number each. Raises Unsound."""
    calls, legacy = holder.get("tool_calls"), holder.get("function_call")
    if calls is None and legacy is None:
        return []
    found: list[Piece] = []
    if legacy is not None:
        found.append(_piece(LEGACY, None, legacy, "arguments"))
    if calls is not None and not isinstance(calls, list):
        raise Unsound("tool calls are not a list")
    for position, call in enumerate(calls or ()):
        if not isinstance(call, dict):
            raise Unsound("a tool call is not an object")
        index = call.get("index", None if streamed else position)
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise Unsound("a tool call has no number")
        function, custom = call.get("function"), call.get("custom")
        if function is not None and custom is not None:
            raise Unsound("a tool call is of two kinds")
        if custom is not None:
            found.append(_piece(index, call.get("id"), custom, "input", free=True))
        elif function is not None:
            found.append(_piece(index, call.get("id"), function, "arguments"))
        else:
            found.append(_piece(index, call.get("id"), {}, "arguments", free=None))
    return found


def _piece(index: int, call_id: Any, described: Any, argument_key: str, *, free: bool | None = False) -> Piece:
    if not isinstance(described, dict):
        raise Unsound("a tool call is not an object")
    values = []
    for value in (call_id, described.get("name"), described.get(argument_key)):
        if value is not None and not isinstance(value, str):
            raise Unsound("a tool call holds something that is not a text")
        values.append(value or "")
    return Piece(index, values[0], values[1], values[2], free)
