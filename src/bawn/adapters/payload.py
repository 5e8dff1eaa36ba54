"""The parts of a hook's payload, each of the type that it has to be.

Unknown keys are let pass, since agents grow; what is used and is of another type than the agent writes is refused, because
a reading of it would be a guess.
"""

from __future__ import annotations

from typing import Any

from bawn.errors import Fault
from bawn.wire.json_text import NotPlain, read_object, written

_LONGEST_NAME = 200
"""Characters of a session, a call or a tool: as many as the gateway takes from a header."""


class Payload:
    def __init__(self, body: bytes) -> None:
        """Fault `request.malformed_json`."""
        self._read = read_object(body)

    def text(self, key: str) -> str:
        """A text of any length; empty where there is none. Fault `request.invalid`."""
        value = self._read.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _invalid(key, "has to be a text")
        return value

    def name(self, key: str, *, needed: bool = False) -> str:
        """A short text that names something. Fault `request.invalid`."""
        value = self.text(key)
        if needed and not value:
            raise _invalid(key, "is missing")
        if len(value) > _LONGEST_NAME or not value.isprintable():
            raise _invalid(key, f"has to be at most {_LONGEST_NAME} printable characters")
        return value

    def json(self, key: str) -> str:
        """Anything, as JSON; an empty object where there is nothing. Fault `request.invalid`."""
        value = self._read.get(key)
        return self._written(key, {} if value is None else value)

    def said(self, key: str) -> str:
        """A text as it is, and anything else as JSON. Fault `request.invalid`."""
        value = self._read.get(key)
        if value is None:
            return ""
        return value if isinstance(value, str) else self._written(key, value)

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        """A list of short texts. Fault `request.invalid`."""
        value = self._read.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            raise _invalid(key, f"has to be a list of at most {most} texts")
        if not all(isinstance(each, str) and len(each) <= _LONGEST_NAME for each in value):
            raise _invalid(key, "has to hold short texts")
        return tuple(value)

    @staticmethod
    def _written(key: str, value: Any) -> str:
        try:
            return written(value)
        except NotPlain:
            raise _invalid(key, "cannot be written as JSON") from None


def _invalid(key: str, rule: str) -> Fault:
    return Fault("request.invalid", f"{key} of the report {rule}.")
