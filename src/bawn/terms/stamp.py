"""Moments as text, many a second: RFC 3339 in UTC, of a fixed width, so that they sort as text.

Of two moments in one second only the fraction differs; the text before it is kept from the moment before.
"""

from __future__ import annotations

from datetime import UTC, datetime


class Stamps:
    """Writes moments; ValueError for one without a time zone."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = datetime.min.replace(tzinfo=UTC)
        self._text = ""

    def milliseconds(self, moment: datetime) -> str:
        """As `2026-04-23T10:15:00.123Z`."""
        fraction = self._fraction(moment)  # first, since it keeps the text
        return f"{self._text}.{fraction // 1000:03d}Z"

    def microseconds(self, moment: datetime) -> str:
        """As `2026-04-23T10:15:00.123456Z`."""
        fraction = self._fraction(moment)
        return f"{self._text}.{fraction:06d}Z"

    def _fraction(self, moment: datetime) -> int:
        """Microseconds of the second whose text is kept; of another second that one is kept first."""
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be written")
        since = moment - self._second
        if since.days or since.seconds:
            moment = moment.astimezone(UTC)
            self._second = moment.replace(microsecond=0)
            self._text = moment.isoformat()[:19]
            return moment.microsecond
        return since.microseconds
