"""Which items of a response are calls for the client to run, and what they call.

The items that are known stand in two tables: what the client runs is held and judged, what the provider has said
or done passes. An item of any other type is refused, since nobody here knows what it makes a client do.
Source: platform.openai.com/docs/api-reference/responses/object, `output`.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.holding import Unsound
from bawn.wire.json_text import written

CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
    "mcp_approval_request": "arguments",
    "tool_search_call": "arguments",
}
"""Types of items that a client acts on, and where what it shall do stands."""
SEVERAL = ("shell_call", "computer_call")
"""Types of calls that may tell a list of `actions` in place of one."""
SAID = frozenset((
    "message", "reasoning", "compaction", "web_search_call", "file_search_call", "code_interpreter_call",
    "image_generation_call", "mcp_list_tools", "mcp_call", "function_call_output", "custom_tool_call_output",
    "shell_call_output", "apply_patch_call_output", "local_shell_call_output", "computer_call_output", "tool_search_output",
    "program", "program_output", "additional_tools", "mcp_approval_response",
))  # fmt: skip
"""Types of items that only tell: what the model says, and what the provider did with tools that were permitted."""


def is_call(item: dict[str, Any]) -> bool:
    """Whether a client acts on it. Raises Unsound when nobody knows."""
    kind = item.get("type")
    if not isinstance(kind, str) or (kind not in CALLS and kind not in SAID):
        raise Unsound("an item is of a kind that is not known")
    if kind in CALLS:
        return True
    if "arguments" in item and kind != "mcp_call":
        raise Unsound("an item that is no call has arguments")
    return False


def told_as_text(item: dict[str, Any]) -> bool:
    """Whether what a call shall do is a text, which may come in pieces."""
    return CALLS.get(str(item.get("type"))) in ("arguments", "input")


def is_free(item: dict[str, Any]) -> bool:
    """Whether the tool that it calls takes a text instead of a JSON object."""
    return item.get("type") == "custom_tool_call"


def tool_call(item: dict[str, Any]) -> ToolCall:
    """Raises Unsound."""
    call_id, name, arguments = call_of(item)
    return ToolCall(call_id, name, arguments, free=is_free(item))


def call_of(item: dict[str, Any]) -> tuple[str, str, str]:
    """Id, name and arguments of a call. Raises Unsound."""
    kind = str(item["type"])
    name, call_id = item.get("name", kind), item.get("call_id", item.get("id"))
    if not isinstance(name, str) or not name or not isinstance(call_id, str):
        raise Unsound("a tool call has no name or no id")
    owner = item.get("namespace", item.get("server_label"))
    if owner is not None and not isinstance(owner, str):
        raise Unsound("a tool call is of a set without a name")
    said = item.get(CALLS[kind])
    if kind in SEVERAL and item.get("actions") is not None:
        # Told in both ways it is judged in both, since nobody knows by which of them a client acts.
        several = item["actions"]
        said = several if said is None else {"action": said, "actions": several}
    arguments = said if isinstance(said, str) else "" if said is None else written(said)
    return call_id, f"{owner}.{name}" if owner else name, arguments
