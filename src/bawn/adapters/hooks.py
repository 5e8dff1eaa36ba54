"""What the hooks of Claude Code and Codex have in common: the form of a report, and the answers that both understand.

Codex refuses an answer with a key that it does not know, and one that allows; so what is allowed is an empty object, by
which the agent asks its own questions as without a hook. The forwarder inside (`box/hooks`) lets
nothing else pass than the three forms here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bawn.adapters.payload import Payload
from bawn.adapters.report import Effect, Report, Verdict
from bawn.rules.model import EventName
from bawn.wire.json_text import written

_REFUSED = "It was refused."
"""Codex takes no denial without a reason."""


class Hooks:
    """The dialect of one of them. `events`: what its hooks are called."""

    events: ClassVar[Mapping[str, EventName]]

    def read(self, body: bytes) -> Report | None:
        payload = Payload(body)
        event = self.events.get(payload.name("hook_event_name", needed=True))
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
            case _:
                return self.other(event, session, directory, payload)

    def other(self, event: EventName, session: str, directory: str, payload: Payload) -> Report:
        """What is told of the session itself."""
        return Report(event, session, directory=directory)

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        return _answered(report, verdict)


def _answered(report: Report | None, verdict: Verdict) -> bytes:
    if report is None or verdict.effect is Effect.ALLOW:
        return b"{}"
    because = verdict.because or _REFUSED
    match report.event:
        case EventName.TOOL_BEFORE:
            said = {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": because,
            }
            return written({"hookSpecificOutput": said}).encode()
        case EventName.CHAT_MESSAGE | EventName.TOOL_AFTER:
            return written({"decision": "block", "reason": because}).encode()
        case _:
            # Nothing to keep from happening; and a Stop that is blocked would make the agent go on.
            return b"{}"
