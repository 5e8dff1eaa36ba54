"""What the user asked last: the text that a turn of the conversation is about, the same for all its rounds of tools."""

from __future__ import annotations

import re

from bawn.terms.value import Value
from bawn.wire.document import RequestDocument, Said

_ADDED = re.compile(
    r"<(system-reminder|environment_context|environment_details|user_instructions|ide_[a-z_]{1,30}"
    r"|local-command-[a-z-]{1,30}|command-[a-z-]{1,30})\b[^<>]*>"
)
"""What agents put beside what their user says; it comes and goes from call to call."""


class LastAsked(Value, frozen=True):
    message: int
    """Index of the message."""
    text: str


def last_asked(document: RequestDocument) -> LastAsked | None:
    """The last message in which the user says something of his own; None where he says nothing at all."""
    messages = document.messages
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.said is Said.USER:
            own = [spot.text for spot in message.spots if spot.said is Said.USER and not spot.attached]
            said = [text for text in map(_said, own) if text]
            if said:
                return LastAsked(index, "\n".join(said))
    return None


def _said(text: str) -> str:
    """Without what the agent added."""
    left: list[str] = []
    at = 0
    while found := _ADDED.search(text, at):
        end = text.find(f"</{found[1]}>", found.end())
        if end < 0:
            break
        left.append(text[at : found.start()])
        at = end + len(found[1]) + 3
    return "".join((*left, text[at:])).strip()
