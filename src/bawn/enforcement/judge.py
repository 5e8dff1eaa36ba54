"""Rules over tool calls, before they are released."""

from __future__ import annotations

from bawn.enforcement import keys
from bawn.enforcement.enforcer import Enforcer
from bawn.rules.model import EventName
from bawn.stages.judging import Judgement, Proposed
from bawn.terms.decision import Decision, Effect, combine

_NONE = Decision(Effect.ALLOW, "rule.none", "no rule says anything of it")


class RulesJudge:
    name = "rules"

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    async def judge(self, proposed: Proposed) -> Judgement:
        enforcer, asked, call = self._enforcer, proposed.asked, proposed.call
        if asked.depth or not enforcer.rules.listens(EventName.TOOL_BEFORE):
            return Judgement(_NONE)
        turn = enforcer.turn(asked)
        decisions = await enforcer.call(
            turn,
            lambda: keys.call(turn.at, call),
            call.arguments_raw,
            tool=call.name,
            tool_input=call.arguments_raw,
        )
        return Judgement(combine((*decisions, _NONE)))
