"""The one place that releases a tool call to a container.

Every whole tool call of every answer, plain or streamed, from a provider, a script, a stage or a cache, comes here last.
The judges of the configuration are asked in their order (`stages/judging.py`); the strictest decision holds, a person is
asked where one of them wants that, and what a person wrote instead is judged once more. Each decision has a durable record
before anything goes out.

What is judged is what is released: arguments that could be read in two ways, or are no arguments, are never released.

What this gate does not do: code that already runs inside the container acts without asking a model; there
the wall holds, not this gate.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from bawn.errors import Fault
from bawn.gateway.opening import Opened, Recorder
from bawn.gateway.released import Released
from bawn.stages.asked import Asked
from bawn.stages.judging import Approvers, Denied, Granted, Judge, Judgement, Proposed
from bawn.terms.decision import Decision, Effect, combine
from bawn.terms.event import Event
from bawn.terms.frames import HeldCall
from bawn.terms.principal import label
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value
from bawn.wire.editing import Changed, Kept, Outcome
from bawn.wire.json_text import NotPlain, read_plain

_NO_POLICY = Decision(Effect.ALLOW, "tool.no_policy", "no tool policy is configured")
_UNCHANGED = Decision(
    Effect.DENY, "tool.unchangeable", "its arguments would have to be changed, and the agent has them already"
)
_NOBODY = Decision(Effect.DENY, "approval.nobody", "a person would have to allow it, and nobody can be asked")


class Cleared(Value, frozen=True):
    """Calls that may go out as they came. Built here alone."""

    data: bytes
    record_ids: tuple[str, ...]

    def released(self, write: Callable[[bytes, Sequence[Outcome]], bytes]) -> Rewritten:
        """As they are, in an answer of which something before them was changed."""
        return Rewritten(write(self.data, [Kept()] * len(self.record_ids)), self.record_ids)


class Rewritten(Value, frozen=True):
    """What goes out in another form than it came. Built here alone."""

    data: bytes
    record_ids: tuple[str, ...]


class Withholding(Value, frozen=True):
    """A call that does not go out, and why."""

    call: ToolCall
    decision: Decision

    @property
    def pending(self) -> bool:
        """Whether somebody may still allow it."""
        return self.decision.code == "approval.pending"


Verdict = Kept | Changed | Withholding


class Judged(Value, frozen=True):
    """A group of calls of which not all go out as they came. Built here alone."""

    verdicts: tuple[Verdict, ...]
    """In the order of the calls."""
    data: bytes
    """Their frames, as they came."""
    record_ids: tuple[str, ...]

    @property
    def withheld(self) -> list[Withholding]:
        return [each for each in self.verdicts if isinstance(each, Withholding)]

    def released(self, outcomes: Sequence[Outcome], write: Callable[[bytes, Sequence[Outcome]], bytes]) -> Rewritten:
        """The group as it goes out: what was withheld has the outcome given for it, and cannot be kept."""
        for verdict, outcome in zip(self.verdicts, outcomes, strict=True):
            if outcome != verdict and (not isinstance(verdict, Withholding) or isinstance(outcome, Kept)):
                raise Fault("internal", "A tool call would go out in another way than was decided.")
        return Rewritten(write(self.data, outcomes), self.record_ids)


def refused(judged: Judged) -> Fault:
    """For answers in which nothing can be put in the place of a call."""
    withheld = judged.withheld
    because = withheld[0].decision.because if withheld else "it would have to be changed"
    return Fault("tool.refused", f"A tool call was refused: {because}.")


class ToolGate:
    def __init__(
        self,
        judges: tuple[Judge, ...],
        recorder: Recorder,
        approvers: Approvers | None = None,
        released: Released | None = None,
    ) -> None:
        """`released` keeps what goes out to agents that report it again."""
        self._judges = judges
        self._recorder = recorder
        self._approvers = approvers
        self._released = released or Released()

    @property
    def may_wait(self) -> bool:
        """Whether a decision may take long, because something other than this process is asked."""
        return bool(self._judges)

    async def judge(self, opened: Opened, held: HeldCall) -> Cleared | Judged:
        """Decide over all calls of a group.

        Fault `upstream.broken` when the provider tells of a tool of its own that it was not asked to run, `tool.refused`
        when such a tool is refused, since it has run.
        """
        ran = {call.hosted for call in held.calls if call.hosted}
        if ran and not ran.issubset(tool.type for tool in opened.prepared.exchange.hosted_tools):
            raise Fault("upstream.broken", "The provider ran a tool of its own that was not asked for.")
        asked = opened.prepared.asked
        decided = await _all(self._decide(asked, call) for call in held.calls)
        verdicts = [verdict for verdict, _ in decided]
        recording = self._recorder.record
        ids = await _all(
            recording(_event(opened, call, verdict, decision))
            for call, (verdict, decision) in zip(held.calls, decided, strict=True)
        )
        for call, (verdict, decision) in zip(held.calls, decided, strict=True):
            if call.hosted and not isinstance(verdict, Kept):
                raise Fault("tool.refused", f"A tool of the provider was refused: {decision.because}.")
        if self._released.watches(asked.container.uuid):
            for call, verdict in zip(held.calls, verdicts, strict=True):
                self._remember(asked, call, verdict)
        if all(isinstance(verdict, Kept) for verdict in verdicts):
            return Cleared(held.data, tuple(ids))
        return Judged(tuple(verdicts), held.data, tuple(ids))

    async def reported(self, asked: Asked, call: ToolCall, agent: str) -> Decision:
        """Decide over a call that an agent is about to make, as it reports by itself: what has been released stays so, and
        anything else is judged as if the model proposed it now."""
        self._released.watch(asked.container.uuid)
        if self._released.has(asked.container.uuid, asked.session, call):
            return Decision(Effect.ALLOW, "tool.released", "it was released to the agent")
        verdict, decision = await self._decide(asked, call)
        if isinstance(verdict, Changed):
            verdict = Withholding(call, _UNCHANGED)
            decision = _UNCHANGED
        await self._recorder.record(_reported(asked, call, verdict, decision, agent))
        self._remember(asked, call, verdict)
        return decision

    def _remember(self, asked: Asked, call: ToolCall, verdict: Verdict) -> None:
        if isinstance(verdict, Changed):
            call = ToolCall(call.id, verdict.name, verdict.arguments, call.hosted, call.free)
        if not isinstance(verdict, Withholding):
            self._released.add(asked.container.uuid, asked.session, call)

    async def _decide(self, asked: Asked, call: ToolCall) -> tuple[Verdict, Decision]:
        if (unsound := unreadable(call)) is not None:
            return Withholding(call, unsound), unsound
        if not self._judges:
            return Kept(), _NO_POLICY
        judged, decision = await self._consult(Proposed(asked, call, call.free))
        if decision.effect in (Effect.ASK_PERSON, Effect.ASK_PLANNER):
            judged, decision = await self._ask(Proposed(asked, judged, call.free), decision)
        if decision.effect is not Effect.ALLOW:
            return Withholding(call, decision), decision
        if judged.name == call.name and judged.arguments_raw == call.arguments_raw:
            return Kept(), decision
        if call.hosted:
            return Withholding(call, decision), decision
        if (unsound := unreadable(judged)) is not None:
            return Withholding(call, unsound), unsound
        return Changed(judged.name, judged.arguments_raw), decision

    async def _consult(self, proposed: Proposed) -> tuple[ToolCall, Decision]:
        """The call as the judges leave it, and what they decide together."""
        decisions: list[Decision] = []
        for judge in self._judges:
            said: Judgement = await judge.judge(proposed)
            decisions.append(said.decision)
            if said.name or said.arguments is not None:
                call = proposed.call
                arguments = call.arguments_raw if said.arguments is None else said.arguments
                changed = ToolCall(call.id, said.name or call.name, arguments, call.hosted, call.free)
                proposed = Proposed(proposed.asked, changed, proposed.text)
        return proposed.call, combine(decisions)

    async def _ask(self, proposed: Proposed, decision: Decision) -> tuple[ToolCall, Decision]:
        if self._approvers is None:
            return proposed.call, _NOBODY
        said = await self._approvers.ask(proposed, decision.because)
        if isinstance(said, Denied):
            facts: tuple[tuple[str, str], ...] = (("ticket", said.ticket),) if said.ticket else ()
            if said.estimate:
                facts = (*facts, ("estimate", said.estimate))
            return proposed.call, Decision(Effect.DENY, said.code, said.because, facts)
        allowed = Decision(Effect.ALLOW, "approval.approved", f"{said.by} allowed it", (("ticket", said.ticket),))
        if said.arguments is None or said.arguments == proposed.call.arguments_raw:
            return proposed.call, allowed
        return await self._edited(proposed, said, allowed)

    async def _edited(self, proposed: Proposed, said: Granted, allowed: Decision) -> tuple[ToolCall, Decision]:
        """What a person wrote instead goes out as it stands, or not at all: nobody changes it once more, and what is denied
        to models is denied to it."""
        call = proposed.call
        assert said.arguments is not None
        edited = ToolCall(call.id, call.name, said.arguments, call.hosted, call.free)
        if (unsound := unreadable(edited)) is not None:
            return edited, unsound
        left, decision = await self._consult(Proposed(proposed.asked, edited, proposed.text))
        if decision.effect is Effect.DENY:
            return edited, decision
        if left != edited:
            return edited, Decision(Effect.DENY, "approval.unfit", "what was put in by hand would be changed by a rule")
        return edited, allowed


_T = TypeVar("_T")


async def _all(waited: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What they come to, in their order, all at once: a person who is asked about three calls sees three questions."""
    every = list(waited)
    if len(every) == 1:
        return [await every[0]]
    tasks = [asyncio.ensure_future(each) for each in every]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        # Nobody is to be asked any more about a message that does not go out.
        for task in tasks:
            task.cancel()
        raise


