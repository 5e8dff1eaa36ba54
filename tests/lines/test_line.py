"""Two ends of one line, as two processes have them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from bawn.errors import Fault
from bawn.lines.line import PACKET_LIMIT, Line, Packet


class Pair(NamedTuple):
    near: Line
    far: Line
    heard: list[Packet]
    raw: socket.socket
    """The far end's socket, for what a Line would not send."""
    ended: asyncio.Event


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    heard: list[Packet] = []
    ended = asyncio.Event()
    near = Line(ours, heard.append, ended.set, "far end", "supervisor.unavailable")

    def answering(packet: Packet) -> None:
        match packet.body.get("do"):
            case "double":
                far.answer(packet, {"value": 2 * packet.body["value"]})
            case "fail":
                far.answer(packet, Fault("api.conflict", "no", cause="because"))

    far = Line(theirs, answering, lambda: None)
    near.open()
    far.open()
    yield Pair(near, far, heard, theirs, ended)
    near.close()
    far.close()


async def test_what_is_asked_is_answered_by_its_number(pair: Pair) -> None:
    answers = await asyncio.gather(*(pair.near.ask("double", value=n) for n in range(300)))
    assert [answer.body["value"] for answer in answers] == [2 * n for n in range(300)]


async def test_a_refusal_comes_as_the_fault_it_was(pair: Pair) -> None:
    with pytest.raises(Fault) as caught:
        await pair.near.ask("fail")
    assert (caught.value.code, caught.value.cause) == ("api.conflict", "because")


async def test_who_asks_and_is_not_answered_is_told_so(pair: Pair) -> None:
    with pytest.raises(Fault, match="did not answer"):
        await pair.near.ask("silence", wait_s=0.05)


async def test_descriptors_travel_beside_their_packet(pair: Pair) -> None:
    reading, writing = os.pipe()
    pair.far.send({"event": "pipe"}, [writing])
    os.close(writing)
    async with asyncio.timeout(5):
        while not pair.heard:
            await asyncio.sleep(0.001)
    (handed,) = pair.heard[0].descriptors
    os.write(handed, b"through")
    pair.heard[0].close()
    assert os.read(reading, 20) == b"through"
    assert os.read(reading, 20) == b""  # no copy stayed open
    os.close(reading)


async def test_the_end_of_the_other_fails_all_who_wait(pair: Pair) -> None:
    waiting = asyncio.create_task(pair.near.ask("silence"))
    await asyncio.sleep(0.01)
    pair.far.close()
    with pytest.raises(Fault) as caught:
        await waiting
    assert caught.value.code == "supervisor.unavailable"
    assert pair.ended.is_set()
    with pytest.raises(Fault):
        await pair.near.ask("double", value=1)
    pair.near.send({"event": "late"})


@pytest.mark.parametrize("bad", [b"\xff", b"[]", b"{", b"[" * 100_000], ids=["not text", "no object", "cut", "deep"])
async def test_a_packet_that_is_no_object_ends_the_line(pair: Pair, bad: bytes) -> None:
    pair.raw.send(bad)
    async with asyncio.timeout(5):
        await pair.ended.wait()
    assert pair.near.broken


async def test_more_than_the_socket_holds_is_queued_in_order(pair: Pair) -> None:
    for number in range(40):
        pair.far.send({"event": "much", "number": number, "text": "x" * 50_000})
    async with asyncio.timeout(5):
        while len(pair.heard) < 40:
            await asyncio.sleep(0.001)
    assert [packet.body["number"] for packet in pair.heard] == list(range(40))


async def test_a_packet_too_long_for_the_kernel_is_refused_here(pair: Pair) -> None:
    with pytest.raises(Fault, match="too long"):
        pair.near.send({"text": "x" * PACKET_LIMIT})
