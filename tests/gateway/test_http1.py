"""The framing of a door, spoken to over a real socket: what is one request, and what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.gateway.http1 import BodyBudget, DoorConnection, Head
from bawn.gateway.settings import Limits


class Echo:
    """Answers each request with its body, and each refusal with its code."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes, bytes]] = []
        self.left = 0
        self.hold = False

    def glance(self, head: Head) -> Fault | None:
        return Fault("auth.refused", "No.") if head.path == b"/forbidden" else None

    def begin(self, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        self.seen.append((head.method, head.path, body))
        if not self.hold:
            connection.write_whole(200, [(b"content-type", b"text/plain")], body)
        return self._leave

    def _leave(self) -> None:
        self.left += 1

    def refuse(self, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        connection.write_whole(fault.status, [], fault.code.encode())


@asynccontextmanager
async def door(limits: Limits | None = None) -> AsyncIterator[tuple[Echo, int, set[DoorConnection]]]:
    echo, connections = Echo(), set[DoorConnection]()

    def connect() -> DoorConnection:
        connection = DoorConnection(echo, limits or Limits(), time.monotonic, connections.discard)
        connections.add(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield echo, server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await asyncio.sleep(0)


async def say(port: int, *parts: bytes, pause: float = 0) -> bytes:
    """Everything the door answers until it closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        while True:
            data = await asyncio.wait_for(reader.read(65536), 0.3)
            if not data:
                return heard + b"<closed>"
            heard += data
    except (TimeoutError, ConnectionResetError):
        return heard
    finally:
        writer.close()


def post(body: bytes, *lines: bytes, path: bytes = b"/x") -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"Host: ai.bawn.internal", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def test_a_whole_request_is_answered_and_the_connection_stays_open() -> None:
    async with door() as (echo, port, _):
        heard = await say(port, post(b"hello", b"Content-Length: 5"))
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"hello")
    assert echo.seen == [("POST", b"/x", b"hello")]


async def test_a_chunked_body_is_put_together() -> None:
    async with door() as (echo, port, _):
        await say(port, post(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"))
    assert echo.seen == [("POST", b"/x", b"abcde")]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with door() as (echo, port, _):
        heard = await say(port, post(b"one", b"Content-Length: 3") + post(b"two", b"Content-Length: 3"))
    assert [body for _, _, body in echo.seen] == [b"one", b"two"]
    assert heard.index(b"one") < heard.index(b"two")


HEADS = (b"Content-Length: %d", b"content-length:%d", b"X-A: 1\r\nContent-Length:  %d\r\nX-B: Content-Length: 1", b"")
BODIES = (b"", b"x", b"0\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc", b"y" * 2000)


async def test_a_head_that_is_said_again_means_what_it_meant_alone() -> None:
    """The short way for a repeated head and the parser's way, for all neighbours, whole and in pieces."""
    wanted, parts = [], []
    for first in HEADS:
        for second in (first, HEADS[0]):
            for body in BODIES:
                for line in (first, second, second):
                    framed = line % len(body) if line else b""
                    said = post(body if framed else b"", *filter(None, (framed,)))
                    wanted.append(("POST", b"/x", body if framed else b""))
                    parts += [said[:-1], said[-1:]] if len(wanted) % 7 == 0 else [said]
    async with door(Limits(idle_seconds=30)) as (echo, port, _):
        heard = await say(port, *parts, pause=0.002)
    assert echo.seen == wanted
    assert heard.count(b"HTTP/1.1 200 OK") == len(wanted)


async def test_a_repeated_head_with_another_length_than_its_body_is_one_request_and_the_next() -> None:
    one, more = post(b"ab", b"Content-Length: 2"), post(b"abc", b"Content-Length: 3")
    async with door() as (echo, port, _):
        await say(port, one, one + more, post(b"a", b"Content-Length: 4"), b"bcd", one, pause=0.02)
    assert [body for _, _, body in echo.seen] == [b"ab", b"ab", b"abc", b"abcd", b"ab"]


async def test_a_repeated_head_takes_from_the_budget_and_from_the_limit_of_a_body() -> None:
    async with door(Limits(body_bytes=1024)) as (echo, port, _):
        heard = await say(
            port, post(b"a", b"Content-Length: 1"), post(b"a" * 2000, b"Content-Length: 2000"), pause=0.02
        )
    assert b"http.body_too_large" in heard
    assert len(echo.seen) == 1


REFUSED = {
    "two ways of framing": (post(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"), b"http.malformed"),
    "two lengths": (post(b"hello", b"Content-Length: 5", b"Content-Length: 6"), b"http.malformed"),
    "a list of lengths": (post(b"hello", b"Content-Length: 5, 5"), b"http.malformed"),
    "a signed length": (post(b"hello", b"Content-Length: +5"), b"http.malformed"),
    "another coding": (post(b"", b"Transfer-Encoding: gzip, chunked"), b"http.malformed"),
    "a coding in disguise": (post(b"", b"Transfer-Encoding: xchunked"), b"http.malformed"),
    "a bad chunk size": (post(b"zz\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), b"http.malformed"),
    "a trailer": (post(b"0\r\nX-Late: 1\r\n\r\n", b"Transfer-Encoding: chunked"), b"http.malformed"),
    "a second host": (post(b"", b"Host: other"), b"http.malformed"),
    "a host that shifts the path": (b"GET / HTTP/1.1\r\nHost: a/b?c\r\n\r\n", b"http.malformed"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", b"http.malformed"),
    "an old version": (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", b"http.malformed"),
    "a control byte in a header": (post(b"", b"X-Bad: a\x01b"), b"http.malformed"),
    "a NUL in a header": (post(b"", b"X-Bad: a\x00b"), b"http.malformed"),
    "a folded header": (post(b"", b"X-Fold: a\r\n  b"), b"http.malformed"),
    "a space before the colon": (post(b"", b"X-Space : a"), b"http.malformed"),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"http.malformed"),
    "an upgrade": (post(b"", b"Connection: Upgrade", b"Upgrade: websocket"), b"http.malformed"),
    "a tunnel": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n", b"http.malformed"),
    "a compressed body": (post(b"abc", b"Content-Length: 3", b"Content-Encoding: gzip"), b"http.unsupported_encoding"),
    "too many headers": (post(b"", *[b"X-%d: 1" % i for i in range(200)]), b"http.headers_too_large"),
    "a huge header": (post(b"", b"X-Huge: " + b"a" * 70_000), b"http.headers_too_large"),
    "a huge path": (post(b"", path=b"/" + b"a" * 5000), b"http.malformed"),
    "a body announced too large": (post(b"", b"Content-Length: 99999999"), b"http.body_too_large"),
    "a caller refused on the head": (post(b"", b"Content-Length: 1000", path=b"/forbidden"), b"auth.refused"),
}


@pytest.mark.parametrize(("request_bytes", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    request_bytes: bytes, code: bytes
) -> None:
    async with door() as (echo, port, _):
        heard = await say(port, request_bytes)
    assert code in heard
    assert heard.endswith(b"<closed>")
    assert echo.seen == []


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes() -> None:
    async with door(Limits(body_bytes=1024)) as (echo, port, _):
        heard = await say(port, post(b"", b"Transfer-Encoding: chunked"), b"800\r\n" + b"a" * 2048 + b"\r\n")
    assert b"http.body_too_large" in heard
    assert echo.seen == []


async def test_the_connections_of_a_door_hold_no_more_together_than_they_may() -> None:
    budget = BodyBudget(100_000)
    echo = Echo()
    held: set[DoorConnection] = set()

    def connect() -> DoorConnection:
        connection = DoorConnection(echo, Limits(), time.monotonic, held.discard, budget)
        held.add(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, first = await asyncio.open_connection("127.0.0.1", port)
    first.write(post(b"a" * 60_000, b"Content-Length: 60001"))
    await first.drain()
    await asyncio.sleep(0.05)
    assert b"limit.bodies" in await say(port, post(b"b" * 60_000, b"Content-Length: 60000"))
    first.close()
    await asyncio.sleep(0.05)
    assert (await say(port, post(b"c" * 60_000, b"Content-Length: 60000"))).startswith(b"HTTP/1.1 200")
    await asyncio.sleep(0.05)
    assert budget.held == 0
    server.close()


async def test_a_smuggled_second_request_is_never_answered() -> None:
    hidden = b"GET /forbidden-inner HTTP/1.1\r\nHost: x\r\n\r\n"
    smuggled = post(b"0\r\n\r\n" + hidden, b"Content-Length: 6", b"Transfer-Encoding: chunked")
    async with door() as (echo, port, _):
        await say(port, smuggled)
    assert echo.seen == []


async def test_a_slow_head_is_cut_when_its_time_is_over() -> None:
    async with door(Limits(header_seconds=0.05)) as (echo, port, connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /x HT")
        await asyncio.sleep(0.1)
        for connection in tuple(connections):
            assert connection.deadline <= time.monotonic()
            connection.overdue()
        assert b"http.too_slow" in await reader.read()
        writer.close()
    assert echo.seen == []


async def test_a_trickling_body_does_not_extend_its_time() -> None:
    async with door(Limits(body_seconds=0.1)) as (_, port, connections):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"", b"Content-Length: 100"))
        for _ in range(4):
            writer.write(b"a")
            await asyncio.sleep(0.04)
        assert all(connection.deadline <= time.monotonic() for connection in connections)
        writer.close()


async def test_the_answering_side_is_told_when_the_client_leaves() -> None:
    async with door() as (echo, port, _):
        echo.hold = True
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"hi", b"Content-Length: 2"))
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.sleep(0.1)
        assert echo.left == 1


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on() -> None:
    async with door() as (echo, port, _):
        heard = await say(port, post(b"", b"Content-Length: 2", b"Expect: 100-continue"), b"hi", pause=0.05)
    assert heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert echo.seen == [("POST", b"/x", b"hi")]


class _Recorded(asyncio.Transport):
    """Just enough of a transport to feed a connection without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.out = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.out += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """No limits here."""

    def close(self) -> None:
        self.out += b"<closed>"

    def abort(self) -> None:
        self.out += b"<aborted>"


@given(cuts=st.lists(st.integers(0, 120), max_size=8))
def test_any_split_of_a_request_reads_the_same(cuts: list[int]) -> None:
    whole = post(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")
    echo = Echo()
    connection = DoorConnection(echo, Limits(), time.monotonic, lambda _: None)
    connection.connection_made(_Recorded())
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    for start, end in zip(edges, edges[1:], strict=False):
        connection.data_received(whole[start:end])
    assert echo.seen == [("POST", b"/x", b"abcde")]
