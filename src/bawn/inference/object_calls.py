"""One call about what a provider keeps, and the lists that all such calls answer with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from bawn.inference.kept import Kept, Thing
from bawn.inference.uploads import Part, parts_of

Ask = Callable[[str, dict[str, Any]], tuple[int, bytes]]
"""Asks this provider itself for the answer to one line of a batch: path and body, status and answer."""


class ObjectCall(Struct, frozen=True):
    kept: Kept
    method: str
    steps: tuple[str, ...]
    """The path behind the root, cut at its slashes."""
    query: dict[str, list[str]]
    content_type: str
    body: bytes
    seed: str
    now: int
    host: str
    """By which name the provider was called."""
    ask: Ask

    def asked(self) -> dict[str, Any]:
        """The body as JSON; a ValueError when it is none, a TypeError when it is no object."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise TypeError("body")
        return value

    def parts(self) -> list[Part]:
        return parts_of(self.content_type, self.body)

    def word(self, name: str, usual: str) -> str:
        return (self.query.get(name) or [usual])[0]

    def made(self, thing: Thing) -> bytes:
        """Keeps what was made, and shows it."""
        return shown(self.kept.put(thing, 500 + len(self.body) + len(thing.content)))

    def listed(self, values: list[dict[str, Any]]) -> dict[str, Any]:
        """The page of `values` that was asked for."""
        after = self.word("after", self.word("after_id", ""))
        if self.word("order", "desc") == "asc":
            values = values[::-1]
        ids = [value.get("id") for value in values]
        start = ids.index(after) + 1 if after in ids else 0
        most = int(self.word("limit", "20"))
        page = values[start : start + most]
        edges = {"first_id": page[0].get("id") if page else None, "last_id": page[-1].get("id") if page else None}
        return {"object": "list", "data": page, **edges, "has_more": start + most < len(values)}


def shown(thing: Thing) -> bytes:
    return as_json(thing.value)


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
