"""OpenCode: what our own plugin says (`box/opencode`), from both of OpenCode's plugin interfaces.

A session that another one began is told with `parent`.
"""

from __future__ import annotations

from bawn.adapters.payload import Payload
from bawn.adapters.report import Effect, Report, Verdict
from bawn.rules.model import EventName
from bawn.wire.json_text import written

_EVENTS = {str(event): event for event in EventName}
_TOOLS = (EventName.TOOL_BEFORE, EventName.TOOL_AFTER)
_MOST_TAGS = 32


class OpenCode:
    def read(self, body: bytes) -> Report | None:
        payload = Payload(body)
        event = _EVENTS.get(payload.name("event", needed=True))
        if event is None:
            return None
        about_tool = event in _TOOLS
        return Report(
            event,
            payload.name("session", needed=True),
            parent=payload.name("parent"),
            call=payload.name("call"),
            tool=payload.name("tool", needed=about_tool),
            tool_input=payload.json("input") if about_tool else "",
            tool_output=payload.said("output"),
            text=payload.text("text"),
            title=payload.text("title"),
            directory=payload.text("directory"),
            error=payload.text("error"),
            tags=payload.texts("tags", _MOST_TAGS),
        )

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        if report is None or verdict.effect is Effect.ALLOW:
            return b'{"effect":"allow"}'
        return written({"effect": "deny", "because": verdict.because or "It was refused."}).encode()
