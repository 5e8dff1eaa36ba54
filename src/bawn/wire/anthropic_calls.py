"""Which content blocks of an answer are tool calls, and what they call.

Every block that takes an input is a call, whatever its type is named and whoever runs it, so that a kind of
call that comes up later is judged before it is known. The tool of a set or of a server is named with it
(`browser.navigate`): names of function tools hold no dot, so that it cannot be taken for one of these.
"""

from __future__ import annotations

from typing import Any

from bawn.wire.holding import Unsound

_OWNERS = ("toolset_name", "server_name")


def is_tool_call(block: dict[str, Any]) -> bool:
    return "input" in block or str(block.get("type")).endswith("tool_use")


def tool_name(block: dict[str, Any]) -> str:
    """Raises Unsound when the block does not say which tool it calls."""
    name = block.get("name")
    if not isinstance(name, str) or not name:
        raise Unsound("a tool call has no name")
    for key in _OWNERS:
        owner = block.get(key)
        if owner is not None and not isinstance(owner, str):
            raise Unsound("a tool call is of a set without a name")
        if owner:
            name = f"{owner}.{name}"
    return name
