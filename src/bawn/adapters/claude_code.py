"""Claude Code: https://code.claude.com/docs/en/hooks, tried with 2.1.330.

Its sub-agents share the session of the agent that began them, by which their model calls are known too, so an `agent_id`
makes no session of its own here.
"""

from __future__ import annotations

from bawn.adapters.hooks import Hooks
from bawn.adapters.payload import Payload
from bawn.adapters.report import Report
from bawn.rules.model import EventName

_EVENTS = {
    "SessionStart": EventName.SESSION_CREATED,
    "Stop": EventName.SESSION_IDLE,
    "StopFailure": EventName.SESSION_ERROR,
    "UserPromptSubmit": EventName.CHAT_MESSAGE,
    "PreToolUse": EventName.TOOL_BEFORE,
    "PostToolUse": EventName.TOOL_AFTER,
    "PostToolUseFailure": EventName.TOOL_AFTER,
}


class ClaudeCode(Hooks):
    events = _EVENTS

    def other(self, event: EventName, session: str, directory: str, payload: Payload) -> Report:
        if event is EventName.SESSION_ERROR:
            parts = (payload.text("error"), payload.text("error_details"))
            return Report(event, session, error=": ".join(filter(None, parts)), directory=directory)
        return Report(event, session, title=payload.text("session_title"), directory=directory)
