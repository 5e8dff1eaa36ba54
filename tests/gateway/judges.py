"""Judges and people of tests."""

from __future__ import annotations

from collections.abc import Callable

from bawn.stages.judging import Denied, Granted, Judgement, Proposed
from bawn.terms.decision import Decision, Effect
from bawn.terms.toolcall import ToolCall

Said = tuple[Effect, str] | Judgement


class Judges:
    """Decides by a function of the call: an effect with its reason, or a whole judgement."""

    name = "test"

    def __init__(self, decide: Callable[[ToolCall], Said]) -> None:
        self._decide = decide
        self.seen: list[ToolCall] = []

    async def judge(self, proposed: Proposed) -> Judgement:
        self.seen.append(proposed.call)
        said = self._decide(proposed.call)
        if isinstance(said, Judgement):
            return said
        effect, because = said
        return Judgement(Decision(effect, "tool.said", because))


NEVER = Judges(lambda call: (Effect.DENY, "it is never allowed"))


def becomes(name: str = "", arguments: str | None = None) -> Judgement:
    return Judgement(Decision(Effect.ALLOW, "tool.changed", "a rule changes it"), name, arguments)


class People:
    """Answers every question with the same words."""

    def __init__(self, answer: Granted | Denied) -> None:
        self._answer = answer
        self.asked: list[ToolCall] = []

    async def ask(self, proposed: Proposed, because: str) -> Granted | Denied:
        self.asked.append(proposed.call)
        return self._answer
