"""The one place that releases a tool call to a container.

Every whole tool call of every answer, plain or streamed, from a provider, a stage or a cache, comes here
last. Today the decision is to allow; the decision is an object and each released call has its own durable
record, so that policy, approvals and rewriting later need no second call site.

What this gate does not do: code that already runs inside the container acts without asking a model; there
the wall holds, not this gate.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.opening import Opened, Recorder
from bawn.terms.decision import Decision, Effect
from bawn.terms.event import Event
from bawn.terms.frames import HeldCall
from bawn.terms.principal import label
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value


class Cleared(Value, frozen=True):
    """Calls that may go out as they came. Built here alone."""

    data: bytes
    record_ids: tuple[str, ...]


class Rewritten(Value, frozen=True):
    """Calls that go out in another form. Built here alone."""

    data: bytes
    record_ids: tuple[str, ...]


class Withheld(Value, frozen=True):
    """Calls that do not go out, and why. Built here alone."""

    decision: Decision
    record_ids: tuple[str, ...]


class Judge(Protocol):
    """Decides over one whole tool call."""

    def decide(self, call: ToolCall) -> Decision: ...


class AllowAll:
    """The judge of an installation without tool policy."""

    def decide(self, call: ToolCall) -> Decision:
        return Decision(Effect.ALLOW, "tool.no_policy", "no tool policy is configured")


class ToolGate:
    def __init__(self, judge: Judge, recorder: Recorder) -> None:
        self._judge = judge
        self._recorder = recorder

    async def judge(self, opened: Opened, held: HeldCall) -> Cleared | Withheld:
        """Decide over all calls of a group; one that is not allowed withholds the group.

        Fault `upstream.broken` when the provider tells of a tool of its own that it was not asked to run.
        """
        ran = {call.hosted for call in held.calls if call.hosted}
        if ran and not ran.issubset(tool.type for tool in opened.prepared.exchange.hosted_tools):
            raise Fault("upstream.broken", "The provider ran a tool of its own that was not asked for.")
        decisions = [self._judge.decide(call) for call in held.calls]
        withheld = next((decision for decision in decisions if decision.effect is not Effect.ALLOW), None)
        ids: list[str] = []
        for call, decision in zip(held.calls, decisions, strict=True):
            ids.append(await self._recorder.record(_event(opened, call, decision, released=withheld is None)))
        if withheld is not None:
            return Withheld(withheld, tuple(ids))
        return Cleared(held.data, tuple(ids))


def _event(opened: Opened, call: ToolCall, decision: Decision, *, released: bool) -> Event:
    prepared = opened.prepared
    container = prepared.admitted.container
    # The arguments may hold anything the model saw; the record keeps what identifies them, not them.
    arguments = hashlib.sha256(call.arguments_raw.encode("utf-8", "surrogatepass")).hexdigest()
    return Event(
        event="tool.released" if released else "tool.withheld",
        endpoint=prepared.exchange.endpoint.value,
        api_key_name=f"container-{container.name}",
        model=prepared.target.model,
        provider=prepared.target.provider,
        principal=label(container),
        container=container.uuid,
        call=prepared.admitted.raw.id,
        code=decision.code,
        cause=decision.because,
        detail=(("tool", call.name), ("tool_call", call.id), ("arguments_sha256", arguments)),
    )
