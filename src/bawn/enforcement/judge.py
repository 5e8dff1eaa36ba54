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
        turn = await enforcer.turn(asked)
        happened = enforcer.happening(
            asked,
            EventName.TOOL_BEFORE,
            text=call.arguments_raw,
            key=keys.call(turn.at, call),
            tool=call.name,
            tool_input=call.arguments_raw,
        )
        return Judgement(combine((*await enforcer.call(turn, happened), _NONE)))
