"""Tickets for calls on behalf of a container."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.identity.reentry import Reentry
from bawn.terms.principal import Container, Internal

DEV = Container("2b1c6b0e-0000-4000-8000-000000000000", 7, "dev", "default")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0


def test_a_ticket_says_for_whom_and_how_deep() -> None:
    reentry = Reentry(Clock())
    assert reentry.read(reentry.mint(DEV, 2)) == Internal(DEV, 2)


def test_too_deep_is_refused_when_minting() -> None:
    with pytest.raises(Fault) as refused:
        Reentry(Clock(), max_depth=2).mint(DEV, 3)
    assert refused.value.code == "limit.depth"


def test_a_ticket_ends_after_ten_minutes() -> None:
    clock = Clock()
    reentry = Reentry(clock)
    ticket = reentry.mint(DEV, 1)
    clock.time += timedelta(minutes=10)
    with pytest.raises(Fault, match="not authorised"):
        reentry.read(ticket)


def test_a_ticket_of_another_process_is_nothing() -> None:
    with pytest.raises(Fault, match="not authorised"):
        Reentry(Clock()).read(Reentry(Clock()).mint(DEV, 1))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_a_ticket_can_be_changed(place: int, by: int) -> None:
    reentry = Reentry(Clock())
    ticket = reentry.mint(DEV, 1)
    at = place % len(ticket)
    changed = ticket[:at] + chr((ord(ticket[at]) + by) % 256) + ticket[at + 1 :]
    if changed != ticket:
        with pytest.raises(Fault, match="not authorised"):
            reentry.read(changed)


@given(st.text())
def test_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(Fault):
        Reentry(Clock()).read(text)


def test_a_ticket_names_the_container_with_its_role_and_tags() -> None:
    reentry = Reentry(Clock())
    planner = Container(DEV.uuid, 7, "dev", "default", "planner", ("prod",))
    assert reentry.read(reentry.mint(planner, 1)).on_behalf_of == planner
