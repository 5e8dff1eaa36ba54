"""What was changed in a request, for people: its readable text before and after, as a unified diff.

Rules put text in and take nothing away, so a diff is mostly found in one pass over both, however long the conversation is.
Where something else was changed as well, the usual way is gone, which takes longer and is therefore bounded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from bawn.wire.document import RequestDocument, Said

LONGEST = 64 * 1024
"""Characters of a diff; the rest is left out, and that is told."""
_BESIDE = 2
"""Lines of what stays that are shown around a change."""
_BESIDE_LENGTH = 300
_MOST_LINES = 3000
"""From so many lines on that cannot be told in one pass, nothing is told of where the change is."""
_Codes = list[tuple[str, int, int, int, int]]


def readable(document: RequestDocument) -> list[str]:
    """What a model reads, in lines: the system text, then who said what."""
    lines: list[str] = []
    if document.system:
        lines += ["[system]", *document.system.splitlines()]
    for message in document.messages:
        if message.said is Said.SYSTEM:
            continue  # stands above already
        lines.append(f"[{message.said.value}]")
        for spot in message.spots:
            lines += spot.text.splitlines()
        lines += [f"[call] {call.name} {call.arguments_raw}" for call in message.calls]
    return lines


def difference(before: Sequence[str], after: Sequence[str]) -> str:
    """A unified diff, without the names of files; empty where both are the same."""
    codes = _put_in(before, after)
    if codes is None:
        if len(before) + len(after) > _MOST_LINES:
            return f"The request is another one: {len(before)} lines became {len(after)}."
        codes = list(difflib.SequenceMatcher(None, before, after).get_opcodes())
    if all(kind == "equal" for kind, *_ in codes):
        return ""
    groups = _Grouped(codes).get_grouped_opcodes(_BESIDE)
    return _bounded(line for group in groups for line in _hunk(group, before, after))


class _Grouped(difflib.SequenceMatcher[str]):
    """Makes groups of what is known already."""

    def __init__(self, codes: _Codes) -> None:
        super().__init__(None, "", "")
        self._codes = codes

    def get_opcodes(self) -> Any:
        return self._codes


def _put_in(before: Sequence[str], after: Sequence[str]) -> _Codes | None:
    """How one becomes the other by putting lines in; None where that is not all."""
    codes: _Codes = []
    at = 0
    for place, line in enumerate(after):
        same = at < len(before) and before[at] == line
        kind = "equal" if same else "insert"
        step = 1 if same else 0
        if codes and codes[-1][0] == kind:
            _, begun, _, put, _ = codes.pop()
        else:
            begun, put = at, place
        codes.append((kind, begun, at + step, put, place + 1))
        at += step
    return codes if at == len(before) else None


def _hunk(
    group: Sequence[tuple[str, int, int, int, int]], before: Sequence[str], after: Sequence[str]
) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"
    for kind, begin, end, put, ended in group:
        if kind == "equal":
            yield from (" " + _short(line) for line in before[begin:end])
        else:
            yield from ("-" + line for line in before[begin:end])
            yield from ("+" + line for line in after[put:ended])


def _short(line: str) -> str:
    return line if len(line) <= _BESIDE_LENGTH else f"{line[:_BESIDE_LENGTH]} …"


def _bounded(lines: Iterator[str]) -> str:
    told: list[str] = []
    room = LONGEST
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            told.append(line[: max(0, room + len(line))] + " … (the rest is left out)")
            break
        told.append(line)
    return "\n".join(told)
