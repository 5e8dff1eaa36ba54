"""What was changed in a request is shown where it was changed, whatever the request holds, and in a bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.enforcement.difference import LONGEST, difference, readable
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.wire.documents import document

LINES = st.lists(st.sampled_from(["a", "b", "+", "-x", ""]), max_size=12)


@given(LINES, LINES)
def test_a_diff_has_as_many_lines_more_as_there_are(before: list[str], after: list[str]) -> None:
    told = difference(before, after)
    assert (told == "") == (before == after)
    marks = [line[0] for line in told.split("\n")] if told else []
    assert marks.count("+") - marks.count("-") == len(after) - len(before)


@given(LINES, st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["a", "new"])), max_size=4))
def test_what_was_put_in_takes_nothing_away(before: list[str], put: list[tuple[int, str]]) -> None:
    after = list(before)
    for at, line in put:
        after.insert(at, line)
    assert "\n-" not in f"\n{difference(before, after)}".replace("\n-x", "")


def test_a_diff_shows_what_stands_beside() -> None:
    before = [str(number) for number in range(9)]
    assert difference(before, [*before[:5], "new", *before[5:]]) == "@@ -4,4 +4,5 @@\n 3\n 4\n+new\n 5\n 6"


@pytest.mark.parametrize("change", ["put in", "taken away"])
def test_long_conversations_take_no_long(change: str) -> None:
    before = ["a", "b"] * 100_000
    after = [*before[:70_000], "new", *before[70_000:]]
    if change == "taken away":
        before, after = after, before
    began = time.perf_counter()
    assert difference(before, after)
    assert time.perf_counter() - began < 1


def test_a_long_diff_ends_with_a_word_of_that() -> None:
    told = difference([], ["x" * LONGEST, "y"])
    assert told.endswith("… (the rest is left out)")
    assert len(told) < LONGEST + 100


def test_a_request_is_shown_as_a_model_reads_it() -> None:
    body = (
        b'{"model": "m", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a\\nb"},'
        b' {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function":'
        b' {"name": "bash", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "done"}]}'
    )
    read = document(Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=body))
    assert read is not None
    before = readable(read)
    assert before == ["[system]", "Be kind.", "[user]", "a", "b", "[assistant]", "[call] bash {}", "[tool]", "done"]
