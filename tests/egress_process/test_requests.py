"""Requests that are seen: inside TLS that ends at the door, and over plain HTTP. What reaches the upstream is what was judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.egress_process.conftest import ONE, Caller, Start, Yard, until
from tests.egress_process.sites import Remembering, Site

from bawn.egress.policy import Rule
from bawn.egress.walls import Limits

HOST = "seen.test"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def answering(*answers: bytes) -> Callable[[Remembering, asyncio.StreamWriter], Awaitable[None]]:
    """Each request's head is answered by the next of these; the last one stays."""

    async def serve(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            answer = left.pop(0) if len(left) > 1 else left[0]
            writer.write(answer)
            await writer.drain()
            if b"content-length" not in answer.lower() and b"chunked" not in answer.lower():
                return

    return serve


async def swallowing(reader: Remembering, writer: asyncio.StreamWriter) -> None:
    """Reads everything, answers once the request stands still."""
    try:
        while True:
            async with asyncio.timeout(0.15):
                if not await reader.read():
                    return
    except TimeoutError:
        writer.write(OK)
        await writer.drain()
        await reader.read()


async def seen(start: Start, *answers: bytes, rule: Rule | None = None) -> tuple[Yard, Site, Caller]:
    """A TLS session that ends at the door, with an upstream that answers so."""
    yard = await start()
    site = await yard.site(HOST, answering(*answers or (OK,)))
    await yard.gateway.rule(ONE, rule or Rule(host=HOST, methods=("GET", "POST", "HEAD"), paths=("/open",)))
    return yard, site, await yard.tls(HOST, trust=yard.inside())


async def test_an_allowed_request_passes_as_it_was_understood(start: Start) -> None:
    _, site, caller = await seen(start)
    status, body = await caller.send(
        f"GET /open/it?a=b HTTP/1.1\r\nhost: {HOST}\r\nAccept-Encoding: gzip\r\nConnection: x-hop\r\nx-hop: 1\r\nx-kept: 2\r\n\r\n"
    )
    assert (status, body) == (200, b"ok")
    assert bytes(site.got) == (
        f"GET /open/it?a=b HTTP/1.1\r\nhost: {HOST}\r\nx-kept: 2\r\naccept-encoding: identity\r\n\r\n".encode()
    )


async def test_requests_follow_one_another_on_one_connection(start: Start) -> None:
    yard, site, caller = await seen(start)
    for _ in range(3):
        assert (await caller.send(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))[0] == 200
    assert site.connections == 1
    assert len(yard.gateway.of("egress.opened")) == 1


async def test_an_upstream_that_closes_is_dialled_and_recorded_anew(start: Start) -> None:
    yard, site, caller = await seen(start, OK.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n"))
    for _ in range(2):
        assert (await caller.send(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))[0] == 200
    assert site.connections == 2
    assert len(yard.gateway.of("egress.opened")) == 2


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ("DELETE /open", "egress.method_not_allowed"),
        ("GET /closed", "egress.path_not_allowed"),
        ("GET /open/../closed", "egress.path_not_allowed"),
        ("GET /open/%2e%2e/closed", "egress.path_not_allowed"),
        ("GET https://other.test/open", "egress.malformed"),
        ("CONNECT other.test:443", "egress.malformed"),
    ],
)
async def test_what_the_rule_does_not_say_is_refused_inside_and_reaches_nobody(
    start: Start, request_line: str, code: str
) -> None:
    yard, site, caller = await seen(start)
    host = request_line.split("/")[2] if "://" in request_line else HOST
    host = "other.test" if request_line.startswith("CONNECT") else host
    status, body = await caller.send(f"{request_line} HTTP/1.1\r\nhost: {host}\r\n\r\n")
    assert status >= 400
    assert body["error"]["code"] == code
    await until(lambda: yard.gateway.codes() == [code])
    assert bytes(site.got) == b""


