"""How often each container may do something: so many a second over time, and some more at once."""

from __future__ import annotations

from bawn.terms.clock import Clock

_MANY = 1000
"""Containers from which on those that rest are forgotten."""


class Rate:
    """A bucket for each container, kept as the moment at which it will be full again."""

    def __init__(self, clock: Clock, per_second: float, at_once: int) -> None:
        self._clock = clock
        self._pause = 1 / per_second
        self._slack = (at_once - 1) * self._pause
        self._full: dict[str, float] = {}

    def wait(self, container: str) -> float:
        """Takes one: 0. Where there is none, the seconds until there will be."""
        now = self._clock.monotonic()
        full = max(self._full.get(container, now), now)
        if full - now > self._slack:
            return full - now - self._slack
        if len(self._full) >= _MANY:
            self._full = {name: moment for name, moment in self._full.items() if moment > now}
        self._full[container] = full + self._pause
        return 0.0
