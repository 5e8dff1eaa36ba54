"""What a transform has done since the start, as numbers with names; kept over reloads of the configuration."""

from __future__ import annotations


class Counts:
    """Numbers of one transform. A name is there from its first count on."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, name: str, number: int = 1) -> None:
        self._numbers[name] = self._numbers.get(name, 0) + number

    def __getitem__(self, name: str) -> int:
        return self._numbers.get(name, 0)

    def all(self) -> dict[str, int]:
        return dict(sorted(self._numbers.items()))
