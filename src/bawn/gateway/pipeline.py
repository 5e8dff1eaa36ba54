"""The stages a request passes before it is sent, in the configured order, and who judges what they made of it.

Whatever a stage did (`stages/stage.py`), its document is read anew by the wire and `permissions` judges the outcome last.
Each stage leaves a trace with its time; the traces are part of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import structs

from bawn.errors import Fault
from bawn.gateway.admission import Admitted
from bawn.gateway.catalogue import Target
from bawn.gateway.permissions import Permissions
from bawn.gateway.sessions import Sessions
from bawn.gateway.stage_times import StageTimes
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, Stage, View
from bawn.terms.exchange import Exchange
from bawn.terms.value import Value
from bawn.terms.way import NO_WAY, Way
from bawn.wire import Route, wire
from bawn.wire.documents import document
from bawn.wire.objects import ObjectCall

SCRIPTS = "scripts"
"""The stage from which on a call that a script makes is seen: those before it have seen the call that it stands for."""


class Trace(Value, frozen=True):
    """What one stage did."""

    stage: str
    action: str
    """`read`, `changed` or `answered`."""
    microseconds: int

    def __str__(self) -> str:
        return f"{self.action} {self.microseconds} us"


class Prepared(Value, frozen=True):
    """A call that passed all request stages. Built here alone."""

    admitted: Admitted
    exchange: Exchange
    target: Target
    given: Given | None
    views: tuple[View, ...]
    traces: tuple[Trace, ...]
    asked: Asked


class Pipeline:
    """The stages of one configuration; replaced as a whole on reload."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        permissions: Permissions,
        sessions: Sessions | None = None,
        times: StageTimes | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._stages = stages
        self._permissions = permissions
        self._sessions = sessions or Sessions()
        self._times = times or StageTimes()
        self._clock = clock or (lambda: 0.0)
        self._behind = next((at for at, stage in enumerate(stages) if stage.name == SCRIPTS), 0)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self._stages)

    def asked(self, admitted: Admitted, exchange: Exchange, way: Way = NO_WAY) -> Asked:
        """What the stages see of a call; `way` are the scripts that are before it."""
        raw = admitted.raw
        asked = Asked(
            raw.id,
            admitted.container,
            exchange,
            raw.headers,
            self._sessions.find,
            document,
            admitted.depth,
            raw.method,
            raw.path,
            way,
        )
        if raw.way is not None:
            asked.first = asked.passed = len(self._stages) if raw.way.by_stage else self._behind
        return asked

    async def prepare(self, admitted: Admitted, asked: Asked) -> Prepared:
        if all(_rests(stage, asked) for stage in self._stages[asked.first :]):
            target = self._permissions.permit(admitted.container, asked.exchange)
            return Prepared(admitted, asked.exchange, target, None, (), (), asked)
        traces: list[Trace] = []
        given: Given | None = None
        for stage in self._stages[asked.first :]:
            asked.passed += 1
            if _rests(stage, asked):
                continue
            asked.seen = True
            began = self._clock()
            given = await stage.request(asked)
            changed = asked.changed
            if changed:
                asked.settled(_read_anew(asked, admitted.raw.route))
            self._trace(
                traces, stage.name, "answered" if given is not None else "changed" if changed else "read", began
            )
            if given is not None:
                break
        if given is not None and given.alone:
            # Whatever model was asked for that answer has been permitted, under its own name.
            target = Target(SCRIPTS, asked.exchange.model)
        else:
            target = self._permissions.permit(admitted.container, asked.exchange)
        return Prepared(admitted, asked.exchange, target, given, self._views(asked), tuple(traces), asked)

    def again(self, prepared: Prepared, body: bytes) -> Prepared:
        """The same call with another body, which Bawn made: judged as every other, seen by no stage a second time."""
        raw = prepared.admitted.raw
        exchange = wire(prepared.exchange.wire).read_request(named(raw.route, prepared.exchange.model), body)
        # Where it was answered the first time, which may be another target than the client's name stands for.
        again = structs.replace(exchange, model=prepared.target.name)
        target = self._permissions.permit(prepared.admitted.container, again)
        return Prepared(prepared.admitted, exchange, target, None, prepared.views, (), prepared.asked)

    async def prepare_object(
        self, admitted: Admitted, asked: Asked, call: ObjectCall, keepers: Sequence[str]
    ) -> Prepared:
        """As `prepare`, for a call about an object that a provider keeps: stages may look at it and refuse."""
        exchange = asked.exchange
        traces: list[Trace] = []
        asked.seen = bool(self._stages[asked.first :])
        for stage in self._stages[asked.first :]:
            asked.passed += 1
            began = self._clock()
            if await stage.request(asked) is not None or asked.changed:
                raise Fault("stage.refused", f"The stage {stage.name!r} would change a call about a kept object.")
            self._trace(traces, stage.name, "read", began)
        target = self._permissions.permit_object(admitted.container, exchange, call, keepers)
        return Prepared(admitted, exchange, target, None, self._views(asked), tuple(traces), asked)

    def over(self, asked: Asked, ending: Ending) -> None:
        """The call has ended: every stage that it came to is told, and of the others those that want to know."""
        for stage in self._stages[asked.first : asked.passed]:
            stage.over(asked, ending)
        for stage in self._stages[asked.passed :]:
            if (missed := getattr(stage, "missed", None)) is not None:
                missed(asked, ending)

    def remember(self, asked: Asked, said: bytes, streamed: Sequence[bytes]) -> None:
        """What was answered in the end, by which the conversation is known again."""
        if said or streamed:
            self._sessions.sent(asked, said, streamed)

    def _views(self, asked: Asked) -> tuple[View, ...]:
        """Of the stages that the request came to, the last one first: answers go back the way that requests came."""
        seen = reversed(self._stages[asked.first : asked.passed])
        return tuple(view for stage in seen if (view := stage.view(asked)) is not None)

    def _trace(self, traces: list[Trace], stage: str, action: str, began: float) -> None:
        took = round((self._clock() - began) * 1_000_000)
        self._times.add(stage, took)
        traces.append(Trace(stage, action, took))


def _rests(stage: Stage, asked: Asked) -> bool:
    """Whether a stage that is always there has nothing to do with a call; most calls meet no other."""
    if stage.name == SCRIPTS:
        return not asked.way.ahead
    return bool(getattr(stage, "rests", False))


def _read_anew(asked: Asked, route: Route) -> Exchange:
    """What the changed document says, as the wire's own reader reads it."""
    changed = asked.document
    assert changed is not None
    return wire(asked.exchange.wire).read_request(named(route, changed.model), changed.body())


def named(route: Route, model: str) -> Route:
    """The route with the model in it, where the wire has it in the path."""
    return Route(route.endpoint, route.wire, model, route.stream, route.object) if route.model else route
