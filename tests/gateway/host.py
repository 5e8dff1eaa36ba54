"""A provider on loopback that a test plays itself: it keeps what came and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Said = tuple[int, dict[str, str], bytes]
CHAT_ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


def said(value: Any, status: int = 200, **headers: str) -> Said:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return status, {"content-type": "application/json"} | named, json.dumps(value).encode()


def refusal(status: int, **headers: str) -> Said:
    return said({"error": {"message": "no", "type": "x"}}, status, **headers)


@dataclass
class Heard:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Host:
    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    answer: Callable[[Heard], Said] = lambda heard: said(CHAT_ANSWER)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """No answer goes out while it is cleared."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                method, path, _ = first.split()
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.heard.append(Heard(method, path, headers, body))
                await self.open.wait()
                status, fields, data = self.answer(self.heard[-1])
                told = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{told}content-length: {len(data)}\r\n\r\n".encode() + data)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def host(answer: Callable[[Heard], Said] | None = None) -> AsyncIterator[Host]:
    made = Host()
    made.open.set()
    if answer is not None:
        made.answer = answer
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await asyncio.sleep(0)
