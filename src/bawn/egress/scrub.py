"""Takes a secret out of what an upstream answers, in whatever plain way the upstream may have written it.

A service that is sent a key may show it: an echo endpoint, an error that quotes the request, a page of settings. Looked
for are the value itself, its base64 in all three alignments (so `user:key` as well) in both alphabets, its hexadecimal
digits, and each of these with any of its characters percent-encoded or escaped as JSON does. What is found becomes as
many asterisks, so lengths stay true. Bytes that may be the beginning of a form wait for the next ones; whatever cannot be
goes on at once, so a stream stays a stream.

Not found, and not promised: a value that the upstream compresses, encrypts, reverses or spells in pieces.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

Letter = tuple[bytes, ...]
"""The ways in which one character of a form may be written."""

SHORTEST = 8
"""Bytes of a secret at least: a shorter one would be found everywhere."""


def forms(secret: bytes) -> tuple[tuple[Letter, ...], ...]:
    """Every form that is looked for, letter by letter."""
    found = [tuple(_letter(byte) for byte in secret)]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        # Six bits a character: those that share bits with what stands before or after the secret are not known.
        known = encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        found.append(tuple(_digit(byte) for byte in known))
    found.append(tuple(_either_case(byte) for byte in secret.hex().encode()))
    return tuple(found)


def _letter(byte: int) -> Letter:
    ways = {bytes([byte]), b"%%%02x" % byte, b"%%%02X" % byte, b"\\u00%02x" % byte, b"\\u00%02X" % byte}
    if byte in b'"\\/':
        ways.add(b"\\" + bytes([byte]))
    # A form's own plus sign and space look alike once encoded for a query.
    if byte == 0x20:
        ways.add(b"+")
    return tuple(sorted(ways, key=len, reverse=True))


def _digit(byte: int) -> Letter:
    also = {0x2B: 0x2D, 0x2F: 0x5F}.get(byte)
    return _letter(byte) if also is None else _letter(byte) + _letter(also)


def _either_case(byte: int) -> Letter:
    return tuple({bytes([byte]), bytes([byte]).upper()})


class Search:
    """What is looked for; made once for the secrets of a container."""

    __slots__ = ("first", "forms", "longest", "pattern")

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self.forms = tuple(form for secret in secrets for form in forms(secret))
        self.pattern = re.compile(
            b"|".join(
                b"".join(b"(?:" + b"|".join(map(re.escape, letter)) + b")" for letter in form) for form in self.forms
            )
            or b"(?!)"
        )
        self.first = frozenset(way[0] for form in self.forms for way in form[0])
        """Bytes with which a form can begin."""
        self.longest = max((sum(max(map(len, letter)) for letter in form) for form in self.forms), default=0)


class Scrubber:
    """Takes what is looked for out of one stream of bytes."""

    __slots__ = ("_held", "_search", "found")

    def __init__(self, search: Search) -> None:
        self._search = search
        self._held = b""
        self.found = 0
        """How often something was taken out."""

    def feed(self, data: bytes) -> bytes:
        """What may go on now."""
        if not self._search.forms:
            return data
        data = self._taken_out(self._held + data)
        cut = self._possible_beginning(data)
        self._held = data[cut:]
        return data[:cut]

    def rest(self) -> bytes:
        """What still waited, at the end."""
        held, self._held = self._held, b""
        return held

    def whole(self, data: bytes) -> bytes:
        """One piece that stands for itself, such as a header."""
        return self._taken_out(data) if self._search.forms else data

    def _taken_out(self, data: bytes) -> bytes:
        data, count = self._search.pattern.subn(lambda match: b"*" * len(match[0]), data)
        self.found += count
        return data

    def _possible_beginning(self, data: bytes) -> int:
        search = self._search
        for at in range(max(0, len(data) - search.longest), len(data)):
            if data[at] in search.first and any(_may_begin(form, data[at:]) for form in search.forms):
                return at
        return len(data)


def _may_begin(form: tuple[Letter, ...], data: bytes) -> bool:
    """Whether `data` may be the beginning of this form, of which more would have to come."""
    places = {0}
    for letter in form:
        after: set[int] = set()
        for place in places:
            rest = data[place : place + 6]
            for way in letter:
                if rest.startswith(way):
                    after.add(place + len(way))
                elif way.startswith(rest):
                    return True
        if not after:
            return False
        places = after
    return False
