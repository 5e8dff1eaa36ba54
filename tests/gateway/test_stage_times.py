"""What the stages cost is counted."""

from __future__ import annotations

import pytest

from bawn.gateway.stage_times import StageTimes


@pytest.mark.parametrize(("times", "p50", "p99"), [([3], 4, 4), ([0, 0, 0], 1, 1), ([10] * 98 + [1000] * 2, 16, 1024)])
def test_percentiles_are_at_most_what_was_counted_and_less_than_twice_as_much(
    times: list[int], p50: int, p99: int
) -> None:
    counted = StageTimes()
    for each in times:
        counted.add("cache", each)
    [cache] = counted.read()
    assert (cache.stage, cache.count, cache.total_us) == ("cache", len(times), sum(times))
    assert (cache.p50_us, cache.p99_us) == (p50, p99)


def test_times_of_any_size_and_sign_are_counted() -> None:
    counted = StageTimes()
    for each in (-5, 2**40):
        counted.add("odd", each)
    assert counted.read()[0].count == 2
