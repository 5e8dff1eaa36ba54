"""The header of a script says what it may; what cannot be meant is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.scripts.header import BadHeader, Header, read

TEXT = "# File: x.py\n#! anything\n\n# @mode worker\n#@log-level debug\n# @timeout 12.5 \n# @next guard\nimport os\n# @no such\n"


def test_the_words_of_the_reference_are_read_and_other_comments_are_let_be() -> None:
    assert read(TEXT) == Header("worker", "debug", 12.5, "guard")


def test_nothing_said_is_what_is_usual() -> None:
    assert read("x = 1\n# @timeout 5\n") == read("") == Header("worker", "standard", 300.0, "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# @tiemout 5", 1), ("\n# @timeout", 2), ("# @timeout 0", 1), ("# @timeout -1", 1), ("# @timeout 1e9", 1),
        ("# @timeout 3601", 1), ("# @timeout ٣", 1), ("# @mode thread", 1), ("# a\n# @log-level loud", 2),
        ("# @timeout 5\n# @timeout 6", 2), ("# @next ../x", 1),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(BadHeader) as refused:
        read(text)
    assert refused.value.line == line


def outcome(text: str) -> Header | int:
    """The header, or the line that is refused."""
    try:
        return read(text)
    except BadHeader as refused:
        return refused.line


@given(st.text())
def test_whatever_a_file_holds_it_is_read_or_refused(text: str) -> None:
    found = outcome(text)
    assert found >= 1 if isinstance(found, int) else 0 < found.timeout_s <= 3600


@given(
    st.lists(
        st.sampled_from(["# @mode worker", "# @timeout 5", "# note", "", "x = 1", "# @log-level quiet"]), max_size=8
    )
)
def test_what_stands_behind_the_first_line_of_code_changes_nothing(lines: list[str]) -> None:
    before = lines[: lines.index("x = 1")] if "x = 1" in lines else lines
    assert outcome("\n".join(lines)) == outcome("\n".join(before))
