"""A gateway with scripts before its calls, and what they are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.gateway.conftest import UUID, RealClock, Start, Yard
from tests.scripts.worker import CHAT_ANSWER, Said, Told, Worker, said, stream, worker

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.script_door import Asker, ScriptDoor
from bawn.gateway.script_workers import ScriptWorkers
from bawn.identity.reentry import Reentry
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Shelf
from bawn.scripts.stage import ScriptStage
from bawn.scripts.ways import Ways
from bawn.terms.door import Door, DoorKind

PLAIN = "async def handle(req, res, ctx): ...\n"


EVERYTHING = "api/v1/[...path].py"


@dataclass
class Services:
    asked: list[tuple[str, Asker, dict[str, Any]]] = field(default_factory=list)

    def knows(self, service: str) -> bool:
        return service in ("notify", "log", "broken", "never")

    async def ask(self, service: str, asker: Asker, body: dict[str, Any]) -> Any:
        self.asked.append((service, asker, body))
        if service == "broken":
            raise Fault("limit.depth", "Not so deep.")
        if service == "never":
            await asyncio.Event().wait()
        return {"sent": True}


@dataclass
class Scripted:
    yard: Yard
    shelf: Shelf
    worker: Worker
    services: Services
    settings: Scripts
    exec_port: int
    door: Path
    reentry: Reentry

    def client(self, name: str = "1", token: str = "container-dev") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}", "host": f"exec-{name}.bawn.internal"}
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.exec_port}", headers=headers, timeout=10, trust_env=False
        )

    def put(self, name: str, path: str = EVERYTHING, text: str = PLAIN, project: str = "default") -> None:
        self.shelf.write(project, name, path, text)

    async def ask(
        self, told: Told, path: str = "", body: bytes | None = None, method: str = "", **headers: str
    ) -> httpx.Response:
        """What `ctx.upstream` does."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.door)), base_url="http://door"
        ) as client:
            return await client.request(
                method or told.headers["x-bawn-method"],
                path or told.headers["x-bawn-path"],
                content=told.body if body is None else body,
                headers={"authorization": f"Bearer {told.ticket}", **told.header("headers"), **named},
                timeout=10,
            )


Play = Callable[[Scripted, Told], Any]


@asynccontextmanager
async def scripted(
    start: Start, tmp_path: Path, play: Play, settings: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Scripted]:
    """A gateway with scripts; `play` is what the worker does."""
    (tmp_path / "scripts").mkdir()
    shelf, held = Shelf(tmp_path / "scripts"), Scripts.model_validate(settings or {})
    clock, running = RealClock(), set[Answer]()
    reentry = Reentry(clock)
    socket_path = tmp_path / "w.sock"

    async def ready(project: str, name: str) -> Origin:
        return Origin("worker", 80, tls=False, unix=str(socket_path))

    ways = Ways(lambda: shelf.stock, lambda: held)
    workers = ScriptWorkers(Pool(clock.monotonic, 5), reentry, clock, lambda: held, ready, running)
    yard = await start(stages=(ScriptStage(ways, workers, lambda: held, clock),), **more)
    yard.gateway.use_scripts(ways, workers)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await yard.doors.open(Door(DoorKind.EXEC, UUID, "127.0.0.1", port, "gateway"), listener)
    services = Services()
    door = ScriptDoor(yard.gateway, reentry, ways, services, yard.record, workers.lives)
    await door.open(tmp_path / "door.sock")
    one: list[Scripted] = []

    async def script(told: Told) -> Said:
        answer = play(one[0], told)
        return answer if isinstance(answer, Said) else await answer

    async with worker(socket_path, script) as standing:
        one.append(Scripted(yard, shelf, standing, services, held, port, tmp_path / "door.sock", reentry))
        try:
            yield one[0]
        finally:
            await door.shut()


async def through(held: Scripted, told: Told) -> Said:
    """A script that changes nothing."""
    answer = await held.ask(told)
    kind = answer.headers["content-type"]
    if kind.startswith("text/event-stream"):
        return stream(answer.text)
    return Said(answer.content, answer.status_code, kind)


def local(held: Scripted, told: Told) -> Said:
    return said(CHAT_ANSWER)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


REQUIRED = {"required": {"dev": ["guard"]}}
