"""A call as its agent's hooks tell it, where that is not how the model wrote it.

Codex tells of its shell as `Bash` with a command, and of a patch with the patch as a command, whatever the tools are called
towards the model, and leaves out where and how long a command runs. Without knowing this, a call that was released would
be taken for another one when it is reported, and a person would be asked twice.
"""

from __future__ import annotations

from bawn.terms.toolcall import ToolCall
from bawn.wire.json_text import NotPlain, read_plain, written

_SHELLS = {"exec_command": "cmd", "shell_command": "command"}
"""Codex's shells towards the model, and which of their arguments is the command."""
_PATCH = "apply_patch"


def as_told(call: ToolCall) -> ToolCall:
    """The same call in the words of the hooks; itself where they tell it as it is."""
    if call.free:
        return _renamed(call, _PATCH, call.arguments_raw) if call.name == _PATCH else call
    key = _SHELLS.get(call.name) or ("input" if call.name == _PATCH else None)
    if key is None:
        return call
    try:
        read = read_plain(call.arguments_raw.encode("utf-8", "surrogatepass"))
    except (NotPlain, ValueError):
        return call
    command = read.get(key) if isinstance(read, dict) else None
    if not isinstance(command, str):
        return call
    return _renamed(call, _PATCH if call.name == _PATCH else "Bash", command)


def _renamed(call: ToolCall, name: str, command: str) -> ToolCall:
    return ToolCall(call.id, name, written({"command": command}))
