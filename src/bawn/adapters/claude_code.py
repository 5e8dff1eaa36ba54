"""Claude Code: https://code.claude.com/docs/en/hooks, tried with 2.1.330.

Its sub-agents share the session of the agent that began them, by which their model calls are known too, so an `agent_id`
makes no session of its own here.
"""

from __future__ import annotations

from bawn.adapters.hook_answers import answered
from bawn.adapters.payload import Payload
from bawn.adapters.report import Report, Verdict
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


class ClaudeCode:
    def read(self, body: bytes) -> Report | None:
        payload = Payload(body)
        event = _EVENTS.get(payload.name("hook_event_name", needed=True))
        if event is None:
            return None
        session, directory = payload.name("session_id", needed=True), payload.text("cwd")
        match event:
            case EventName.TOOL_BEFORE | EventName.TOOL_AFTER:
                return Report(
                    event,
                    session,
                    call=payload.name("tool_use_id"),
                    tool=payload.name("tool_name", needed=True),
                    tool_input=payload.json("tool_input"),
                    tool_output=payload.said("tool_response") or payload.text("error"),
                    directory=directory,
                )
            case EventName.CHAT_MESSAGE:
                return Report(event, session, text=payload.text("prompt"), directory=directory)
            case EventName.SESSION_ERROR:
                parts = (payload.text("error"), payload.text("error_details"))
                return Report(event, session, error=": ".join(filter(None, parts)), directory=directory)
            case _:
                return Report(event, session, title=payload.text("session_title"), directory=directory)

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        return answered(report, verdict)
