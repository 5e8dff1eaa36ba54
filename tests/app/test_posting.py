"""A webhook is posted to by the gateway's own way out, whatever the other end does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bawn.app.posting import Posting
from bawn.errors import Fault
from bawn.gateway.pool import Pool

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    talks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        running = [talk for talk in talks if talk is not None]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def says(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()

    return talk


def posting() -> Posting:
    return Posting(Pool(time.monotonic, 5))


async def test_a_notice_is_posted_as_json_to_exactly_that_address() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(talk) as url:
        assert await posting().post(f"{url}/hooks/a%20b?x=1", b'{"title": "x"}', 5) == 204
    head, body = seen[0]
    assert head.startswith(b"POST /hooks/a%20b?x=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"content-type: application/json" in head
    assert json.loads(body) == {"title": "x"}


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    asked = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)

    async with serving(elsewhere) as other:
        moved = f"HTTP/1.1 307 Moved\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n".encode()
        async with serving(says(moved)) as url:
            assert await posting().post(url, b"{}", 5) == 307
        await asyncio.sleep(0.05)
    assert asked == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00\x01\x02garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000],
    ids=["nothing", "garbage", "no status", "endless head"],
)
async def test_what_is_no_answer_is_a_fault(answer: bytes) -> None:
    async with serving(says(answer)) as url:
        with pytest.raises(Fault) as caught:
            await posting().post(url, b"{}", 5)
    assert caught.value.code == "upstream.broken"
    assert url not in str(caught.value.sentence)


async def test_one_that_never_answers_is_left_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as url:
        begin = time.monotonic()
        with pytest.raises(Fault) as caught:
            await posting().post(url, b"{}", 0.1)
    assert caught.value.code == "upstream.timeout"
    assert time.monotonic() - begin < 3


async def test_an_endless_answer_is_not_read() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                await writer.drain()

    async with serving(endless) as url:
        async with asyncio.timeout(5):
            assert await posting().post(url, b"{}", 5) == 200


async def test_where_nobody_listens_it_is_unreachable() -> None:
    async with serving(says(b"")) as url:
        pass
    with pytest.raises(Fault) as caught:
        await posting().post(url, b"{}", 5)
    assert caught.value.code == "upstream.unreachable"
