"""Bodies that are read while they come: bounded, in order, and ended in one place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bawn.errors import Fault
from bawn.gateway.http1 import DoorConnection, Head
from bawn.gateway.settings import Limits

MEGABYTE = 2**20


class Taker:
    """Reads each upload at the pace that the test gives, and answers with its size or its fault's code."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.early = False
        self.tasks: list[asyncio.Task[None]] = []
        self.left = 0

    def glance(self, head: Head) -> Fault | None:
        head.upload_bytes = MEGABYTE if head.path == b"/upload" else 0
        return None

    def begin(self, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        if connection.upload is None:
            connection.write_whole(200, [], b"whole %d" % len(body))
        else:
            self.tasks.append(asyncio.create_task(self._take(connection)))
        return self._leave

    async def _take(self, connection: DoorConnection) -> None:
        upload, size = connection.upload, 0
        assert upload is not None
        try:
            await self.go.wait()
            if not self.early:
                while data := await upload.read():
                    size += len(data)
        except Fault as fault:
            connection.write_whole(fault.status, [], fault.code.encode())
        else:
            connection.write_whole(200, [], b"upload %d" % size)

    def _leave(self) -> None:
        self.left += 1

    def refuse(self, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        connection.write_whole(fault.status, [], fault.code.encode())


@asynccontextmanager
async def door(limits: Limits | None = None) -> AsyncIterator[tuple[Taker, int, set[DoorConnection]]]:
    taker, connections = Taker(), set[DoorConnection]()

    def connect() -> DoorConnection:
        connection = DoorConnection(taker, limits or Limits(body_bytes=1024), time.monotonic, connections.discard)
        connections.add(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield taker, server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await asyncio.sleep(0)


async def said(port: int, *parts: bytes, end: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read() if end else reader.readuntil(b"\r\n\r\n"), 5)
    finally:
        writer.transport.abort()


def upload(size: int, more: bytes = b"connection: close\r\n") -> bytes:
    return b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n" % (size, more)


async def test_an_upload_is_longer_than_a_body_may_be() -> None:
    async with door() as (_, port, _):
        data = b"x" * 500_000
        assert b"upload 500000" in await said(port, upload(len(data)), data)
        assert b"http.body_too_large" in await said(port, upload(2000).replace(b"/upload", b"/other"))


async def test_a_client_is_not_read_faster_than_its_upload_is_taken() -> None:
    async with door() as (taker, port, connections):
        taker.go.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upload(MEGABYTE) + b"x" * MEGABYTE)
        for _ in range(100):
            await asyncio.sleep(0.001)
        (connection,) = connections
        assert connection.upload is not None
        assert connection.upload._waiting_bytes < 600_000
        taker.go.set()
        assert b"upload 1048576" in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_an_upload_over_its_limit_is_refused_by_its_length_or_while_it_comes() -> None:
    async with door() as (_, port, _):
        assert b"http.body_too_large" in await said(port, upload(MEGABYTE + 1))
        chunked = b"POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        parts = [b"%x\r\n%b\r\n" % (65536, b"y" * 65536) for _ in range(17)]
        assert b"http.body_too_large" in await said(port, chunked, *parts)


async def test_a_client_that_is_answered_early_reads_the_answer_while_it_still_sends() -> None:
    async with door() as (taker, port, _):
        taker.early = True
        assert b"upload 0" in await said(port, upload(MEGABYTE), b"x" * 600_000)


async def test_an_upload_that_stands_still_or_is_no_http_ends_in_its_own_fault() -> None:
    async with door(Limits(body_seconds=0.05)) as (_, port, connections):
        waiting = asyncio.create_task(said(port, upload(1000), b"x"))
        await asyncio.sleep(0.15)
        for connection in tuple(connections):
            connection.overdue()
        assert b"http.too_slow" in await waiting
        chunked = b"POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        assert b"http.malformed" in await said(port, chunked, b"3\r\nabc\r\nZZ\r\n")


async def test_a_client_that_leaves_in_the_middle_is_noticed() -> None:
    async with door() as (taker, port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upload(1000) + b"x")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.wait_for(asyncio.gather(*taker.tasks), 5)
        assert taker.left == 1


async def test_a_request_behind_an_upload_is_answered_next() -> None:
    async with door() as (_, port, _):
        second = b"POST /other HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab"
        answer = await said(port, upload(3, b"") + b"abc" + second)
        assert answer.index(b"upload 3") < answer.index(b"whole 2")


async def test_an_upload_that_does_not_wait_for_the_answer_before_it_is_refused() -> None:
    async with door() as (taker, port, _):
        taker.go.clear()
        answer = asyncio.create_task(said(port, upload(1, b"") + b"z" + upload(3) + b"abc"))
        await asyncio.sleep(0.05)
        taker.go.set()
        assert (await answer).count(b"upload") == 1
