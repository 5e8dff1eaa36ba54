"""A worker that a test plays itself: HTTP/1.1 on a unix socket, as the gateway asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHAT_ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "from the script"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


@dataclass
class Told:
    """One request of the gateway."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> Any:
        return json.loads(self.headers[f"x-bawn-{name}"])

    @property
    def ticket(self) -> str:
        return self.headers["x-bawn-ticket"]


@dataclass
class Said:
    body: bytes | list[bytes]
    """Whole, or the parts of a stream."""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    """The connection is cut behind the last part."""


def said(value: Any, status: int = 200, **headers: str) -> Said:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Said(json.dumps(value).encode(), status, headers=named)


def stream(*parts: str, broken: bool = False) -> Said:
    return Said([part.encode() for part in parts], kind="text/event-stream", broken=broken)


Script = Callable[[Told], Awaitable[Said]]


@dataclass
class Worker:
    path: Path
    script: Script
    told: list[Told] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    left: int = 0
    """Requests whose asker went away before the answer."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.told.append(Told(first.split()[1], headers, body))
                await self._answer(self.told[-1], reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open.discard(writer)

    async def _answer(self, told: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        work = asyncio.ensure_future(self.script(told))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            work.cancel()
            await asyncio.wait([work])
            self.left += 1
            raise ConnectionError
        gone.cancel()
        await asyncio.wait([gone])
        answer = work.result()
        more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        start = f"HTTP/1.1 {answer.status} X\r\ncontent-type: {answer.kind}\r\n{more}"
        if isinstance(answer.body, bytes):
            writer.write(f"{start}content-length: {len(answer.body)}\r\n\r\n".encode() + answer.body)
            await writer.drain()
            return
        writer.write(f"{start}transfer-encoding: chunked\r\n\r\n".encode())
        for part in answer.body:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(0)
        if answer.broken:
            raise ConnectionError
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def worker(path: Path, script: Script) -> AsyncIterator[Worker]:
    made = Worker(path, script)
    server = await asyncio.start_unix_server(made.serve, path)
    try:
        yield made
    finally:
        server.close()
        for writer in tuple(made.open):
            writer.transport.abort()
        async with asyncio.timeout(3):
            while made.open:
                await asyncio.sleep(0.005)
