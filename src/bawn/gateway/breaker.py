"""When a provider or a key is left alone: a circuit breaker, as a state machine without a clock of its own.

Closed, it counts. It opens when enough of the calls in its window have failed: a number, and half of all of them, so that
one caller whose own requests fail cannot close a provider for those whose requests are answered. After a time one call
may try, and what becomes of that call decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from bawn.gateway.failover_settings import Breaker as Settings

MOST_COUNTED = 4096
"""Tries that one breaker remembers, however many come within its window."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Try:
    """One call that a breaker let through. It says once how it went; saying it again changes nothing."""

    __slots__ = ("_breaker", "_probe")

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker: Breaker | None = breaker
        self._probe = probe

    def over(self, now: float, *, well: bool | None) -> None:
        """`well` is None when it says nothing about the provider: it was given up, or the request was at fault."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.ended(now, well, probe=self._probe)


class Breaker:
    __slots__ = ("_opened", "_probing", "_settings", "_tries")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tries: deque[tuple[float, bool]] = deque(maxlen=MOST_COUNTED)
        self._opened: float | None = None
        self._probing = False

    def state(self, now: float) -> State:
        if self._opened is None:
            return State.CLOSED
        return State.OPEN if now - self._opened < self._settings.open_seconds else State.HALF_OPEN

    def admits(self, now: float) -> bool:
        state = self.state(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._probing)

    def begin(self, now: float) -> Try | None:
        """A call goes out; None when it must not. In the half-open state the one call that is let through tries for all."""
        if not self.admits(now):
            return None
        probe = self._opened is not None
        self._probing = self._probing or probe
        return Try(self, probe=probe)

    def waits(self, now: float) -> float:
        """Seconds until a call may try; 0 when one may now."""
        return max(0.0, self._opened + self._settings.open_seconds - now) if self._opened is not None else 0.0

    def settle(self, settings: Settings) -> None:
        """Other settings hold from now on."""
        self._settings = settings

    def ended(self, now: float, well: bool | None, *, probe: bool) -> None:
        """By `Try.over` alone."""
        if probe:
            self._probing = False
            if well is not None:
                self._opened = None if well else now
                self._tries.clear()
            return
        if well is None or self._opened is not None:
            # What was on its way when it opened says nothing that is not known.
            return
        self._tries.append((now, well))
        while self._tries and now - self._tries[0][0] > self._settings.window_seconds:
            self._tries.popleft()
        failures = sum(not each for _, each in self._tries)
        if not well and failures >= self._settings.failures and failures * 2 >= len(self._tries):
            self._opened = now
            self._tries.clear()


class Breakers:
    """One for each provider and one for each of its keys; lives longer than a configuration, so that a reload closes none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._settings = Settings()
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def settle(self, settings: Settings) -> None:
        self._settings = settings
        for breaker in self._breakers.values():
            breaker.settle(settings)

    def of(self, provider: str, key: str = "") -> Breaker:
        """Of a provider, or of one of its keys by id."""
        breaker = self._breakers.get((provider, key))
        if breaker is None:
            breaker = self._breakers[provider, key] = Breaker(self._settings)
        return breaker

    def barred(self, provider: str) -> frozenset[str]:
        """The keys of a provider that are not to be used now."""
        now = self._clock()
        return frozenset(
            key
            for (name, key), breaker in self._breakers.items()
            if key and name == provider and not breaker.admits(now)
        )

    def keys(self, provider: str) -> tuple[frozenset[str], dict[str, Try]]:
        """The keys of a provider that are not to be used now, and a try for each that one call may try: this one. What it
        did not use, it gives back by saying nothing about it."""
        now = self._clock()
        barred, probes = set(), {}
        for (name, key), breaker in self._breakers.items():
            if not key or name != provider or breaker.state(now) is State.CLOSED:
                continue
            probe = breaker.begin(now)
            if probe is None:
                barred.add(key)
            else:
                probes[key] = probe
        return frozenset(barred), probes
