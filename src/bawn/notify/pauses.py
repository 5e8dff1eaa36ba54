"""How long is waited before something is sent once more."""

from __future__ import annotations

import secrets

LONGEST_PAUSE_S = 60.0
_uniform = secrets.SystemRandom().uniform


def pause(attempt: int, first_s: float) -> float:
    """Seconds after the attempt of this number (1 is the first): twice as long each time, and not for all senders the same,
    so that they do not come back together after an outage."""
    return min(first_s * 2.0 ** (attempt - 1), LONGEST_PAUSE_S) * _uniform(0.8, 1.2)
