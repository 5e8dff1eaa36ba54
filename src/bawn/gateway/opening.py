"""Written down before it happens: a call is sent only with the id of its record in hand."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from bawn.errors import Fault
from bawn.gateway.pipeline import Prepared
from bawn.terms.event import Event
from bawn.terms.exchange import Exchange, Fetch
from bawn.terms.principal import label
from bawn.terms.value import Value


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """The id of the record, once it is as durable as configured. Fault `audit.unavailable` otherwise."""


_MOST_WAYS = 64
"""Each has a record of its own, which a call of many thousand addresses could fill the disk with."""


class Opened(Value, frozen=True):
    """A call whose record exists. Built here alone; `upstream.send` takes nothing else."""

    prepared: Prepared
    record_id: str


async def open_record(prepared: Prepared, recorder: Recorder, more: tuple[tuple[str, str], ...] = ()) -> Opened:
    """The call, on record; `more` is what is to be known of its way beside it."""
    asked, parent = prepared.asked, prepared.admitted.raw.parent
    stages = tuple((f"stage.{trace.stage}", str(trace)) for trace in prepared.traces)
    stands_for: tuple[tuple[str, str], ...] = (("for", parent),) if parent else ()
    record_id = await recorder.record(
        _event("call.opened", prepared, prepared.exchange, (*stages, *asked.notes, *more, *stands_for))
    )
    asked.noted = len(asked.notes)
    await record_ways_out(prepared, prepared.exchange, recorder)
    return Opened(prepared, record_id)


async def open_attempt(
    prepared: Prepared, recorder: Recorder, number: int, more: tuple[tuple[str, str], ...] = ()
) -> Opened:
    """A further try of a call that is on record already, at the target that `prepared` now has."""
    record_id = await recorder.record(
        _event("attempt.opened", prepared, prepared.exchange, (("attempt", str(number)), *more))
    )
    await record_ways_out(prepared, prepared.exchange, recorder)
    return Opened(prepared, record_id)


def _event(name: str, prepared: Prepared, exchange: Exchange, detail: tuple[tuple[str, str], ...]) -> Event:
    raw, container = prepared.admitted.raw, prepared.admitted.container
    return Event(
        event=name,
        endpoint=exchange.endpoint.value,
        method=raw.method,
        api_key_name=f"container-{container.name}",
        model=prepared.target.model,
        provider=prepared.target.provider,
        principal=label(container),
        container=container.uuid,
        call=raw.id,
        detail=detail,
    )


async def record_ways_out(prepared: Prepared, exchange: Exchange, recorder: Recorder) -> None:
    """A record for each thing that the provider may do outside the wall for this call."""
    if not (exchange.hosted_tools or exchange.unknown_tools or exchange.fetches):
        return
    ways = ways_out(exchange)
    if len(ways) > _MOST_WAYS:
        raise Fault("request.invalid", f"The provider would act outside the wall in over {_MOST_WAYS} ways.")
    for way in ways:
        await recorder.record(_event("hosted.allowed", prepared, exchange, way))


def ways_out(exchange: Exchange) -> list[tuple[tuple[str, str], ...]]:
    """What the provider will do outside the wall for this call: its tools by type, what it fetches by host."""
    found: dict[tuple[tuple[str, str], ...], None] = {}
    for kind in (*(tool.type for tool in exchange.hosted_tools), *exchange.unknown_tools):
        field, colon, name = kind.partition(":")
        found[("type", kind), ("field", name if field == "field" and colon else kind)] = None
    hosts: dict[str, Fetch] = {}
    for fetch in exchange.fetches:
        hosts.setdefault(_host(fetch.url), fetch)
    for host, fetch in hosts.items():
        found[("type", "fetch"), ("field", fetch.field), ("host", host)] = None
    return list(found)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"
