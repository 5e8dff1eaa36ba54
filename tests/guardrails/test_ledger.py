"""A limit of calls at the same time holds, whatever happens between reserving and settling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.guardrails.ledger import ConcurrencyLedger, Ledger, Reservation
from bawn.terms.exchange import Usage


def test_the_last_place_is_given_once() -> None:
    ledger: Ledger = ConcurrencyLedger(2)
    first = ledger.reserve("a")
    ledger.reserve("a")
    with pytest.raises(Fault) as caught:
        ledger.reserve("a")
    assert caught.value.code == "limit.concurrency"
    ledger.reserve("b")
    ledger.settle(first, Usage(1, 1))
    ledger.reserve("a")


def test_settling_twice_frees_one_place() -> None:
    ledger = ConcurrencyLedger(2)
    first = ledger.reserve("a")
    ledger.reserve("a")
    ledger.settle(first, None)
    ledger.settle(first, None)
    assert ledger.running("a") == 1


def test_a_lower_limit_holds_for_the_next_call() -> None:
    ledger = ConcurrencyLedger(3)
    held = [ledger.reserve("a") for _ in range(3)]
    ledger.limit = 1
    ledger.settle(held[0], None)
    with pytest.raises(Fault):
        ledger.reserve("a")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())), st.integers(1, 4))
def test_what_is_held_is_what_was_reserved_and_not_settled(steps: list[tuple[str, bool]], limit: int) -> None:
    ledger = ConcurrencyLedger(limit)
    held: dict[str, list[Reservation]] = {"a": [], "b": [], "c": []}
    for uuid, begin in steps:
        if begin and len(held[uuid]) < limit:
            held[uuid].append(ledger.reserve(uuid))
        elif begin:
            with pytest.raises(Fault):
                ledger.reserve(uuid)
        elif held[uuid]:
            ledger.settle(held[uuid].pop(), None)
        assert all(ledger.running(name) == len(places) for name, places in held.items())
    assert len(ledger._running) == sum(bool(places) for places in held.values()), "it is as big as what runs"
