"""Where conversations stand: kept for each container by itself."""

from __future__ import annotations

from bawn.enforcement import keys
from bawn.enforcement.standing import MOST, Standings
from bawn.terms.toolcall import ToolCall

CALL = ToolCall("c1", "bash", "{}")


def test_a_container_that_tells_of_sessions_without_end_makes_no_other_forget() -> None:
    standings = Standings()
    mine = standings.report("dev", "ses")
    mine.proposed(CALL, "5")
    mine.title = "A plan"
    for at in range(5 * MOST):
        standings.report("flood", f"s{at}")
    kept = standings.of("dev", "ses")
    assert kept is mine
    assert (kept.place("c1"), kept.title) == ("5", "A plan")


def test_of_one_container_those_that_rest_longest_are_forgotten() -> None:
    standings = Standings()
    for session in ("old", "used"):
        standings.report("dev", session).proposed(CALL, "5")
    for at in range(MOST - 1):
        standings.report("dev", f"s{at}")
        standings.of("dev", "used")
    for session, place in (("used", "5"), ("old", keys.UNKNOWN)):
        standing = standings.of("dev", session)
        assert standing is not None
        assert standing.place("c1") == place


def test_nothing_is_kept_of_a_container_that_has_not_reported_or_is_no_more() -> None:
    standings = Standings()
    assert standings.of("dev", "ses") is None
    assert not standings.any
    standings.report("dev", "ses").proposed(CALL, "5")
    standings.forget("dev")
    assert standings.of("dev", "ses") is None
    assert not standings.any
