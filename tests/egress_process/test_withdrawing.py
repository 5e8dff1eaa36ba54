"""Rights come whole and go at once: policies, revocation, a gateway that is gone, and what does not wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from typing import cast

import pytest
from tests.egress_process.conftest import ONE, PUBLIC, TWO, Gateway, Start, until
from tests.egress_process.sites import Remembering

from bawn.egress.policy import Rule
from bawn.egress.walls import Limits
from bawn.errors import Fault

HOST, PORT = "tunnel.test", 9000
RULE = Rule(host=HOST, ports=(PORT,))


async def echo(reader: Remembering, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read():
        writer.write(data)
        await writer.drain()


async def test_revoking_cuts_the_tunnels_of_that_container_within_100_ms(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    for uuid in (ONE, TWO):
        await yard.gateway.rule(uuid, RULE)
    others = await yard.connect(f"{HOST}:{PORT}", TWO)
    took = []
    for _ in range(3):  # a busy machine may be late once
        await yard.gateway.rule(ONE, RULE)
        mine = [await yard.connect(f"{HOST}:{PORT}") for _ in range(20)]
        began = time.monotonic()
        yard.gateway.say(event="revoked", uuid=ONE)
        for caller in mine:
            await caller.ended()
        took.append(time.monotonic() - began)
    assert min(took) < 0.1
    others.writer.write(b"still here")
    assert await others.reader.readexactly(10) == b"still here"
    again = await yard.dial()
    assert (await again.ask_tunnel(f"{HOST}:{PORT}"))[0] >= 400
    await until(lambda: len(yard.gateway.of("egress.closed")) == 60)
    assert {event["code"] for event in yard.gateway.of("egress.closed")} == {"egress.revoked"}


async def test_a_narrower_policy_cuts_what_it_would_not_open_and_nothing_else(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.site("kept.test", echo, port=PORT, tls=False, address="93.184.215.20")
    kept_rule = Rule(host="kept.test", ports=(PORT,))
    await yard.gateway.rule(ONE, RULE, kept_rule)
    going, kept = await yard.connect(f"{HOST}:{PORT}"), await yard.connect(f"kept.test:{PORT}")
    await yard.gateway.rule(ONE, kept_rule)
    await going.ended()
    kept.writer.write(b"x")
    assert await kept.reader.readexactly(1) == b"x"


async def test_revoking_while_a_connection_is_being_opened_leaves_none(start: Start) -> None:
    yard = await start()
    site = await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    yard.gateway.delay_s = 0.1
    caller = await yard.dial()
    asking = asyncio.create_task(caller.ask_tunnel(f"{HOST}:{PORT}"))
    await until(lambda: yard.names.asked == [HOST])
    yard.gateway.say(event="revoked", uuid=ONE)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asking
    await asyncio.sleep(0.15)
    assert yard.roads.dialled == []
    assert site.connections == 0


@pytest.mark.parametrize(
    "policy",
    [
        {"uuid": ONE, "name": "dev"},
        {"uuid": ONE, "name": "dev", "rules": [{"host": 7}]},
        {"uuid": ONE, "name": "dev", "rules": [{"host": HOST, "ports": ["all"]}]},
        {"uuid": TWO, "name": "dev", "rules": []},
        "everything",
    ],
)
async def test_a_policy_that_cannot_be_read_leaves_the_old_one_in_force(start: Start, policy: object) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    with pytest.raises(Fault) as caught:
        await yard.gateway.ask("policy", uuid=ONE, policy=policy)
    assert caught.value.code == "egress.policy_invalid"
    caller = await yard.connect(f"{HOST}:{PORT}")
    caller.writer.write(b"x")
    assert await caller.reader.readexactly(1) == b"x"
    other = await yard.dial()
    assert (await other.ask_tunnel("else.test:443"))[0] == 403


async def test_under_reloads_there_is_never_a_moment_of_open_nor_of_closed(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    forbidden = await yard.site("never.test", echo, port=PORT, tls=False, address="93.184.215.21")
    await yard.gateway.rule(ONE, RULE)
    over = False

    async def reload() -> None:
        while not over:
            for other in ("a.test", "b.test"):
                await yard.gateway.rule(ONE, RULE, Rule(host=other, ports=(PORT,)))
                with contextlib.suppress(Fault):
                    await yard.gateway.ask("policy", uuid=ONE, policy={"uuid": ONE, "name": "dev", "rules": "broken"})

    async def call(target: str, expected: int) -> None:
        for _ in range(60):
            caller = await yard.dial()
            status, _ = await caller.ask_tunnel(target)
            caller.writer.transport.abort()
            assert status == expected

    reloading = asyncio.create_task(reload())
    await asyncio.gather(
        *(call(f"{HOST}:{PORT}", 200) for _ in range(3)), *(call(f"never.test:{PORT}", 403) for _ in range(3))
    )
    over = True
    await reloading
    assert forbidden.connections == 0


async def test_without_a_gateway_nothing_opens_and_what_stands_ends_after_a_grace(start: Start) -> None:
    yard = await start(grace_s=0.3)
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    standing = await yard.connect(f"{HOST}:{PORT}")
    yard.gateway.gone()
    await asyncio.sleep(0.05)
    dialled = len(yard.roads.dialled)
    caller = await yard.dial()
    status, body = await caller.ask_tunnel(f"{HOST}:{PORT}")
    assert (status, body["error"]["code"]) == (503, "egress.unavailable")
    assert len(yard.roads.dialled) == dialled
    standing.writer.write(b"x")
    assert await standing.reader.readexactly(1) == b"x"
    await standing.ended()


async def test_a_gateway_that_comes_again_keeps_what_it_allows_and_hears_what_happened(start: Start) -> None:
    yard = await start(grace_s=0.3)
    await yard.site(HOST, echo, port=PORT, tls=False)
    for uuid in (ONE, TWO):
        await yard.gateway.rule(uuid, RULE)
    kept, dropped = await yard.connect(f"{HOST}:{PORT}"), await yard.connect(f"{HOST}:{PORT}", TWO)
    closing = await yard.connect(f"{HOST}:{PORT}")
    yard.gateway.gone()
    closing.close()
    await asyncio.sleep(0.05)
    yard.gateway = Gateway()
    yard.gateway.connect(yard.link)
    await yard.gateway.rule(ONE, RULE)
    await dropped.ended()
    await asyncio.sleep(0.1)
    kept.writer.write(b"x")
    assert await kept.reader.readexactly(1) == b"x"
    await until(lambda: len(yard.gateway.of("egress.closed")) == 2)
    assert {event["container"] for event in yard.gateway.of("egress.closed")} == {ONE, TWO}


async def test_a_door_that_closes_takes_its_tunnels_with_it(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    caller = await yard.connect(f"{HOST}:{PORT}")
    yard.doors.close(ONE)
    await caller.ended()
    with pytest.raises(ConnectionError):
        await yard.dial()
    await yard.door(ONE)
    again = await yard.dial()
    status, _ = await again.ask_tunnel(f"{HOST}:{PORT}")
    assert status >= 400, "a container that comes under the same number has to be allowed anew"


async def test_a_name_that_changes_its_address_changes_nothing(start: Start) -> None:
    yard = await start()
    site = await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    yard.names.say(HOST, PUBLIC, "127.0.0.1", PUBLIC, "169.254.169.254", "10.0.0.1")
    statuses = []
    for _ in range(5):
        caller = await yard.dial()
        status, _ = await caller.ask_tunnel(f"{HOST}:{PORT}")
        statuses.append(status)
    assert statuses == [200, 403, 200, 403, 403]
    assert yard.names.asked == [HOST] * 5, "each connection resolves once"
    assert set(yard.roads.dialled) == {(PUBLIC, PORT)}
    await until(lambda: site.connections == 2)


@pytest.mark.parametrize(
    "bad",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
    ],
)
async def test_one_bad_address_refuses_the_whole_answer(start: Start, bad: str) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    for answers in ((PUBLIC, bad), (bad, PUBLIC)):
        yard.names.say(HOST, answers)
        caller = await yard.dial()
        assert (await caller.ask_tunnel(f"{HOST}:{PORT}"))[0] == 403
    assert yard.roads.dialled == []
    assert yard.gateway.of("egress.opened") == []


async def test_the_next_address_is_tried_and_none_that_was_not_in_the_answer(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    yard.names.say(HOST, ("93.184.215.77", PUBLIC))
    await yard.connect(f"{HOST}:{PORT}")
    assert yard.roads.dialled == [("93.184.215.77", PORT), (PUBLIC, PORT)]
    yard.names.say(HOST, "93.184.215.77")
    caller = await yard.dial()
    status, body = await caller.ask_tunnel(f"{HOST}:{PORT}")
    assert (status, body["error"]["code"]) == (502, "egress.unreachable")


async def test_a_name_server_that_does_not_answer_holds_nobody_else_up(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    yard.names.delay_s = 30
    caller = await yard.dial()
    status, body = await caller.ask_tunnel(f"{HOST}:{PORT}")
    assert (status, body["error"]["code"]) == (502, "egress.unresolved")


async def test_a_client_that_does_not_read_holds_little_memory(start: Start) -> None:
    async def floods(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        sent = 0
        try:
            while True:
                writer.write(b"x" * 1_000_000)
                await writer.drain()
                sent += 1_000_000
                floods_sent.append(sent)
        except ConnectionError:
            pass

    floods_sent: list[int] = []
    yard = await start()
    await yard.site(HOST, floods, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    caller = await yard.connect(f"{HOST}:{PORT}")
    cast("asyncio.Transport", caller.writer.transport).pause_reading()
    await asyncio.sleep(0.5)
    stalled = len(floods_sent)
    await asyncio.sleep(0.3)
    assert len(floods_sent) == stalled, "the flood stands still"
    assert stalled < 60, "what is on its way is what sockets and buffers hold"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 * 1024


async def test_heads_and_hellos_that_trickle_are_given_up(start: Start) -> None:
    yard = await start(limits=Limits(head_s=0.3))
    await yard.site("tls.test", echo)
    await yard.gateway.rule(ONE, Rule(host="tls.test"))
    head, hello = await yard.dial(), await yard.connect("tls.test:443")

    async def trickle(writer: asyncio.StreamWriter, text: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in text:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

    trickling = [
        asyncio.create_task(trickle(head.writer, b"CONNECT tls.test:443 HTTP/1.1\r\n" + b"x: y\r\n" * 40)),
        asyncio.create_task(trickle(hello.writer, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300)),
    ]
    began = time.monotonic()
    await asyncio.gather(head.ended(), hello.ended())
    assert time.monotonic() - began < 1.5
    for task in trickling:
        task.cancel()


async def test_connections_are_limited_for_each_container_alone(start: Start) -> None:
    yard = await start(limits=Limits(connections=5))
    await yard.site(HOST, echo, port=PORT, tls=False)
    for uuid in (ONE, TWO):
        await yard.gateway.rule(uuid, RULE)
    held = [await yard.connect(f"{HOST}:{PORT}") for _ in range(5)]
    crowded = await yard.dial()
    status, body = await crowded.ask_tunnel(f"{HOST}:{PORT}")
    assert (status, body["error"]["code"]) == (429, "egress.busy")
    await yard.connect(f"{HOST}:{PORT}", TWO)
    held[0].close()
    await until(lambda: len(yard.walls.of(ONE).standing) < 5)
    await yard.connect(f"{HOST}:{PORT}")


async def test_refusals_are_recorded_at_a_bounded_rate_and_none_is_forgotten(start: Start) -> None:
    yard = await start()
    await yard.gateway.rule(ONE, RULE)
    for _ in range(300):
        caller = await yard.dial()
        await caller.ask_tunnel("else.test:443")
        caller.writer.transport.abort()
    assert 200 <= len(yard.gateway.codes()) < 300
    await asyncio.sleep(0.1)
    caller = await yard.dial()
    await caller.ask_tunnel("else.test:443")
    await asyncio.sleep(0.05)
    left_out = sum(int(event["detail"].get("left_out", "0")) for event in yard.gateway.of("egress.refused"))
    assert len(yard.gateway.codes()) + left_out == 301


async def test_a_tunnel_that_passes_unread_is_cut_when_its_requests_have_to_be_seen(start: Start) -> None:
    yard = await start()
    await yard.site("tls.test", echo)
    await yard.gateway.rule(ONE, Rule(host="tls.test"))
    caller = await yard.tls("tls.test")
    caller.writer.write(b"x")
    assert await caller.reader.readexactly(1) == b"x"
    await yard.gateway.rule(ONE, Rule(host="tls.test", methods=("GET",)))
    await caller.ended()


async def test_a_smaller_budget_holds_for_what_stands_already(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    caller = await yard.connect(f"{HOST}:{PORT}")
    caller.writer.write(b"x" * 1000)
    assert len(await caller.reader.readexactly(1000)) == 1000
    await yard.gateway.rule(ONE, Rule(host=HOST, ports=(PORT,), bytes=1500))
    caller.writer.write(b"x" * 1000)
    await caller.ended()
    await until(lambda: [event["code"] for event in yard.gateway.of("egress.closed")] == ["egress.budget"])


async def test_a_record_that_the_gateway_will_never_take_holds_no_other_up(start: Start) -> None:
    yard = await start()
    await yard.site(HOST, echo, port=PORT, tls=False)
    await yard.gateway.rule(ONE, RULE)
    caller = await yard.connect(f"{HOST}:{PORT}")
    yard.gateway.never = True
    caller.close()
    await until(lambda: yard.walls.recorder.lost == 1)
    yard.gateway.never = False
    again = await yard.connect(f"{HOST}:{PORT}")
    again.close()
    await until(lambda: len(yard.gateway.of("egress.closed")) == 1)


async def test_an_upstream_that_never_finishes_its_handshake_holds_nothing_that_is_revoked(start: Start) -> None:
    async def mute(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        while await reader.read():
            pass

    yard = await start()
    site = await yard.site("mute.test", mute, tls=False)
    await yard.gateway.rule(ONE, Rule(host="mute.test", methods=("GET",)))
    caller = await yard.dial()
    asking = asyncio.create_task(caller.ask_tunnel("mute.test:443"))
    await until(lambda: site.connections == 1)
    yard.gateway.say(event="revoked", uuid=ONE)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asking
    await until(lambda: not site.handlers)
    assert yard.walls.connections == 0
