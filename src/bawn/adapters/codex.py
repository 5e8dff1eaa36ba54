"""Codex: https://developers.openai.com/codex/hooks, tried with 0.169; the schemas of its hooks are in its program.

It tells of no errors. Of the tools, it tells of its shell, `apply_patch` and those of MCP servers.
"""

from __future__ import annotations

from bawn.adapters.hook_answers import answered
from bawn.adapters.payload import Payload
from bawn.adapters.report import Report, Verdict
from bawn.rules.model import EventName

_EVENTS = {
    "SessionStart": EventName.SESSION_CREATED,
    "Stop": EventName.SESSION_IDLE,
    "UserPromptSubmit": EventName.CHAT_MESSAGE,
    "PreToolUse": EventName.TOOL_BEFORE,
    "PostToolUse": EventName.TOOL_AFTER,
}


class Codex:
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
                    tool_output=payload.said("tool_response"),
                    directory=directory,
                )
            case EventName.CHAT_MESSAGE:
                return Report(event, session, text=payload.text("prompt"), directory=directory)
            case _:
                return Report(event, session, directory=directory)

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        return answered(report, verdict)
