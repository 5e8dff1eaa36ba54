"""What several answers used, told as one: the counts of a wire's own words are added, whatever they are named."""

from __future__ import annotations

from typing import Any


def summed(first: Any, second: Any) -> Any:
    """Both together: numbers are added and lists joined, within objects name by name. Of anything else the second holds,
    and what one alone tells stays as it is."""
    if first is None or second is None:
        return first if second is None else second
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: summed(first.get(name), second.get(name)) for name in (first | second)}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    return first + second if _is_count(first) and _is_count(second) else second


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