SMUGGLED = f"GET /closed HTTP/1.1\r\nhost: {HOST}\r\n\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\ncontent-length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n{SMUGGLED}",
        f"POST /open HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: +4\r\n\r\nabcd",
        f"GET /open HTTP/1.1\r\nhost: {HOST}\r\nhost: other.test\r\n\r\n",
        f"GET /open HTTP/1.1\nhost: {HOST}\n\nGET /closed HTTP/1.1\r\nhost: {HOST}\r\n\r\n",
        f"GET /open HTTP/1.1\r\nhost: {HOST}\r\nx: a\r\n b\r\n\r\n",
        f"GET /open\tHTTP/1.1\r\nhost: {HOST}\r\n\r\n",
        f"GET /open HTTP/1.1\r\nhost: {HOST}\r\nx: a\rGET /closed HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_request_that_two_readers_could_read_differently_does_not_pass(start: Start, request_text: str) -> None:
    yard, site, caller = await seen(start)
    caller.writer.write(request_text.encode())
    await caller.ended()
    await until(lambda: bool(yard.gateway.codes()))
    assert b"/closed" not in bytes(site.got)


async def test_what_follows_a_body_is_a_request_of_its_own_and_judged(start: Start) -> None:
    yard = await start()
    site = await yard.site(HOST, swallowing)
    await yard.gateway.rule(ONE, Rule(host=HOST, methods=("POST",)))
    caller = await yard.tls(HOST, trust=yard.inside())
    caller.writer.write(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nabc{SMUGGLED}".encode())
    assert (await caller.answer())[0] == 200
    status, body = await caller.answer()
    assert (status, body["error"]["code"]) == (403, "egress.method_not_allowed")
    assert bytes(site.got).endswith(b"\r\n\r\nabc")


async def test_bodies_pass_with_a_length_and_in_chunks(start: Start) -> None:
    yard = await start()
    site = await yard.site(HOST, swallowing)
    await yard.gateway.rule(ONE, Rule(host=HOST, methods=("PUT",)))
    for framing, sent in (
        ("content-length: 200000", b"x" * 200_000),
        ("transfer-encoding: chunked", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
    ):
        site.got.clear()
        caller = await yard.tls(HOST, trust=yard.inside())
        caller.writer.write(f"PUT / HTTP/1.1\r\nhost: {HOST}\r\n{framing}\r\nexpect: 100-continue\r\n\r\n".encode())
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await caller.send(sent))[0] == 200
        head, _, body = bytes(site.got).partition(b"\r\n\r\n")
        assert framing.encode() in head
        assert b"expect" not in head
        assert body == sent


async def test_a_redirect_is_passed_on_and_never_followed(start: Start) -> None:
    away = b"HTTP/1.1 302 Found\r\nlocation: https://other.test/open\r\ncontent-length: 0\r\n\r\n"
    yard, _, caller = await seen(start, away)
    caller.writer.write(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
    status, headers, _ = await caller.whole_answer()
    assert (status, headers["location"]) == (302, "https://other.test/open")
    assert yard.names.asked == [HOST]
    assert len(yard.roads.dialled) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"nonsense content-length\r\n\r\n",
    ],
)
async def test_an_answer_that_cannot_be_passed_on_is_said_to_be_broken(start: Start, answer: bytes) -> None:
    _, _, caller = await seen(start, answer)
    status, body = await caller.send(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n")
    assert (status, body["error"]["code"]) == (502, "egress.upstream_broken")


async def test_a_second_answer_that_nobody_asked_for_becomes_nobodys(start: Start) -> None:
    planted = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nplanted"
    _, site, caller = await seen(start, OK + planted, OK)
    for _ in range(2):
        assert await caller.send(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n") == (200, b"ok")
        await asyncio.sleep(0.02)
    assert site.connections >= 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nt: 1\r\n\r\n",
            b"abcdefg",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nz", b"z"),
        (b"HTTP/1.1 204 No Content\r\nx: chunked\r\n\r\n", b""),
    ],
)
async def test_answers_come_whole_however_they_were_framed(start: Start, answer: bytes, body: bytes) -> None:
    _, _, caller = await seen(start, answer)
    status, came = await caller.send(f"GET /open HTTP/1.1\r\nhost: {HOST}\r\n\r\n")
    assert status in (200, 204)
    assert came == body


