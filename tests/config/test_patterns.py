"""How a text reads: what patterns are held against beside the text itself."""

from __future__ import annotations

import re
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.config.patterns import _MARK, _MARK_LETTERS, _UNSEEN, Pattern, seen

ABOVE, BELOW, VOICED = "\u0301", "\u0316", "\uff9e"


def plain(text: str) -> str:
    """The definition, in whatever time it takes."""
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)))


def test_every_mark_of_unicode_is_known_as_one() -> None:
    letters = {letter for letter, _ in _MARK_LETTERS}
    for number in range(sys.maxunicode + 1):
        char = chr(number)
        if unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) and char not in letters:
            assert re.fullmatch(_MARK, char), hex(number)
    for letter, mark in _MARK_LETTERS:
        assert unicodedata.normalize("NFKD", letter) == mark


_MARKED = st.sampled_from(
    ["a", "e", "\u1fa7", "=", "─", ABOVE, BELOW, "\u0f73", "\u0344", "\u0345", VOICED, "カ", "\u200b", "é"]
)
_TEXTS = st.lists(
    st.one_of(st.text(max_size=20), st.tuples(_MARKED, st.integers(1, 60)).map(lambda each: each[0] * each[1]))
)


@given(_TEXTS.map("".join))
def test_a_text_reads_as_it_is_defined_however_many_marks_stand_in_a_row(text: str) -> None:
    assert seen(text) == plain(text)


@pytest.mark.parametrize(
    "row",
    [ABOVE + BELOW, ABOVE + "\u200b" + BELOW, BELOW + "\u0338" + VOICED, "\u0f73", "\u0344" + BELOW],
    ids=ascii,
)
def test_marks_out_of_order_take_time_in_proportion_to_their_number(row: str) -> None:
    for text in ("a" + "".join(char * 30_000 for char in row), "a" + row * 30_000):
        began = time.process_time()
        seen(text)
        assert time.process_time() - began < 0.4


def test_a_pattern_is_found_among_marks_that_stand_in_a_long_row() -> None:
    row = BELOW * 40 + ABOVE
    assert Pattern("re:secret").found("x" + row + "secret")
    assert Pattern("re:é").found("e" + row), "the one above goes with the letter, past those below"
