"""A file in passages: pieces of some hundred words that end where a thought ends, with the lines that they are."""

from __future__ import annotations

import re

from bawn.terms.value import Value

_HEADING = re.compile(r"#{1,6} \S")
_AIM, _MOST = 900, 1600
"""Characters: a passage ends at the next good place behind the first, and at the second wherever it is."""


class Chunk(Value, frozen=True):
    first_line: int
    """Counted from 1."""
    last_line: int
    text: str


def chunks(text: str) -> list[Chunk]:
    """The passages of a text, in their order; nothing but blank lines is left out."""
    found: list[Chunk] = []
    held: list[str] = []
    size = start = 0

    def flush(last: int) -> None:
        nonlocal size
        if "".join(held).strip():
            found.append(Chunk(start, last, "\n".join(held).strip("\n")))
        held.clear()
        size = 0

    for number, line in enumerate(text.splitlines(), 1):
        if held and (_HEADING.match(line) or (size >= _AIM and not line.strip()) or size + len(line) > _MOST):
            flush(number - 1)
        for at in range(0, max(1, len(line)), _MOST):
            # A line that is longer than a passage is several.
            if at:
                flush(number)
            if not held:
                start = number
            piece = line[at : at + _MOST]
            held.append(piece)
            size += len(piece) + 1
    flush(len(text.splitlines()))
    return found
