"""What changed in a text, line by line, in the form that everybody reads; pure.

Agents choose the texts, so the work is bounded: where the parts that differ are too large to be compared line against line,
all of the old stands before all of the new, which is as true.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

CONTEXT = 3
WORK_LIMIT = 1_000_000
LINES_LIMIT = 20_000
_NO_NEWLINE = "\\ No newline at end of file"


def text_of(content: bytes) -> str | None:
    """The text, or None when it is none that a person reads."""
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def printable(path: str) -> str:
    """A path that stays on its line and moves no cursor: everything else is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in path)


def unified(before: str | None, after: str | None, path: str) -> str:
    """The difference of two texts; None is no file."""
    old, new = _lines(before), _lines(after)
    name = printable(path)
    head = [
        "--- " + ("/dev/null" if before is None else f"a/{name}"),
        "+++ " + ("/dev/null" if after is None else f"b/{name}"),
    ]
    return "\n".join([*head, *_hunks(old, new)]) + "\n"


def _lines(text: str | None) -> list[str]:
    """Lines with their ends, ended by a newline alone: other signs that end lines are content."""
    if not text:
        return []
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    begin = 0
    while begin < min(len(old), len(new)) and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < min(len(old), len(new)) - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    a, b = len(old) - end - begin, len(new) - end - begin
    if a * b <= WORK_LIMIT and len(old) + len(new) <= LINES_LIMIT:
        for line in list(difflib.unified_diff(old, new, n=CONTEXT))[2:]:
            yield from _shown(line[:1], line[1:]) if not line.startswith("@@") else [line.rstrip("\n")]
        return
    first, last = max(0, begin - CONTEXT), min(end, CONTEXT)
    yield f"@@ -{first + 1},{begin - first + a + last} +{first + 1},{begin - first + b + last} @@"
    for sign, lines in (
        (" ", old[first:begin]),
        ("-", old[begin : begin + a]),
        ("+", new[begin : begin + b]),
        (" ", old[begin + a : begin + a + last]),
    ):
        for line in lines:
            yield from _shown(sign, line)


def _shown(sign: str, line: str) -> list[str]:
    return [sign + line.removesuffix("\n"), *([] if line.endswith("\n") else [_NO_NEWLINE])]
