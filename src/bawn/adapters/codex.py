"""Codex: https://developers.openai.com/codex/hooks, tried with 0.169; the schemas of its hooks are in its program.

It tells of no errors. Of the tools, it tells of its shell, `apply_patch` and those of MCP servers.
"""

from __future__ import annotations

from bawn.adapters.hooks import Hooks
from bawn.rules.model import EventName

_EVENTS = {
    "SessionStart": EventName.SESSION_CREATED,
    "Stop": EventName.SESSION_IDLE,
    "UserPromptSubmit": EventName.CHAT_MESSAGE,
    "PreToolUse": EventName.TOOL_BEFORE,
    "PostToolUse": EventName.TOOL_AFTER,
}


class Codex(Hooks):
    events = _EVENTS
