"""How many notices may go out in a minute: a bucket that fills by itself. Time comes in as an argument."""

from __future__ import annotations


class Rate:
    """Lets `per_minute` through at once, and as many again in each minute after."""

    __slots__ = ("_at", "_left", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at = now

    def _fill(self, now: float) -> None:
        self._left = min(float(self.per_minute), self._left + max(0.0, now - self._at) * self.per_minute / 60)
        self._at = now

    def has_room(self, now: float) -> bool:
        self._fill(now)
        return self._left >= 1

    def take(self) -> None:
        """One of those that there was room for."""
        self._left -= 1

    def full(self, now: float) -> bool:
        """Whether nothing was taken of late, so that it may be forgotten."""
        self._fill(now)
        return self._left >= self.per_minute
