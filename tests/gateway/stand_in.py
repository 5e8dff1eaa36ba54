"""A provider that answers as the test says, and keeps what it was asked and whether the body came to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.conftest import until

Answers = Callable[[str, str, bytes], "tuple[int, Any]"]
"""Method, path and body → status, and what is answered: JSON, or bytes."""


@dataclass
class StandIn:
    answers: Answers
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Requests whose body was whole, as method and path."""
    begun: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    received: int = 0
    once: bool = False
    """Whether a connection is closed, without a word, by the second request on it."""
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        answered = False
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if self.once and answered:
                    return
                method, path, _ = head.split(" ", 2)
                self.begun.append((method, path))
                self.heads.append(head)
                body = await self._body(head.lower(), reader)
                self.asked.append((method, path))
                self.bodies.append(body)
                status, said = self.answers(method, path, body)
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data))
                await writer.drain()
                answered = True
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _body(self, head: str, reader: asyncio.StreamReader) -> bytes:
        if "transfer-encoding: chunked" in head:
            parts = []
            while size := int(await reader.readuntil(b"\n"), 16):
                parts.append((await reader.readexactly(size + 2))[:-2])
                self.received += size
            await reader.readexactly(2)
            return b"".join(parts)
        length = next((int(line[15:]) for line in head.splitlines() if line.startswith("content-length:")), 0)
        return await reader.readexactly(length)


@asynccontextmanager
async def stand_in(answers: Answers, heads: list[str] | None = None) -> AsyncIterator[StandIn]:
    provider = StandIn(answers, heads=[] if heads is None else heads)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()
        for task in tuple(provider.connections):
            task.cancel()
        await until(lambda: not provider.connections)
        await asyncio.sleep(0)
