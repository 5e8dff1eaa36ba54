"""The answers that Claude Code and Codex both understand.

Codex refuses an answer with a key that it does not know, and one that allows; so what is allowed is an empty object, by
which the agent asks its own questions as without a hook. The forwarder inside (`box/hooks`) lets
nothing else pass than the three forms here.
"""

from __future__ import annotations

from bawn.adapters.report import Effect, Report, Verdict
from bawn.rules.model import EventName
from bawn.wire.json_text import written

_REFUSED = "It was refused."
"""Codex takes no denial without a reason."""


def answered(report: Report | None, verdict: Verdict) -> bytes:
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
