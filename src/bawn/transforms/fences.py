"""Fenced blocks in a text (spec.commonmark.org/0.31.2, fenced code blocks), and what might be taken for one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bawn.terms.value import Value

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_REST = r"(`{3,}|~{3,})([^\r\n]*)(?:\r\n|\r|\n|\Z)"
_STRICT = re.compile(r"(?:(?<=[\r\n])|\A) {0,3}" + _REST)
_LOOSE = re.compile(r"(?:(?<=[\r\n])|\A)[ \t\f\v>*+.)\-\d]*" + _REST)
"""Also behind the marks of lists and quotations, however deep."""


class Fence(Value, frozen=True):
    """Where a block stands; ends are the index behind it."""

    start: int
    inside: int
    inside_end: int
    """Before the line that closes it; the end of the text where none does."""
    end: int
    closed: bool


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its ending, and where it begins."""
    for found in _LINE.finditer(text):
        if found[0]:
            yield found.start(), found[0]


def fences(text: str, *, loose: bool = False) -> list[Fence]:
    """The blocks, in their order; one that is never closed goes to the end."""
    found: list[Fence] = []
    mark, start, inside = "", 0, 0
    for line in (_LOOSE if loose else _STRICT).finditer(text):
        marks, rest = line[1], line[2]
        if not mark:
            if marks[0] == "~" or "`" not in rest:
                mark, start, inside = marks, line.start(), line.end()
        elif marks[0] == mark[0] and len(marks) >= len(mark) and not rest.strip():
            found.append(Fence(start, inside, line.start(), line.end(), closed=True))
            mark = ""
    if mark:
        found.append(Fence(start, inside, len(text), len(text), closed=False))
    return found
