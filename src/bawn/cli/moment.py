"""Times as a person writes them: `2h`, `7d`, `1h30m`, or `2030-01-31T12:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(?:\d+[smhdw])+")


def span(text: str) -> timedelta:
    """A length of time."""
    if not _SPAN.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is not like 2h, 7d or 1h30m")
    try:
        return sum(
            (timedelta(**{_UNITS[unit]: int(n)}) for n, unit in re.findall(r"(\d+)([smhdw])", text)), timedelta()
        )
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


def seconds(text: str) -> float | None:
    """A length of time in seconds; None when nothing was said."""
    return span(text).total_seconds() if text else None


def ahead(text: str, now: datetime) -> datetime:
    """A time that a length from now, or a date, means."""
    return shifted(text, now, 1)


def back(text: str, now: datetime) -> datetime:
    """A time that a length until now, or a date, means."""
    return shifted(text, now, -1)


def shifted(text: str, now: datetime, sign: int) -> datetime:
    if _SPAN.fullmatch(text):
        try:
            return now + sign * span(text)
        except OverflowError:
            raise typer.BadParameter(f"{text!r} is too long") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 2h nor like 2030-01-31T12:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
