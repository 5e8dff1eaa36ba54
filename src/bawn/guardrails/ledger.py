"""Reserve before, settle after: the seam by which every limit of a call holds.

Each attempt at a provider reserves first; what cannot be reserved is not sent. Reserving is one
synchronous step in the event loop, so two calls can never both take the last place. A reservation is settled
exactly once, with what was used or with nothing; settling it again is a mistake of the caller, which
is logged and changes nothing, so that a mistake can never free a place twice.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from bawn.errors import Fault
from bawn.terms.exchange import Usage

log = structlog.get_logger(__name__)


class Reservation:
    """A place that a running attempt holds. Made by a ledger alone."""

    __slots__ = ("container_uuid", "settled")

    def __init__(self, container_uuid: str) -> None:
        self.container_uuid = container_uuid
        self.settled = False


class Ledger(Protocol):
    def reserve(self, container_uuid: str) -> Reservation:
        """A place for one attempt of this container. Fault `limit.…` when there is none."""

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """The attempt is over. `usage` is what it used, or None when nothing is known."""


class ConcurrencyLedger:
    """How many calls of a container run at the same time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """May be changed at any time; what runs already goes on."""
        self._running: dict[str, int] = {}

    def reserve(self, container_uuid: str) -> Reservation:
        running = self._running.get(container_uuid, 0)
        if running >= self.limit:
            raise Fault(
                "limit.concurrency",
                f"{running} calls of this container are running, and no more may at the same time.",
                cause=f"guardrails.concurrent_calls is {self.limit}",
            )
        self._running[container_uuid] = running + 1
        return Reservation(container_uuid)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        if reservation.settled:
            log.error("ledger.settled_twice", container=reservation.container_uuid)
            return
        reservation.settled = True
        left = self._running[reservation.container_uuid] - 1
        if left:
            self._running[reservation.container_uuid] = left
        else:
            # No entry for a container that does nothing: the ledger is as big as what runs.
            del self._running[reservation.container_uuid]

    def running(self, container_uuid: str) -> int:
        return self._running.get(container_uuid, 0)
