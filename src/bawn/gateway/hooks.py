"""The walk of a report, beside that of `server`: what an agent's own hook tells is admitted as a call is, read by the
agent's dialect, judged, and answered in its form.

A tool call that was released to the agent is not judged again; one that the wire never showed is judged as if a model
proposed it now. Nothing is granted here that the gateway would refuse: an agent without hooks loses early answers, not
decisions.
"""

from __future__ import annotations

from collections.abc import Mapping

from bawn.adapters.report import Dialect, Effect, Report, Verdict
from bawn.enforcement.reports import Reports
from bawn.errors import Fault, quoted
from bawn.gateway.admission import Admitted
from bawn.gateway.closing import Account
from bawn.gateway.rate import Rate
from bawn.gateway.released import Released
from bawn.gateway.reply import Reply
from bawn.gateway.works import Works
from bawn.rules.model import EventName
from bawn.stages.asked import Asked
from bawn.terms import decision
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.tags import HEADER, header
from bawn.terms.toolcall import ToolCall

LONGEST = 8 * 2**20
"""Bytes of a report."""
_LONGEST_NAME = 200
"""Characters of a call's id and of a tool."""
PER_SECOND = 50
"""Reports of one container, over time."""
AT_ONCE = 200
_REFUSALS = ("rule.blocked",)


class HookCalls:
    def __init__(self, dialects: Mapping[str, Dialect], reports: Reports, released: Released, clock: Clock) -> None:
        """`dialects`: by the agent's name, as it stands in the path."""
        self._dialects = dialects
        self._reports = reports
        self._released = released
        self._rate = Rate(clock, PER_SECOND, AT_ONCE)

    async def walk(self, works: Works, admitted: Admitted, reply: Reply, account: Account) -> None:
        raw = admitted.raw
        dialect = self._dialects.get(raw.route.model)
        if dialect is None:
            raise Fault("http.unknown_path", f"No agent {quoted(raw.route.model)} reports here.")
        if wait := self._rate.wait(admitted.container.uuid):
            raise Fault("limit.reports", f"A container reports at most {PER_SECOND} times a second.", retry_after=wait)
        if len(raw.body) > LONGEST:
            raise Fault("http.body_too_large", f"A report has at most {LONGEST // 2**20} MiB.")
        self._released.watch(admitted.container.uuid)
        report = dialect.read(raw.body)
        if report is not None and max(len(report.call), len(report.tool)) > _LONGEST_NAME:
            raise Fault("request.invalid", f"A call and a tool have names of at most {_LONGEST_NAME} characters.")
        # The body tells one report from the next, as with calls to a model.
        session = report.session if report is not None else ""
        exchange = Exchange(WireName.OPENAI, Endpoint.HOOK, "", False, raw.body, session=session)
        account.exchange = exchange
        verdict = Verdict()
        if report is not None:
            asked = works.pipeline.asked(admitted, exchange)
            if report.tags:
                asked.headers = (*asked.headers, (HEADER, header(report.tags)))
            verdict = await self._told(works, asked, report, raw.route.model)
        account.status = 200
        reply.json(dialect.answer(report, verdict))

    async def _told(self, works: Works, asked: Asked, report: Report, agent: str) -> Verdict:
        turn = self._reports.begin(asked, report)
        try:
            if report.event is EventName.TOOL_BEFORE:
                call = ToolCall(report.call, report.tool, report.tool_input)
                decided = await works.gate.reported(asked, call, agent)
                allowed = decided.effect is decision.Effect.ALLOW
                return Verdict() if allowed else Verdict(Effect.DENY, decided.because)
            await self._reports.told(turn, report)
        except Fault as fault:
            if fault.code not in _REFUSALS:
                raise
            return Verdict(Effect.DENY, fault.sentence)
        finally:
            self._reports.end(asked)
        return Verdict()
