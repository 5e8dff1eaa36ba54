"""The stages a request passes before it is sent, in the configured order.

A stage may read (return the exchange it got), change (return another), answer (return `Given`), stall
(await) or refuse (raise a Fault). Whatever a stage did, `permissions` judges the outcome last, so that no
stage can put in what the container may not ask for; an error in a stage is an error of the call, never
skipped. Each stage leaves a trace; the traces are part of the record.

A stage that wants to see the answer returns a `FrameStage` from `frames`; it gets every frame of a
stream, or the whole plain answer as one frame, before the tool gate, which is always last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.admission import Admitted
from bawn.gateway.catalogue import Target
from bawn.gateway.permissions import Permissions
from bawn.terms.exchange import Exchange
from bawn.terms.frames import Frame
from bawn.terms.value import Value
from bawn.wire.objects import ObjectCall


class Given(Value, frozen=True):
    """An answer that a stage gives instead of the provider, in the client's wire: JSON, or SSE for a stream."""

    data: bytes


class Trace(Value, frozen=True):
    """What one stage did."""

    stage: str
    action: str
    """`read`, `changed` or `answered`."""


class FrameStage(Protocol):
    """A stage's view of one answer."""

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        """The frames that go on instead of this one; raise a Fault to end the answer."""


class Stage(Protocol):
    name: str

    async def request(self, admitted: Admitted, exchange: Exchange) -> Exchange | Given:
        """The exchange that goes on; raise a Fault to refuse."""

    def frames(self, exchange: Exchange) -> FrameStage | None:
        """A view of the answer, or None when this stage does not look at answers of this exchange."""


class Prepared(Value, frozen=True):
    """A call that passed all request stages. Built here alone."""

    admitted: Admitted
    exchange: Exchange
    target: Target
    given: Given | None
    frame_stages: tuple[FrameStage, ...]
    traces: tuple[Trace, ...]


class Pipeline:
    """The stages of one configuration; replaced as a whole on reload."""

    def __init__(self, stages: tuple[Stage, ...], permissions: Permissions) -> None:
        self._stages = stages
        self._permissions = permissions

    async def prepare(self, admitted: Admitted, exchange: Exchange) -> Prepared:
        traces: list[Trace] = []
        given: Given | None = None
        for stage in self._stages:
            outcome = await stage.request(admitted, exchange)
            if isinstance(outcome, Given):
                given = outcome
                traces.append(Trace(stage.name, "answered"))
                break
            traces.append(Trace(stage.name, "read" if outcome is exchange else "changed"))
            exchange = outcome
        target = self._permissions.permit(admitted.container, exchange)
        views = tuple(view for stage in self._stages if (view := stage.frames(exchange)) is not None)
        return Prepared(admitted, exchange, target, given, views, tuple(traces))

    async def prepare_object(
        self, admitted: Admitted, exchange: Exchange, call: ObjectCall, keepers: Sequence[str]
    ) -> Prepared:
        """As `prepare`, for a call about an object that a provider keeps: stages may look at it and refuse."""
        traces: list[Trace] = []
        for stage in self._stages:
            if await stage.request(admitted, exchange) is not exchange:
                raise Fault("stage.refused", f"The stage {stage.name!r} would change a call about a kept object.")
            traces.append(Trace(stage.name, "read"))
        target = self._permissions.permit_object(admitted.container, exchange, call, keepers)
        views = tuple(view for stage in self._stages if (view := stage.frames(exchange)) is not None)
        return Prepared(admitted, exchange, target, None, views, tuple(traces))
