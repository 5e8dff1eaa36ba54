"""Times as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from bawn.cli.moment import ahead, back, span

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [("2h", timedelta(hours=2)), ("1h30m", timedelta(minutes=90)), ("7d", timedelta(days=7)), ("1w", timedelta(7))],
)
def test_a_length_is_read(text: str, length: timedelta) -> None:
    assert span(text) == length
    assert ahead(text, NOON) == NOON + length
    assert back(text, NOON) == NOON - length


@pytest.mark.parametrize("text", ["2030-01-31T12:00Z", "2030-01-31T12:00", "2030-01-31 13:00+01:00"])
def test_a_date_is_read_and_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert ahead(text, NOON) == datetime(2030, 1, 31, 12, tzinfo=UTC)


@given(st.one_of(st.text(), st.from_regex(r"\d{1,30}[smhdw]", fullmatch=True)))
def test_anything_else_is_wrong_usage(text: str) -> None:
    with suppress(typer.BadParameter):
        assert ahead(text, NOON).tzinfo is not None
