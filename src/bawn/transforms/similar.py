"""Answers by the meaning of their question: which question that was asked before is near enough to this one.

Only the last words of the user may differ; everything else of two requests must be equal, so a group is what shares a key
without those words. Within a group the nearest is taken, by the cosine of their embeddings. Two questions whose figures,
quoted texts or names of code differ are never near, whatever their embeddings say: "port 8080" and "port 8081" are one
direction in every embedding and two questions.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import mul

from msgspec import Struct

from bawn.transforms.entries import Entry

_EXACT = re.compile(
    r"`[^`]*`|\"[^\"]*\"|[\w./:@#$%+-]*[\d_/@#$%][\w./:@#$%+-]*|\b(?:not?|never|without|except)\b", re.IGNORECASE
)
"""What must be equal letter for letter: quotations, anything with a figure or a sign of code, words that turn a meaning."""


class _Asked(Struct):
    direction: array[float]
    exact: tuple[str, ...]
    entry: Entry


class Similar:
    """Bounded: the group that was longest unused goes first, and of a group the oldest question."""

    def __init__(self) -> None:
        self._groups: OrderedDict[bytes, list[_Asked]] = OrderedDict()
        self._most = 0
        self._most_of_group = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def bound(self, most: int, most_of_group: int) -> None:
        self._most, self._most_of_group = most, most_of_group
        self._shrink()

    def nearest(
        self, group: bytes, text: str, direction: array[float], threshold: float, now: float
    ) -> tuple[float, Entry] | None:
        """The nearest question at or over the threshold, and its answer."""
        asked = self._groups.get(group)
        if asked is None:
            return None
        self._groups.move_to_end(group)
        exact = exact_parts(text)
        found: tuple[float, Entry] | None = None
        for each in asked:
            if each.entry.expires <= now or each.exact != exact or len(each.direction) != len(direction):
                continue
            cosine = sum(map(mul, each.direction, direction))
            if cosine >= threshold and (found is None or cosine > found[0]):
                found = (cosine, each.entry)
        return found

    def put(self, group: bytes, text: str, direction: array[float], entry: Entry) -> None:
        asked = self._groups.setdefault(group, [])
        self._groups.move_to_end(group)
        asked.append(_Asked(direction, exact_parts(text), entry))
        self._count += 1
        if len(asked) > self._most_of_group:
            del asked[0]
            self._count -= 1
        self._shrink()

    def forget(self, wanted: Callable[[Entry], bool]) -> int:
        """Drop all whose answer fits; how many they were."""
        before = self._count
        for group, asked in list(self._groups.items()):
            kept = [each for each in asked if not wanted(each.entry)]
            self._count -= len(asked) - len(kept)
            if kept:
                self._groups[group] = kept
            else:
                del self._groups[group]
        return before - self._count

    def _shrink(self) -> None:
        while self._groups and self._count > self._most:
            _, asked = self._groups.popitem(last=False)
            self._count -= len(asked)


def direction(numbers: Sequence[float]) -> array[float] | None:
    """An embedding of length one; None where it is none."""
    length = math.sqrt(sum(map(mul, numbers, numbers)))
    if not length or not math.isfinite(length):
        return None
    return array("f", [number / length for number in numbers])


def exact_parts(text: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in _EXACT.findall(text))
