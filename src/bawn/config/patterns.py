"""Patterns that an operator writes for names and texts, and the readings of a text that they are held against.

Three forms, told apart by how they begin: `re:…` is an RE2 expression, a text with `*` or `?` is a glob, anything else is
meant letter for letter. RE2 needs time in proportion to the text whatever the expression; lookaround and backreferences,
which it cannot have for that, are refused when the configuration is read.

A text is read as it stands and as a person would read it: compatibility forms made plain (NFKC), characters that cannot be
seen (zero-width, bidirectional, tag characters, variation selectors) taken out. What is to be stopped is stopped when any
reading fits somewhere; what is to be let through must fit in all readings and as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any, Protocol

import re2

_GLOB = re.compile(r"[*?]")
_LONGEST = 2000
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_MARK = r"[^\w\x00-\x7f\u2000-\u20cf\u2100-\u2cee\u3000-\u3029\U0001f000-\U0001faff]"
"""Every character that belongs to the one before it, and a few that are rare in rows. In these ranges there are none."""
_ROW = 32
_MARKS = re.compile(f"{_MARK}{_MARK}{{{_ROW - 1},}}")
_MARK_LETTERS = (("\uff9e", "\u3099"), ("\uff9f", "\u309a"))
"""Marks that count as letters (`\\w`), and what they are made plain to."""
_REASONS = (
    ("(?=", "lookahead"),
    ("(?!", "negative lookahead"),
    ("(?<=", "lookbehind"),
    ("(?<!", "negative lookbehind"),
    ("(?>", "an atomic group"),
    ("(?P=", "a backreference"),
    ("(?(", "a condition"),
)


Readings = tuple[bytes, ...]
"""A text as it stands and as it reads."""
_SHORT = 200


class _Searching(Protocol):
    def search(self, text: str | bytes) -> Any: ...

    def fullmatch(self, text: bytes) -> Any: ...

    def sub(self, by: str, text: str) -> str: ...


class Pattern:
    """One pattern, ready to be held against texts."""

    __slots__ = ("_anywhere", "_whole", "source")

    def __init__(self, source: str) -> None:
        """ValueError with the reason when no such pattern can be."""
        self.source = source
        expression = _expression(source)
        self._anywhere = _compiled(expression, lines=True)
        self._whole = _compiled(expression, lines=False)

    def found(self, text: str | Readings) -> bool:
        """Whether any reading of the text fits; an expression may fit anywhere in it, a dot being a line's end too."""
        return any(self._anywhere.search(each) is not None for each in _read(text))

    def fits(self, text: str | Readings) -> bool:
        """Whether every reading of the text fits as a whole; a dot is no line's end."""
        return all(self._whole.fullmatch(each) is not None for each in _read(text))

    def replaced(self, text: str, by: str) -> str | None:
        r"""The text with everything that fits replaced; `\1` in `by` is the first group. None where only another reading
        than the text itself fits, so that replacing would leave what was meant."""
        plain, *others = readings(text)
        if self._anywhere.search(plain) is not None:
            return self._anywhere.sub(by, plain)
        return None if any(self._anywhere.search(each) is not None for each in others) else text


def read(text: str) -> Readings:
    """The readings of a text that many patterns are held against, found once."""
    return tuple(each.encode("utf-8", "replace") for each in readings(text))


def readings(text: str) -> tuple[str, ...]:
    """The text itself, and how it reads where that is something else."""
    if text.isascii():
        return (text,)
    plain = seen(text)
    return (text,) if plain == text else (text, plain)


def seen(text: str) -> str:
    """How the text reads: without what cannot be seen, and with plain letters for their compatibility forms."""
    if text.isascii():
        return text
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", _orderly(_UNSEEN.sub("", text))))


def _orderly(text: str) -> str:
    """What has the same plain form and takes time in proportion to its length.

    `normalize` puts the marks behind a letter in order by exchanging neighbours, which takes the square of how many they are;
    in rows that are in order already there is nothing to exchange."""
    if len(text) <= _ROW:
        return text
    for letter, mark in _MARK_LETTERS:
        text = text.replace(letter, mark)
    return _MARKS.sub(_in_order, text)


def _in_order(row: re.Match[str]) -> str:
    """A row of marks taken apart and in canonical order (Unicode 3.11, D109): by class, and within a class as they stand."""
    done: list[str] = []
    waiting: list[str] = []
    for char in "".join(map(_apart, row.group())):
        if unicodedata.combining(char):
            waiting.append(char)
            continue
        if waiting:
            done += sorted(waiting, key=unicodedata.combining)
            waiting.clear()
        done.append(char)
    return "".join(done + sorted(waiting, key=unicodedata.combining))


def _apart(char: str) -> str:
    return unicodedata.normalize("NFKD", char)


_read_short = lru_cache(4096)(read)
"""Names come again and again."""


def _read(text: str | Readings) -> Readings:
    if isinstance(text, tuple):
        return text
    return _read_short(text) if len(text) <= _SHORT else read(text)


def sound(source: str) -> str:
    """The source of a pattern, for a field of the configuration. ValueError with the reason."""
    Pattern(source)
    return source


def _expression(source: str) -> str:
    if not source or len(source) > _LONGEST:
        raise ValueError(f"a pattern has 1 to {_LONGEST} characters")
    if source.startswith("re:"):
        return source.removeprefix("re:")
    if _GLOB.search(source):
        parts = {"*": "(?s:.*)", "?": "(?s:.)"}
        return r"\A(?:" + "".join(parts.get(c) or str(re2.escape(c)) for c in source) + r")\z"
    return r"\A(?:" + str(re2.escape(source)) + r")\z"


def _compiled(expression: str, *, lines: bool) -> _Searching:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = lines
    try:
        found: _Searching = re2.compile(expression, options)
    except re2.error as error:
        told = error.args[0] if error.args else "not an expression"
        reason = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise ValueError(f"expected an RE2 expression: {_meant(expression, reason)}") from None
    return found


def _meant(expression: str, reason: str) -> str:
    for mark, name in _REASONS:
        if mark in expression and ("perl operator" in reason or "named" in reason):
            return f"RE2 has no {name} (`{mark}`)" if name[:2] not in ("a ", "an") else f"RE2 has not {name} (`{mark}`)"
    if "invalid escape sequence" in reason and re.search(r"\\[1-9]", expression):
        return "RE2 has no backreferences"
    return reason
