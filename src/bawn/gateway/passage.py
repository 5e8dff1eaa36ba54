"""By which wire and path a call reaches its provider: as the bytes it came as, or carried to another wire.

Settled before anything is on record as sent, since what cannot be carried is refused.
"""

from __future__ import annotations

from functools import lru_cache

from bawn.gateway.pipeline import Prepared
from bawn.gateway.providers import Address, Serving, serving
from bawn.gateway.settings import ProviderKind
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.value import Value
from bawn.translation.carriage import Carriage, Destination
from bawn.translation.thoughts import KeptThoughts

DROPPED = b"x-bawn-dropped"
_OLDER = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.SCRIPTED)
"""Kinds whose servers know `max_tokens` and may not know what came after it."""


class Passage(Value, frozen=True):
    """Built here alone."""

    serving: Serving
    carriage: Carriage | None
    """What carries the call between two wires; None where the provider speaks the client's."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What the client is told of it beside the answer."""
    detail: tuple[tuple[str, str], ...] = ()
    """What is on record of it."""


def passage(prepared: Prepared, address: Address, thoughts: KeptThoughts) -> Passage:
    """Faults `request.wire_mismatch`, `request.not_translatable` and `request.invalid`."""
    exchange, target = prepared.exchange, prepared.target
    native = _as_it_is(address, exchange.endpoint, exchange.wire, target.model, exchange.stream)
    found = native.serving
    if not found.translated:
        return native
    destination = Destination(
        found.wire,
        target.model,
        older=address.kind in _OLDER,
        lacks=address.lacks,
        ids=address.kind is not ProviderKind.VERTEX,
    )
    carriage = Carriage(exchange, destination, prepared.admitted.container.uuid, thoughts)
    detail = ("translated", f"{carriage.client} to {carriage.target}")
    if not carriage.dropped:
        return Passage(found, carriage, detail=(detail,))
    dropped = ", ".join(carriage.dropped)
    return Passage(found, carriage, ((DROPPED, dropped.encode("ascii")),), (detail, ("dropped", dropped)))


@lru_cache(1024)
def _as_it_is(address: Address, endpoint: Endpoint, wire: WireName, model: str, stream: bool) -> Passage:
    return Passage(serving(address, endpoint, wire, model, stream=stream), None)


def accepted(speaks: WireName, *, stream: bool) -> bytes:
    """The type of answer that is asked for."""
    if not stream:
        return b"application/json"
    return b"application/vnd.amazon.eventstream" if speaks is WireName.CONVERSE else b"text/event-stream"
