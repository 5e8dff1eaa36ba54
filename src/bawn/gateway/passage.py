"""By which wire and path a call reaches its provider: as the bytes it came as, or carried to another wire.

Settled before anything is on record as sent, since what cannot be carried is refused.
"""

from __future__ import annotations

from bawn.gateway.pipeline import Prepared
from bawn.gateway.providers import Address, Serving, serving
from bawn.gateway.settings import ProviderKind
from bawn.terms.exchange import WireName
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

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the client is told of it beside the answer."""
        if self.carriage is None or not self.carriage.dropped:
            return []
        return [(DROPPED, ", ".join(self.carriage.dropped).encode("ascii"))]

    @property
    def detail(self) -> tuple[tuple[str, str], ...]:
        """What is on record of it."""
        if self.carriage is None:
            return ()
        dropped = (("dropped", ", ".join(self.carriage.dropped)),) if self.carriage.dropped else ()
        return (("translated", f"{self.carriage.client} to {self.carriage.target}"), *dropped)


def passage(prepared: Prepared, address: Address, thoughts: KeptThoughts) -> Passage:
    """Faults `request.wire_mismatch`, `request.not_translatable` and `request.invalid`."""
    exchange, target = prepared.exchange, prepared.target
    found = serving(address, exchange.endpoint, exchange.wire, target.model, stream=exchange.stream)
    if not found.translated:
        return Passage(found, None)
    container = prepared.admitted.container.uuid
    destination = Destination(
        found.wire,
        target.model,
        older=address.kind in _OLDER,
        lacks=address.lacks,
        ids=address.kind is not ProviderKind.VERTEX,
    )
    return Passage(found, Carriage(exchange, destination, container, thoughts))


def accepted(speaks: WireName, *, stream: bool) -> bytes:
    """The type of answer that is asked for."""
    if not stream:
        return b"application/json"
    return b"application/vnd.amazon.eventstream" if speaks is WireName.CONVERSE else b"text/event-stream"
