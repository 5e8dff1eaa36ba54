"""Tunnels that are passed on unread: what opens them, what ends them, and what never leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.egress_process.conftest import ONE, PUBLIC, TWO, Start, until
from tests.egress_process.sites import Remembering

from bawn.egress.policy import Rule


async def echo(reader: Remembering, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read():
        writer.write(data)
        await writer.drain()


async def test_a_tunnel_that_is_allowed_is_recorded_and_carries_bytes_both_ways(start: Start) -> None:
    yard = await start()
    site = await yard.site("allowed.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    caller = await yard.tls("allowed.test")
    caller.writer.write(b"hello")
    assert await caller.reader.readexactly(5) == b"hello"
    assert bytes(site.got) == b"hello"
    [opened] = yard.gateway.of("egress.opened")
    assert opened["container"] == ONE
    assert opened["detail"]["host"] == "allowed.test"
    assert opened["detail"]["addresses"] == PUBLIC
    caller.close()
    await until(lambda: bool(yard.gateway.of("egress.closed")))
    [closed] = yard.gateway.of("egress.closed")
    assert int(closed["detail"]["sent"]) > 5
    assert int(closed["detail"]["received"]) > 5
    assert closed["call"] == opened["call"]


async def test_without_a_policy_nothing_opens(start: Start) -> None:
    yard = await start()
    await yard.site("allowed.test", echo)
    caller = await yard.dial()
    status, body = await caller.ask_tunnel("allowed.test:443")
    assert status >= 400
    assert isinstance(body, dict)
    assert yard.names.asked == []
    assert yard.roads.dialled == []


async def test_what_no_rule_allows_is_refused_in_words_and_recorded(start: Start) -> None:
    yard = await start()
    await yard.site("other.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    caller = await yard.dial()
    status, _ = await caller.ask_tunnel("other.test:443")
    assert status == 403
    await until(lambda: yard.gateway.codes() == ["egress.not_allowed"])
    assert yard.roads.dialled == []
    assert yard.names.asked == []


async def test_one_containers_policy_opens_nothing_for_another(start: Start) -> None:
    yard = await start()
    await yard.site("allowed.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    await yard.gateway.rule(TWO, Rule(host="elsewhere.test"))
    caller = await yard.dial(TWO)
    assert (await caller.ask_tunnel("allowed.test:443"))[0] == 403
    assert yard.roads.dialled == []


async def test_nothing_is_dialled_before_its_record_is_durable(start: Start) -> None:
    yard = await start()
    await yard.site("allowed.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    yard.gateway.delay_s = 0.2
    caller = await yard.dial()
    asking = asyncio.create_task(caller.ask_tunnel("allowed.test:443"))
    await asyncio.sleep(0.1)
    assert yard.roads.dialled == []
    assert (await asking)[0] == 200
    assert yard.roads.dialled == [(PUBLIC, 443)]


async def test_what_cannot_be_recorded_is_not_opened(start: Start) -> None:
    yard = await start()
    await yard.site("allowed.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    yard.gateway.unable = True
    caller = await yard.dial()
    assert (await caller.ask_tunnel("allowed.test:443"))[0] >= 400
    assert yard.roads.dialled == []


async def test_a_half_closed_tunnel_still_answers(start: Start) -> None:
    async def counts(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        total = 0
        while data := await reader.read():
            total += len(data)
        writer.write(b"%d bytes" % total)
        await writer.drain()

    yard = await start()
    await yard.site("allowed.test", counts, port=9000, tls=False)
    await yard.gateway.rule(ONE, Rule(host="allowed.test", ports=(9000,)))
    caller = await yard.connect("allowed.test:9000")
    caller.writer.write(b"x" * 1_000_000)
    caller.writer.write_eof()
    assert await caller.ended() == b"1000000 bytes"
    await until(lambda: bool(yard.gateway.of("egress.closed")))
    assert yard.walls.connections == 0


async def test_a_large_transfer_comes_whole_both_ways(start: Start) -> None:
    yard = await start()
    await yard.site("allowed.test", echo)
    await yard.gateway.rule(ONE, Rule(host="allowed.test"))
    caller = await yard.tls("allowed.test")
    sent = bytes(range(256)) * 20_000

    async def send() -> None:
        for at in range(0, len(sent), 50_000):
            caller.writer.write(sent[at : at + 50_000])
            await caller.writer.drain()

    sending = asyncio.create_task(send())
    assert await caller.reader.readexactly(len(sent)) == sent
    await sending


def detail(event: dict[str, Any], name: str) -> str:
    return str(event["detail"].get(name, ""))
