"""What the scripted model says, before a wire gives it its form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from bawn.inference.script import Trouble

_WORD = re.compile(r"\S+\s*|\s+")
TOOL_PIECE = 12
"""Characters of a tool call's arguments in one frame: small enough that no call ever comes in one piece."""


class Called(Struct, frozen=True):
    id: str
    name: str
    arguments: str


class Usage(Struct, frozen=True):
    input: int
    output: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Utterance(Struct, frozen=True):
    model: str
    text: str
    thinking: str
    numbered: int
    calls: tuple[Called, ...]
    usage: Usage
    chunk: int
    stop: str | None
    first_byte_s: float
    first_token_s: float
    per_token_s: float
    trouble: Trouble | None
    seed: str
    items: tuple[dict[str, Any], ...] = ()
    """In the wire's own form, before the text."""

    @property
    def whole_text(self) -> str:
        return self.text + "".join(_numbers(self.numbered))

    def pieces(self) -> Iterator[str]:
        """The text in the pieces that a stream sends, one frame each."""
        yield from cut(self.text, self.chunk)
        yield from _numbers(self.numbered)


def _numbers(count: int) -> Iterator[str]:
    return (f"t{index} " for index in range(count))


def cut(text: str, size: int) -> list[str]:
    """`text` in pieces of `size` characters, or in words when `size` is 0."""
    if size == 0:
        return _WORD.findall(text)
    return [text[start : start + size] for start in range(0, len(text), size)]
