"""Fenced blocks in a text (spec.commonmark.org/0.31.2, fenced code blocks), and what might be taken for one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bawn.terms.value import Value

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_STRICT = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_LOOSE = re.compile(r"[\s>*+.)\-\d]*(`{3,}|~{3,})(.*)")
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
    opening = _LOOSE if loose else _STRICT
    mark, start, inside = "", 0, 0
    for at, line in lines(text):
        bare = line.rstrip("\r\n")
        match = opening.fullmatch(bare)
        if match is None:
            continue
        if not mark:
            if match[1][0] == "~" or "`" not in match[2]:
                mark, start, inside = match[1], at, at + len(line)
        elif match[1][0] == mark[0] and len(match[1]) >= len(mark) and not match[2].strip():
            found.append(Fence(start, inside, at, at + len(line), closed=True))
            mark = ""
    if mark:
        found.append(Fence(start, inside, len(text), len(text), closed=False))
    return found
