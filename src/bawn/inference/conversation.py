"""What a request says, whichever wire it came by: the facts that a scene is chosen by."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class Wire(StrEnum):
    OPENAI = "openai"
    RESPONSES = "responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    CONVERSE = "converse"
    """Of AWS Bedrock."""


class Turn(Struct, frozen=True):
    """One message. A message with results of tools is never the user's own word, even when text stands beside."""

    role: str
    text: str
    results: tuple[tuple[str, str], ...] = ()
    """Tool results that the message brings: name of the tool, text of the result."""


class Conversation(Struct, frozen=True):
    wire: Wire
    model: str
    stream: bool
    include_usage: bool
    system: str
    turns: tuple[Turn, ...]
    offered: tuple[str, ...]
    """Names of the tools offered."""
    seed: str
    """The digest of the request, from which the ids of the answer are made: the same request, the same answer."""
    asked: dict[str, Any] = {}
    """The request's body, of which some answers say fields again."""

    @property
    def _since_user(self) -> tuple[Turn, ...]:
        for index in range(len(self.turns) - 1, -1, -1):
            if self.turns[index].role == "user" and not self.turns[index].results:
                return self.turns[index:]
        return self.turns

    @property
    def user(self) -> str:
        """The user's last message; results of tools do not count."""
        since = self._since_user
        return since[0].text if since and since[0].role == "user" else ""

    @property
    def turn(self) -> int:
        return 1 + sum(turn.role == "assistant" for turn in self.turns)

    @property
    def step(self) -> int:
        return 1 + sum(turn.role == "assistant" for turn in self._since_user)

    @property
    def results(self) -> tuple[tuple[str, str], ...]:
        """Results of tools since the user's last message."""
        return tuple(result for turn in self._since_user for result in turn.results)

    @property
    def whole(self) -> str:
        """All texts in order, for templates that look something up."""
        parts = [self.system]
        for turn in self.turns:
            parts += [turn.text, *(text for _, text in turn.results)]
        return "\n".join(parts)