async def test_an_upstream_without_a_valid_certificate_is_not_spoken_to(start: Start) -> None:
    yard = await start()
    site = await yard.site("other.test", answering(OK))
    yard.names.say(HOST, "93.184.215.14")
    await yard.gateway.rule(ONE, Rule(host=HOST, methods=("GET",)))
    caller = await yard.dial()
    status, body = await caller.ask_tunnel(f"{HOST}:443")
    assert (status, body["error"]["code"]) == (502, "egress.upstream_broken")
    assert bytes(site.got) == b""


async def test_plain_http_passes_where_a_rule_names_port_80(start: Start) -> None:
    yard = await start()
    site = await yard.site("plain.test", answering(OK), port=80, tls=False)
    await yard.gateway.rule(ONE, Rule(host="plain.test", ports=(80,), paths=("/open",)), Rule(host="other.test"))
    caller = await yard.dial()
    for _ in range(2):
        answer = await caller.send("GET http://plain.test/open?x=1 HTTP/1.1\r\nHost: plain.test\r\n\r\n")
        assert answer == (200, b"ok")
    assert bytes(site.got).startswith(b"GET /open?x=1 HTTP/1.1\r\nhost: plain.test\r\n")
    assert len(yard.gateway.of("egress.opened")) == 2
    got = len(site.got)
    status, body = await caller.send("GET http://plain.test/closed HTTP/1.1\r\nHost: plain.test\r\n\r\n")
    assert (status, body["error"]["code"]) == (403, "egress.path_not_allowed")
    for address in ("http://other.test/", "http://other.test:443/", "http://plain.test:8080/open"):
        caller = await yard.dial()
        host = address.split("/")[2]
        status, _ = await caller.send(f"GET {address} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert status == 403
    assert len(site.got) == got


async def test_a_request_that_is_not_for_a_proxy_is_told_so(start: Start) -> None:
    yard = await start()
    await yard.gateway.rule(ONE, Rule(host=HOST))
    caller = await yard.dial()
    status, body = await caller.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
    assert (status, body["error"]["code"]) == (400, "egress.malformed")


async def test_bytes_that_may_be_sent_end_a_connection_and_the_next_ones(start: Start) -> None:
    yard = await start()
    site = await yard.site(HOST, swallowing, tls=False, port=9000)
    await yard.gateway.rule(ONE, Rule(host=HOST, ports=(9000,), bytes=100_000))
    caller = await yard.connect(f"{HOST}:9000")
    caller.writer.write(b"x" * 1_000_000)
    await caller.ended()
    await until(lambda: bool(yard.gateway.of("egress.closed")))
    assert yard.gateway.of("egress.closed")[0]["code"] == "egress.budget"
    assert len(site.got) <= 100_000
    again = await yard.dial()
    status, body = await again.ask_tunnel(f"{HOST}:9000")
    assert (status, body["error"]["code"]) == (403, "egress.budget")


async def test_a_rules_seconds_and_silence_end_a_tunnel(start: Start) -> None:
    yard = await start(limits=Limits(idle_s=0.3))
    await yard.site(HOST, swallowing, tls=False, port=9000)
    for rule, code in (
        (Rule(host=HOST, ports=(9000,), seconds=0.2), "egress.time"),
        (Rule(host=HOST, ports=(9000,)), "egress.idle"),
    ):
        yard.gateway.events.clear()
        await yard.gateway.rule(ONE, rule)
        caller = await yard.connect(f"{HOST}:9000")
        await caller.ended()
        await until(lambda: bool(yard.gateway.of("egress.closed")))
        assert yard.gateway.of("egress.closed")[0]["code"] == code
