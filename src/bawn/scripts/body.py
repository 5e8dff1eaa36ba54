"""A body that is JSON: what nobody changes stays as it came."""

from __future__ import annotations

from typing import Any, Final

import msgspec


class Unset:
    pass


UNSET: Final = Unset()


class Json:
    """A text of JSON, parsed when first looked at, written anew only when it is not the same any more."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: bytes, value: object = UNSET) -> None:
        self._text: bytes | None = text if isinstance(value, Unset) else None
        self._value = value

    def value(self) -> Any:
        if isinstance(self._value, Unset):
            self._value = msgspec.json.decode(self._text or b"null")
        return self._value

    def changed(self) -> bool:
        if isinstance(self._value, Unset):
            return False
        return self._text is None or self._value != msgspec.json.decode(self._text or b"null")

    def text(self) -> bytes:
        if self._text is None or self.changed():
            return msgspec.json.encode(self._value)
        return self._text
