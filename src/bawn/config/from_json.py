"""JSON as people write it in configuration files: comments, trailing commas, tabs; nothing else is let through.

An own reader, because the standard one does not tell where a value stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import Any

from bawn.config.document import Document, Mark, Path, Unreadable

_BETWEEN = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 400
_decode_at = JSONDecoder().raw_decode


def read_json(text: str) -> Document:
    """Raises Unreadable with the place."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._document = Document()

    def read(self) -> Document:
        self._skip()
        if self._at < len(self._text):
            self._document.value = self._value(())
            self._skip()
            if self._at < len(self._text):
                raise self._refused("something after the end of the document", remedy="Keep one value.")
        return self._document

    def _value(self, path: Path) -> Any:
        self._document.note(path, self._mark())
        match self._peek():
            case "{":
                return self._object(path)
            case "[":
                return self._array(path)
            case '"':
                return self._string(path)
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        return self._number(path)

    def _number(self, path: Path) -> int | float:
        found = _NUMBER.match(self._text, self._at)
        if found is None or len(found[0]) > _LONGEST_NUMBER:
            raise self._refused("no value where one is expected", path, "Texts stand in double quotes.")
        self._at = found.end()
        return float(found[0]) if found[1] or found[2] else int(found[0])

    def _object(self, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        self._take("{", path)
        while self._peek() != "}":
            mark = self._mark()
            if self._peek() != '"':
                raise self._refused("no key where one is expected", path, "Keys stand in double quotes.")
            key = self._string(path)
            self._document.note_key((*path, key), mark)
            self._skip()
            self._take(":", (*path, key))
            self._skip()
            made[key] = self._value((*path, key))
            self._next_or("}", path)
        self._at += 1
        return made

    def _array(self, path: Path) -> list[Any]:
        made: list[Any] = []
        self._take("[", path)
        while self._peek() != "]":
            made.append(self._value((*path, len(made))))
            self._next_or("]", path)
        self._at += 1
        return made

    def _next_or(self, end: str, path: Path) -> None:
        """Behind a comma, which may also be the last, or at the end."""
        self._skip()
        if self._peek() == ",":
            self._take(",", path)
        elif self._peek() != end:
            raise self._refused(f"neither ',' nor '{end}' here", path)

    def _string(self, path: Path) -> str:
        try:
            text, self._at = _decode_at(self._text, self._at)
        except JSONDecodeError as error:
            self._at = error.pos
            raise self._refused(f"in a text: {error.msg}", path) from None
        return str(text)

    def _take(self, character: str, path: Path) -> None:
        if self._peek() != character:
            raise self._refused(f"no {character!r} where one is expected", path)
        self._at += 1
        self._skip()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        found = _BETWEEN.match(self._text, self._at)
        self._at = found.end() if found else self._at
        if self._text.startswith("/*", self._at):
            raise self._refused("a comment without an end", remedy="Write */ where it ends.")

    def _mark(self) -> Mark:
        line = bisect_right(self._lines, self._at)
        return Mark(line, self._at - self._lines[line - 1] + 1)

    def _refused(self, sentence: str, path: Path = (), remedy: str = "") -> Unreadable:
        return Unreadable(sentence, self._mark(), remedy, path)
