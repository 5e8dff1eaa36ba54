"""Three names can be given for one connection: to CONNECT, in the TLS hello, in Host. All must be the one that is allowed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from itertools import product

import pytest
from tests.egress_process.conftest import ONE, PUBLIC, Start, Yard, until
from tests.egress_process.sites import Remembering, Site

from bawn.egress.policy import Rule

SPLICED, SEEN, OTHER = "spliced.test", "seen.test", "other.test"
CONNECTS = (SPLICED, SEEN, OTHER, f"www.{SEEN}", SEEN.upper(), f"{SEEN}.")
GREETED = (SPLICED, SEEN, OTHER, f"www.{SEEN}", "", SEEN.upper())
HOSTS = (SPLICED, SEEN, OTHER, f"www.{SEEN}", f"{SEEN}:444", f"{SEEN}.")


async def says_who_was_asked(reader: Remembering, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()


async def one_front(yard: Yard) -> Site:
    """All names behind one address, as behind a content network: it serves whatever it is asked for."""
    site = await Site().open(says_who_was_asked, yard.outside.serving(SPLICED, SEEN, OTHER, f"*.{SEEN}"))
    yard.sites.append(site)
    for host in (SPLICED, SEEN, OTHER, f"www.{SEEN}"):
        yard.names.say(host, PUBLIC)
    yard.roads.leads[PUBLIC, 443] = site.port
    await yard.gateway.rule(ONE, Rule(host=SPLICED), Rule(host=SEEN, methods=("GET",)))
    return site


async def attempt(yard: Yard, connect: str, greeted: str, host: str) -> bool:
    """Whether an answer came back."""
    caller = await yard.dial()
    try:
        status, _ = await caller.ask_tunnel(f"{connect}:443")
        if status != 200:
            return False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            # Python sends no name at all for an address.
            await caller.writer.start_tls(context, server_hostname=greeted or "192.0.2.1", ssl_handshake_timeout=5)
            status, _ = await caller.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return False
        return status == 200
    finally:
        caller.writer.transport.abort()


@pytest.mark.parametrize("connect", CONNECTS)
async def test_only_three_equal_names_pass_where_requests_are_seen(start: Start, connect: str) -> None:
    yard = await start()
    site = await one_front(yard)
    normal = connect.lower().rstrip(".")
    for greeted, host in product(GREETED, HOSTS):
        before = len(site.got)
        passed = await attempt(yard, connect, greeted, host)
        if normal == SPLICED:
            expected = greeted == SPLICED  # what follows is not seen: docs/egress.md says so
        else:
            expected = normal == SEEN and greeted.lower() == SEEN and host.rstrip(".") == SEEN
        assert passed == expected, (connect, greeted, host)
        if not expected:
            await asyncio.sleep(0)
            assert len(site.got) == before, (connect, greeted, host)


async def test_a_hello_for_another_host_reaches_nobody(start: Start) -> None:
    async def silent(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        while await reader.read():
            pass

    yard = await start()
    site = await yard.site(SPLICED, silent, tls=False)
    await yard.gateway.rule(ONE, Rule(host=SPLICED))
    caller = await yard.connect(f"{SPLICED}:443")
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await caller.writer.start_tls(ssl.create_default_context(), server_hostname=OTHER)
    await until(lambda: yard.gateway.codes() == ["egress.sni_mismatch"])
    assert bytes(site.got) == b""


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: spliced.test\r\n\r\n", "egress.not_tls"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "egress.not_tls"),
        (b"\x80\x2e\x01\x00\x02" + b"\0" * 60, "egress.not_tls"),
        (b"\x16\x03\x01\x00\x05hello", "egress.not_tls"),
    ],
)
async def test_what_is_no_tls_reaches_nobody_on_a_tls_port(start: Start, bytes_sent: bytes, code: str) -> None:
    async def silent(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        while await reader.read():
            pass

    yard = await start()
    site = await yard.site(SPLICED, silent, tls=False)
    await yard.gateway.rule(ONE, Rule(host=SPLICED))
    caller = await yard.connect(f"{SPLICED}:443")
    caller.writer.write(bytes_sent)
    await caller.ended()
    await until(lambda: yard.gateway.codes() == [code])
    assert bytes(site.got) == b""


async def test_a_hello_in_tiny_pieces_is_read_all_the_same(start: Start) -> None:
    yard = await start()
    site = await one_front(yard)
    caller = await yard.connect(f"{SPLICED}:443")
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = yard.outside.trusting().wrap_bio(came, goes, server_hostname=SPLICED)
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    hello = goes.read()
    for at in range(0, len(hello), 7):
        caller.writer.write(hello[at : at + 7])
        await asyncio.sleep(0)
    came.write(await caller.reader.read(65536))
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    assert engine.version() is not None
    assert site.connections <= 1


async def test_tls_on_another_port_is_held_to_its_name_and_other_protocols_pass(start: Start) -> None:
    async def greets(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while data := await reader.read():
            writer.write(data)

    yard = await start()
    site = await yard.site(SPLICED, greets, port=2525, tls=False)
    await yard.gateway.rule(ONE, Rule(host=SPLICED, ports=(2525,)))
    caller = await yard.connect(f"{SPLICED}:2525")
    assert await caller.reader.readuntil(b"\n") == b"220 ready\r\n"
    caller.writer.write(b"EHLO me\r\n")
    assert await caller.reader.readuntil(b"\n") == b"EHLO me\r\n"
    sent = len(site.got)
    other = await yard.connect(f"{SPLICED}:2525")
    assert await other.reader.readuntil(b"\n") == b"220 ready\r\n"
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(came, goes, server_hostname=OTHER).do_handshake()
    other.writer.write(goes.read())
    await until(lambda: yard.gateway.codes() == ["egress.sni_mismatch"])
    assert len(site.got) == sent


async def test_a_tunnel_to_port_80_is_no_way_round_the_rules_of_plain_http(start: Start) -> None:
    yard = await start()
    site = await yard.site(SPLICED, says_who_was_asked, port=80, tls=False)
    await yard.gateway.rule(ONE, Rule(host=SPLICED, ports=(80,), paths=("/only",)))
    caller = await yard.dial()
    assert (await caller.ask_tunnel(f"{SPLICED}:80"))[0] == 403
    assert site.connections == 0
