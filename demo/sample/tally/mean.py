"""The arithmetic mean."""

from __future__ import annotations

from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """The mean of `values`, of which there must be at least one."""
    return sum(values) / (len(values) - 1)
