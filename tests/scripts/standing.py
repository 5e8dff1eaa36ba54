"""Workers as the supervisor starts them, and a stand-in for the gateway on both of their sockets."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bawn.errors import Fault
from bawn.sandbox.cgroup import Cgroups
from bawn.scripts.worker.client import Door, Reply
from bawn.supervisor.loop import Loop
from bawn.supervisor.scripts import Scripts

CONTAINER = {"uuid": "c-7", "number": 7, "name": "seven", "project": "shop"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Came:
    """One request as it came to the stand-in gateway."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the worker has closed the connection."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answering = Callable[[Came, asyncio.StreamWriter], Awaitable[None]]


def plain(status: int, said: object, **headers: str) -> bytes:
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        f"content-length: {len(data)}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class GatewayDoor:
    """Answers on `door.sock` by what a test says."""

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.answers: dict[str, Answering] = {}
        self.otherwise: Answering = self._model

    async def _model(self, came: Came, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(200, {"echo": came.json if came.body else None}, content_type="application/json"))

    def always(self, path: str, data: bytes) -> None:
        async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(data)

        self.answers[path] = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came: Came | None = None
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = dict(_field(line) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                came = Came(method, path, headers, body)
                self.came.append(came)
                answer = self.answers.get(path, self.otherwise)
                gone = asyncio.ensure_future(self._gone(reader, came))
                await answer(came, writer)
                await writer.drain()
                if not gone.done():
                    gone.cancel()
                    await asyncio.wait({gone})
                if came.left.is_set():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _gone(self, reader: asyncio.StreamReader, came: Came) -> None:
        while not reader.at_eof():
            await asyncio.sleep(0.01)
        came.left.set()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


class Standing:
    """A home, its supervisor's part that starts workers, and the gateway's door."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="bawn-s-", dir="/var/tmp"))
        for name in ("scripts", "run/scripts/door", "workers"):
            (self.home / name).mkdir(parents=True)
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.door = GatewayDoor()
        self.sockets: dict[tuple[str, str], str] = {}
        self.logs: dict[tuple[str, str], list[str]] = {}
        self._loop = Loop()
        self._thread = threading.Thread(target=self._loop.run)
        self.scripts = Scripts(
            self._loop,
            self.home,
            lambda act: act(),
            lambda event: self.events.put(dict(event)),
            Cgroups(),
            gateway=None,
            owner=None,
            rootless=os.geteuid() != 0,
            registries=lambda: json.dumps(self.registries).encode(),
        )
        self.registries: dict[str, Any] = {}
        """What this host's clients are configured for."""
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._thread.start()
        self._server = await asyncio.start_unix_server(self.door.serve, self.home / "run/scripts/door/door.sock")

    async def close(self) -> None:
        self._loop.post(self._end)
        await asyncio.to_thread(self._thread.join, 10)
        self._loop.close()
        if self._server is not None:
            self._server.close()
        shutil.rmtree(self.home)

    def _end(self) -> None:
        self.scripts.close()
        self._loop.stop()

    def write(self, text: str, name: str = "api/v1/[...path].py", exec_id: str = "1", project: str = "shop") -> Path:
        path = self.home / "scripts" / project / exec_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    async def ask(self, act: str, **fields: object) -> dict[str, Any]:
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def reply(said: dict[str, object] | Fault, fds: list[int]) -> None:
            kept = [os.dup(fd) for fd in fds]
            loop.call_soon_threadsafe(answered.set_result, {"said": said, "fds": kept})

        def do() -> None:
            try:
                getattr(self.scripts, act)(fields, reply)
            except Fault as fault:
                reply(fault, [])

        self._loop.post(do)
        came = await asyncio.wait_for(answered, 30)
        if isinstance(came["said"], Fault):
            raise came["said"]
        return {**came["said"], "fds": came["fds"]}

    async def start(self, exec_id: str = "1", project: str = "shop", **fields: object) -> dict[str, Any]:
        (self.home / "run/scripts" / project / "egress").mkdir(parents=True, exist_ok=True)
        (self.home / "scripts" / project / exec_id).mkdir(parents=True, exist_ok=True)
        said = await self.ask("start", project=project, exec=exec_id, **fields)
        self.sockets[project, exec_id] = said["socket"]
        lines = self.logs[project, exec_id] = []
        threading.Thread(target=self._follow, args=(said["fds"][0], lines), daemon=True).start()
        return said

    def _follow(self, fd: int, lines: list[str]) -> None:
        with os.fdopen(fd, errors="replace") as pipe:
            lines.extend(pipe)

    async def stop(self, exec_id: str = "1", project: str = "shop") -> None:
        await self.ask("stop", project=project, exec=exec_id)

    def log(self, exec_id: str = "1", project: str = "shop") -> str:
        return "".join(self.logs[project, exec_id])

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, exec_id: str = "1", project: str = "shop"
    ) -> Reply:
        return await Door(self.sockets[project, exec_id]).send(method, path, headers, body)

    async def begun(
        self,
        said: object = CHAT,
        *,
        script: str = "api/v1/[...path].py",
        container: dict[str, Any] = CONTAINER,
        path: str = "/api/v1/chat/completions",
        exec_id: str = "1",
        project: str = "shop",
    ) -> Reply:
        """A call of the agent, when its answer has begun."""
        headers = {
            "x-bawn-script": script, "x-bawn-method": "POST", "x-bawn-path": path, "x-bawn-call": "call-1",
            "x-bawn-params": json.dumps({"path": path.split("?", maxsplit=1)[0].removeprefix("/api/v1/").split("/")}),
            "x-bawn-ticket": "ticket-1", "x-bawn-container": json.dumps(container), "x-bawn-exec": exec_id,
            "x-bawn-subdomain": f"exec-{exec_id}", "x-bawn-headers": json.dumps({"content-type": "application/json"}),
        }  # fmt: skip
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return await self.request("POST", "/handle", headers, body, exec_id, project)

    async def call(self, said: object = CHAT, **how: Any) -> tuple[int, Any]:
        """The status and the JSON of the answer."""
        reply = await self.begun(said, **how)
        return reply.status, await reply.json()

    async def failed(self, said: object = CHAT, **how: Any) -> tuple[str, str]:
        """The code and the cause of a script's failure."""
        reply = await self.begun(said, **how)
        told = await reply.json()
        assert reply.status == 502, (reply.status, told)
        return reply.headers["x-bawn-script-fault"], told["cause"]

    async def health(self, exec_id: str = "1", project: str = "shop") -> dict[str, Any]:
        said: dict[str, Any] = await (await self.request("GET", "/health", {}, b"", exec_id, project)).json()
        return said
