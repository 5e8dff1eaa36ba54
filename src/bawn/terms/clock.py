"""Time as an argument, so that what depends on it can be tested."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall-clock time in UTC, timezone-aware."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary zero."""
