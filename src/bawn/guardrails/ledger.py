"""What runs is reserved before it is sent and settled after: the seam of every limit.

A limit that is checked first and counted later is overrun by callers who come at once. So `reserve` checks
and counts in one step that nothing can come between (one event loop, no await), and each reservation is
settled exactly once, whatever becomes of the attempt it was made for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bawn.errors import Fault
from bawn.terms.exchange import Usage


class Reservation:
    """The right to one attempt at a provider. Made by a ledger, settled once."""

    __slots__ = ("container_uuid", "settled")

    def __init__(self, container_uuid: str) -> None:
        self.container_uuid = container_uuid
        self.settled = False


class Ledger(Protocol):
    def reserve(self, container_uuid: str) -> Reservation:
        """The right to one attempt, or Fault `limit.*`."""

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Give it back against what was used; None when nothing is known."""


class ConcurrencyLedger:
    """Limits how many attempts of one container run at once."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._running: dict[str, int] = {}

    def reserve(self, container_uuid: str) -> Reservation:
        running, limit = self._running.get(container_uuid, 0), self._limit()
        if running >= limit:
            raise Fault("limit.concurrency", f"This container has {limit} calls running already.")
        self._running[container_uuid] = running + 1
        return Reservation(container_uuid)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        assert not reservation.settled, "a reservation is settled once"
        reservation.settled = True
        left = self._running[reservation.container_uuid] - 1
        if left:
            self._running[reservation.container_uuid] = left
        else:
            del self._running[reservation.container_uuid]

    def running(self, container_uuid: str) -> int:
        """How many attempts of a container run now."""
        return self._running.get(container_uuid, 0)