def unreadable(call: ToolCall) -> Decision | None:
    """Why the arguments of a call have no one reading; None when they have. No arguments at all are an empty object."""
    if call.free or call.hosted or not call.arguments_raw:
        return None
    try:
        read = read_plain(call.arguments_raw.encode("utf-8"))
    except UnicodeEncodeError:
        return _unsound("hold half a surrogate pair")
    except NotPlain as error:
        return _unsound(f"are not plain JSON ({error})")
    return None if isinstance(read, dict) else _unsound("are no JSON object")


def _unsound(what: str) -> Decision:
    return Decision(Effect.DENY, "tool.unreadable", f"its arguments {what}")


def _event(opened: Opened, call: ToolCall, verdict: Verdict, decision: Decision) -> Event:
    prepared = opened.prepared
    container = prepared.admitted.container
    changed: tuple[tuple[str, str], ...] = (
        (("became", verdict.name), ("became_sha256", _digest(verdict.arguments)))
        if isinstance(verdict, Changed)
        else ()
    )
    name = "tool.withheld" if isinstance(verdict, Withholding) else "tool.changed" if changed else "tool.released"
    # The arguments may hold anything the model saw; the record keeps what identifies them, not them.
    return Event(
        event=name,
        endpoint=prepared.exchange.endpoint.value,
        api_key_name=f"container-{container.name}",
        model=prepared.target.model,
        provider=prepared.target.provider,
        principal=label(container),
        container=container.uuid,
        call=prepared.admitted.raw.id,
        code=decision.code,
        cause=decision.because,
        detail=(
            ("tool", call.name),
            ("tool_call", call.id),
            ("arguments_sha256", _digest(call.arguments_raw)),
            *changed,
            *decision.facts,
        ),
    )


def _reported(asked: Asked, call: ToolCall, verdict: Verdict, decision: Decision, agent: str) -> Event:
    container = asked.container
    return Event(
        event="tool.withheld" if isinstance(verdict, Withholding) else "tool.released",
        endpoint=asked.exchange.endpoint.value,
        api_key_name=f"container-{container.name}",
        principal=label(container),
        container=container.uuid,
        call=asked.call,
        code=decision.code,
        cause=decision.because,
        detail=(
            ("agent", agent),
            ("tool", call.name),
            ("tool_call", call.id),
            ("arguments_sha256", _digest(call.arguments_raw)),
            *decision.facts,
        ),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def blocked(name: str, withheld: Withholding) -> Changed:
    """The call as another tool's, by which the agent sees what was asked and why it was refused."""
    call = withheld.call
    original: object = call.arguments_raw
    if not call.free and unreadable(call) is None:
        original = read_plain(call.arguments_raw.encode()) if call.arguments_raw else {}
    said = {"tool": call.name, "original": original, "reason": withheld.decision.because}
    return Changed(name, msgspec.json.encode(said).decode())
