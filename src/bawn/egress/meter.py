"""How much one connection moved, for how long, and what is left of what its container may send to that host.

The sums of a container and host outlive connections; otherwise a budget would end with each.
"""

from __future__ import annotations

from collections.abc import Callable


class Spent:
    """Bytes that one container sent to one host, and seconds that it was connected to it."""

    __slots__ = ("bytes", "seconds")

    def __init__(self) -> None:
        self.bytes = 0
        self.seconds = 0.0


class Meter:
    """Counts one connection. `exceed` is called once, when the budget of bytes is used up."""

    __slots__ = ("_exceed", "_limit", "_monotonic", "_settled", "_spent", "began", "down", "last", "up")

    def __init__(
        self, spent: Spent, bytes_limit: int | None, monotonic: Callable[[], float], exceed: Callable[[], None]
    ) -> None:
        self._spent = spent
        self._limit = bytes_limit
        self._monotonic = monotonic
        self._exceed = exceed
        self._settled = False
        self.up = 0
        """Bytes from the container."""
        self.down = 0
        """Bytes to the container."""
        self.began = self.last = monotonic()

    @property
    def seconds(self) -> float:
        return self._monotonic() - self.began

    def count_up(self, count: int) -> bool:
        self.up += count
        self.last = self._monotonic()
        self._spent.bytes += count
        if self._limit is None or self._spent.bytes <= self._limit:
            return True
        self._exceed()
        return False

    def count_down(self, count: int) -> bool:
        self.down += count
        self.last = self._monotonic()
        return True

    def bound(self, bytes_limit: int | None) -> None:
        """Another rule holds from now on."""
        self._limit = bytes_limit

    def settle(self) -> None:
        """At the end: its time is spent."""
        if not self._settled:
            self._settled = True
            self._spent.seconds += self.seconds
