"""Rules over tool calls, before they are released."""

from __future__ import annotations

from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.turn import ReportTurn
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
        listens = enforcer.rules.listens(EventName.TOOL_BEFORE)
        if asked.depth or not enforcer.rules.rules:
            return Judgement(_NONE)
        if asked.came.kept:
            enforcer.kept.add(asked.container.uuid, asked.session, call)
        if not (listens or enforcer.standings.any):
            return Judgement(_NONE)
        turn = enforcer.turn(asked)
        if turn.standing is not None and not isinstance(turn, ReportTurn):
            turn.standing.proposed(call, turn.at)
        if not listens:
            return Judgement(_NONE)
        decisions = await enforcer.call(
            turn,
            lambda: turn.call(call),
            call.arguments_raw,
            tool=call.name,
            tool_input=call.arguments_raw,
        )
        return Judgement(combine((*decisions, _NONE)))
