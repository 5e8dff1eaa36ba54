"""What a provider keeps between calls (files, responses, batches, …): in memory, for as long as there is room.

The oldest goes when there is too much: a provider forgets too, and a test that never ends must not eat the machine.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct

MOST = 2000
MOST_BYTES = 64_000_000


class Refused(Exception):
    """What a provider says no to; the wire gives it its form."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Thing(Struct):
    kind: str
    id: str
    value: dict[str, Any]
    """As it is shown."""
    content: bytes = b""
    inner: list[dict[str, Any]] = []
    """What belongs to it: the items of a conversation, the input of a response, the files of a vector store."""
    size: int = 0


class Kept:
    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._things: OrderedDict[tuple[str, str], Thing] = OrderedDict()
        self._bytes = 0
        self._made = 0

    def new_id(self, prefix: str, seed: str) -> str:
        """An id that nothing kept has had: equal requests make different things."""
        self._made += 1
        return f"{prefix}{seed[:24]}{self._made:x}"

    def put(self, thing: Thing, size: int) -> Thing:
        """Keeps a thing that takes near so many bytes."""
        self.drop(thing.kind, thing.id)
        thing.size = size
        self._things[thing.kind, thing.id] = thing
        self._bytes += size
        while self._things and (len(self._things) > self._most or self._bytes > self._most_bytes):
            _, oldest = self._things.popitem(last=False)
            self._bytes -= oldest.size
        return thing

    def get(self, kind: str, name: str) -> Thing | None:
        return self._things.get((kind, name))

    def found(self, kind: str, name: str) -> Thing:
        thing = self.get(kind, name)
        if thing is None:
            raise Refused(404, f"No {kind} found with id '{name}'.", "not_found")
        return thing

    def drop(self, kind: str, name: str) -> bool:
        gone = self._things.pop((kind, name), None)
        if gone is not None:
            self._bytes -= gone.size
        return gone is not None

    def all(self, kind: str) -> list[Thing]:
        """The newest first, as providers list them."""
        return [thing for (of, _), thing in reversed(self._things.items()) if of == kind]
