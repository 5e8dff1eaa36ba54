"""How often a container may do something, and what another one's doing has to do with it: nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.rules_house import Hands

from bawn.gateway.rate import Rate


def test_so_many_at_once_and_then_one_by_one() -> None:
    clock = Hands()
    rate = Rate(clock, per_second=10, at_once=5)
    assert [rate.wait("a") for _ in range(5)] == [0] * 5
    assert 0 < rate.wait("a") <= 0.1
    assert rate.wait("b") == 0
    clock.forward(0.11)
    assert rate.wait("a") == 0
    assert rate.wait("a") > 0
    clock.forward(60)
    assert [rate.wait("a") > 0 for _ in range(6)] == [False] * 5 + [True]


def test_containers_that_rest_are_forgotten() -> None:
    clock = Hands()
    rate = Rate(clock, per_second=10, at_once=5)
    for at in range(3000):
        rate.wait(f"c{at}")
        clock.forward(0.2)
    assert len(rate._full) <= 1000


@given(st.lists(st.floats(0, 2), max_size=200))
def test_no_stretch_of_time_holds_more_than_there_may_be(pauses: list[float]) -> None:
    clock = Hands()
    rate = Rate(clock, per_second=10, at_once=5)
    taken: list[float] = []
    for pause in pauses:
        clock.forward(pause)
        if not rate.wait("a"):
            taken.append(clock.monotonic())
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 5 + (taken[last] - began) * 10 + 0.01
