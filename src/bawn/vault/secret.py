"""A secret that does not print itself."""

from __future__ import annotations

from typing import Never

HIDDEN = "•••"


class Secret:
    """Has to be opened by name (`reveal`), so that every place where a secret becomes text can be searched for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a secret is not copied or pickled")
