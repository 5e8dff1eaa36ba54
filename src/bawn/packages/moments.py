"""When something was published, as registries write it."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: object) -> float | None:
    """Seconds since 1970; None for what is no time."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
