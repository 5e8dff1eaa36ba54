"""How long the stages take: counts per stage, in buckets of doubling length, so that adding one costs next to nothing."""

from __future__ import annotations

from bawn.terms.value import Value

_BUCKETS = 32


class StageTime(Value, frozen=True):
    stage: str
    count: int
    total_us: int
    p50_us: int
    """At most; the upper end of the bucket that it falls into, as the other percentile."""
    p99_us: int


class StageTimes:
    """Of all stages, since the process started."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._totals: dict[str, int] = {}

    def add(self, stage: str, microseconds: int) -> None:
        counts = self._counts.get(stage)
        if counts is None:
            counts = self._counts[stage] = [0] * _BUCKETS
            self._totals[stage] = 0
        counts[min(max(microseconds, 0).bit_length(), _BUCKETS - 1)] += 1
        self._totals[stage] += microseconds

    def read(self) -> list[StageTime]:
        return [
            StageTime(stage, sum(counts), self._totals[stage], _percentile(counts, 0.5), _percentile(counts, 0.99))
            for stage, counts in self._counts.items()
        ]


def _percentile(counts: list[int], share: float) -> int:
    wanted, seen = share * sum(counts), 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return int(2**bucket)
    return 0
