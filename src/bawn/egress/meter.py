"""How much one connection moved, for how long, and what is left of what its container may send by that rule.

The sum of a container and rule outlives connections; otherwise a budget would end with each.
"""

from __future__ import annotations

from collections.abc import Callable


class Spent:
    """Bytes that one container sent by one rule."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Meter:
    """Counts one connection. `exceed` is called when the budget of bytes is used up; what exceeds it does not go."""

    __slots__ = ("_exceed", "_limit", "_monotonic", "_spent", "began", "down", "last", "up")

    def __init__(
        self, spent: Spent, bytes_limit: int | None, monotonic: Callable[[], float], exceed: Callable[[], None]
    ) -> None:
        self._spent = spent
        self._limit = bytes_limit
        self._monotonic = monotonic
        self._exceed = exceed
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
