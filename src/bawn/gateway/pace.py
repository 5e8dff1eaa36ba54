"""How long is waited before the next try, and how long a client waits at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime

from bawn.gateway.failover_settings import Backoff

Headers = Sequence[tuple[bytes, bytes]]
_PATIENCE = (b"x-stainless-timeout", b"x-stainless-read-timeout")
"""By which official packages say after how many seconds they give up."""
_MARGIN = 0.95
"""Of a client's patience: what is left is for the way back."""


def asked_wait(headers: Headers, now: datetime) -> float | None:
    """Seconds of `retry-after-ms` or `retry-after`, which is seconds or a date (RFC 9110 §10.2.3); None without one."""
    found = {
        name: value.decode("latin-1").strip() for name, value in reversed(headers) if name.startswith(b"retry-after")
    }
    millis = found.get(b"retry-after-ms", "")
    if millis.isascii() and millis.isdecimal() and len(millis) < 12:
        return int(millis) / 1000
    said = found.get(b"retry-after")
    if said is None:
        return None
    try:
        if said.isascii() and said.isdecimal():
            return float(said[:12])
        return max(0.0, (parsedate_to_datetime(said) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def backoff(settings: Backoff, tries: int, jitter: Callable[[], float]) -> float:
    """Seconds before the next try after `tries` of them: any part of what doubles, so that callers do not come in step."""
    most = min(settings.cap_seconds, settings.base_seconds * 2.0 ** min(tries - 1, 64))
    return most * jitter()


def patience(headers: Headers, configured: float) -> float:
    """Seconds in which the call has to be answered."""
    for name, value in headers:
        said = value.decode("latin-1")
        if name in _PATIENCE and len(said) < 12 and said.isascii() and said.replace(".", "", 1).isdecimal():
            configured = min(configured, max(0.1, float(said) * _MARGIN))
    return configured
