"""A secret that does not print itself."""

from __future__ import annotations

import json
from typing import Never

HIDDEN = "•••"
_SHORTEST_PART = 16
"""What is shorter could be a word that stands in many a sentence."""


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


def in_one_line(text: str) -> str:
    """A JSON object, as keys of service accounts are, in one line of ASCII; anything else as it is."""
    if text[:1] != "{":
        return text
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def parts(secret: str) -> list[str]:
    """The secret and what of it could be seen by itself: halves around a colon, the private key of a service account."""
    found = [secret]
    if secret[:1] == "{":
        try:
            key = json.loads(secret).get("private_key")
        except (ValueError, RecursionError):
            return found
        return [*found, key] if isinstance(key, str) else found
    if ":" in secret:
        found += [part for part in secret.split(":") if len(part) >= _SHORTEST_PART]
    return found
