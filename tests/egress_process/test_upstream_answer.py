"""Answers come out the same however the network cut them, and odd ones not at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.egress.scrub import Scrubber, Search
from bawn.egress.upstream_answer import BrokenAnswerError, UpstreamAnswer

SECRET = b"0123456789abcdef"


class Pieces:
    """A stream that gives what it was given, and keeps what it is told."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.told = b""

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def write(self, data: bytes) -> None:
        self.told += data

    async def drain(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


async def relayed(*pieces: bytes, method: bytes = b"GET") -> tuple[bytes, UpstreamAnswer]:
    answer, client = UpstreamAnswer(method, Scrubber(Search([SECRET])), plain_body=True), Pieces()
    await answer.relay(Pieces(*pieces), client)
    return client.told, answer


def body_of(told: bytes) -> bytes:
    head, _, body = told.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return body
    found = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return found
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]


WHOLE = {
    b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\nx: y\r\n\r\n12345" + SECRET: b"12345" + b"*" * 16,
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n": b"*" * 16,
    b"HTTP/1.1 404 Not Found\r\n\r\nuntil " + SECRET + b" the end": b"until " + b"*" * 16 + b" the end",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n": b"",
}


@pytest.mark.parametrize("whole", WHOLE)
async def test_whole_or_byte_by_byte_the_answer_is_the_same(whole: bytes) -> None:
    at_once, _ = await relayed(whole)
    in_bytes, _ = await relayed(*(whole[at : at + 1] for at in range(len(whole))))
    assert body_of(at_once) == body_of(in_bytes) == WHOLE[whole]
    assert at_once.partition(b"\r\n\r\n")[0] == in_bytes.partition(b"\r\n\r\n")[0]


@given(st.sampled_from(sorted(WHOLE)), st.data())
async def test_split_anywhere_it_is_the_same(whole: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=8, unique=True)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    told, _ = await relayed(*pieces)
    assert body_of(told) == WHOLE[whole]


@given(st.binary(max_size=300))
async def test_noise_ends_in_an_answer_or_in_a_broken_one_and_in_nothing_else(noise: bytes) -> None:
    for text in (
        noise,
        b"HTTP/1.1 200 OK\r\n" + noise,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + noise,
    ):
        with contextlib.suppress(BrokenAnswerError):
            told, _ = await relayed(text)
            assert told.startswith(b"HTTP/1.1 ")


async def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    told, answer = await relayed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", method=b"HEAD")
    assert told == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    assert not answer.keeps


async def test_a_cut_answer_is_broken_and_not_taken_for_whole() -> None:
    for text in (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\na",
    ):
        with pytest.raises(BrokenAnswerError):
            await relayed(text)


async def test_the_headers_of_the_hop_and_the_way_past_the_proxy_stay_behind() -> None:
    hop = b'connection: keep-alive, x-hop\r\nx-hop: 1\r\nalt-svc: h3=":443"\r\n'
    told, _ = await relayed(b"HTTP/1.1 200 OK\r\n" + hop + b"content-length: 0\r\nx-kept: 2\r\n\r\n")
    assert told == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-kept: 2\r\n\r\n"
