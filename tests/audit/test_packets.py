"""Packets are read as they were written, and fit the socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.audit import packets
from bawn.audit.packets import TailRequest

EIGHT = st.binary(min_size=8, max_size=8)
NUMBER = st.integers(0, 2**64 - 1)
LINE = st.binary(max_size=50).map(lambda data: b"{" + data.replace(b"\n", b"") + b"}")


@given(EIGHT, EIGHT, NUMBER)
def test_a_hello_is_read_as_it_was_written(nonce: bytes, run: bytes, number: int) -> None:
    assert packets.read_hello(packets.hello(nonce, run, number)) == packets.Hello(nonce, run, number)


@given(EIGHT, NUMBER, st.lists(LINE, min_size=1), st.booleans())
def test_a_batch_is_read_as_it_was_written(run: bytes, first: int, lines: list[bytes], now: bool) -> None:
    read = packets.read_batch(packets.batch(run, first, lines, commit_now=now))
    assert read == packets.Batch(now, run, first, lines)


@pytest.mark.parametrize("lines", [[b"{}\n{}"], [b"{"], [b""], [b"{}", b"x"]])
def test_a_batch_that_is_not_whole_lines_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ValueError):
        packets.read_batch(packets.batch(bytes(8), 1, lines, commit_now=False))


@given(st.sampled_from([packets.ACK, packets.GAP, packets.ERROR]), EIGHT, NUMBER, st.text(max_size=100))
def test_a_place_is_read_as_it_was_written(kind: bytes, run: bytes, last: int, sentence: str) -> None:
    packet = packets.place(kind, run, last, sentence)
    assert packet[:1] == kind
    assert packets.read_place(packet) == packets.Place(run, last, sentence)


@given(st.integers(0, 2**32 - 1), st.builds(TailRequest, n=st.integers(0, 999), container=st.text(max_size=9)))
def test_a_question_is_read_as_it_was_written(number: int, request: TailRequest) -> None:
    assert packets.read_ask(packets.ask(number, request)) == (number, request)


@given(st.lists(LINE | st.just(b"{" + b"x" * 16_000 + b"}"), max_size=20))
def test_an_answer_comes_whole_in_packets_that_fit(lines: list[bytes]) -> None:
    pieces = packets.told(5, lines)
    assert all(len(piece) <= packets.RECEIVE_SIZE for piece in pieces)
    read = [packets.read_told(piece) for piece in pieces]
    assert [line for _, _, told in read for line in told] == lines
    assert [more for _, more, _ in read] == [True] * (len(read) - 1) + [False]
    assert {number for number, _, _ in read} == {5}
