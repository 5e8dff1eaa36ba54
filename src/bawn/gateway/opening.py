"""Written down before it happens: a call is sent only with the id of its record in hand."""

from __future__ import annotations

from typing import Protocol

from bawn.gateway.pipeline import Prepared
from bawn.terms.event import Event
from bawn.terms.principal import label
from bawn.terms.value import Value


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """The id of the record, once it is as durable as configured. Fault `audit.unavailable` otherwise."""


class Opened(Value, frozen=True):
    """A call whose record exists. Built here alone; `upstream.send` takes nothing else."""

    prepared: Prepared
    record_id: str


async def open_record(prepared: Prepared, recorder: Recorder, more: tuple[tuple[str, str], ...] = ()) -> Opened:
    """The call, on record; `more` is what is to be known of its way beside it."""
    raw, container = prepared.admitted.raw, prepared.admitted.container
    record_id = await recorder.record(
        Event(
            event="call.opened",
            endpoint=prepared.exchange.endpoint.value,
            method=raw.method,
            api_key_name=f"container-{container.name}",
            model=prepared.target.model,
            provider=prepared.target.provider,
            principal=label(container),
            container=container.uuid,
            call=raw.id,
            detail=(*((f"stage.{trace.stage}", trace.action) for trace in prepared.traces), *more),
        )
    )
    return Opened(prepared, record_id)
