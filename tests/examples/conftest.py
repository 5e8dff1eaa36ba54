"""The gallery as an agent meets it: an exec door on loopback, real workers in their boxes, a real desk, and a scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvloop
from tests.api.yard import FailingStore
from tests.gateway.conftest import UUID, RealClock, Start, Yard, start
from tests.gateway.host import Host, host, refusal
from tests.scripts.conftest import _lacking
from tests.scripts.standing import Standing

import bawn
from bawn.app.script_people import ScriptPeople
from bawn.approvals.book import Book
from bawn.approvals.desk import Desk
from bawn.approvals.people import People
from bawn.approvals.settings import Approvals
from bawn.approvals.ticket import Ticket
from bawn.audit.redact import Redactor
from bawn.gateway.answer import Answer
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.script_door import Asker, ScriptDoor
from bawn.gateway.script_workers import ScriptWorkers
from bawn.gateway.settings import Provider, ProviderKind
from bawn.identity.reentry import Reentry
from bawn.notify.notices import Notices
from bawn.notify.settings import Notify
from bawn.notify.sinks import FileSink
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Shelf
from bawn.scripts.stage import ScriptStage
from bawn.scripts.ways import Ways
from bawn.terms.door import Door, DoorKind
from bawn.terms.principal import Operator, Role

__all__ = ["start"]

GALLERY = Path(__file__).parents[2] / "examples" / "scripts"
EVERYTHING = "api/v1/[...path].py"
ADA = Operator("ada", frozenset({Role.APPROVER}))
ENV = {"GATEWAY_KEY": "sk-gateway-1"}
EXECS = ("1", "2", "3", "dev", "prod")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that the gateway really runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The record of the provider that all these tests call; its address stands beside it."""
    folder = tmp_path_factory.mktemp("scripted")
    process = subprocess.Popen(
        [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--record", str(folder / "record.jsonl"),
         "--script", str(Path(__file__).parent / "gallery.yaml")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(str(bawn.__file__)).parent.parent)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        (folder / "address").write_text(process.stdout.readline().removeprefix("ready ").strip())
        yield folder
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def workers() -> Iterator[Standing]:
    """One worker for each exec, for all tests of the module; the door that they ask at is opened by each test."""
    if _lacking():
        pytest.skip(_lacking())
    standing = Standing()

    async def begin() -> None:
        await standing.open()
        await asyncio.gather(*(standing.start(name, "default", env=ENV) for name in EXECS))

    async def end() -> None:
        await standing.close()

    asyncio.run(begin())
    yield standing
    asyncio.run(end())


@dataclass
class Services:
    """What `ctx` asks of the gateway: the real people's part, and the rest as far as a test shows it."""

    people: ScriptPeople
    home: Path
    """What the container is, for commands."""
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def knows(self, service: str) -> bool:
        return service in self.people.services or service in ("tasks", "exec")

    async def ask(self, service: str, asker: Asker, body: dict[str, Any]) -> Any:
        if service == "tasks":
            self.tasks.append(body)
            return {"taskId": f"task_{len(self.tasks)}"}
        if service == "exec":
            ran = await asyncio.to_thread(
                subprocess.run, body["argv"], cwd=self.home, capture_output=True, text=True, check=False
            )
            return {"exit": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr}
        return await self.people.services[service](asker, body)


@dataclass
class Gallery:
    yard: Yard
    standing: Standing
    services: Services
    desk: Desk
    notices: Notices
    shelf: Shelf
    record: Path
    """Of the provider."""
    down: Host
    """A provider that is down."""
    port: int
    heard: int = 0

    def put(self, name: str, exec_id: str = "1", file: str = EVERYTHING, change: tuple[str, str] = ("", "")) -> None:
        """`change`: what a reader puts in for himself, before and after."""
        text = (GALLERY / f"{name}.py").read_text()
        assert change[0] in text
        self.shelf.write("default", exec_id, file, text.replace(*change) if change[0] else text)

    def agent(self, exec_id: str = "1") -> openai.AsyncOpenAI:
        """An agent in the container, with the official package. Where the name of its URL leads is what the container's
        hosts file says; here the header alone says the name."""
        return openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            api_key="container-dev",
            max_retries=0,
            default_headers={"host": f"exec-{exec_id}.bawn.internal"},
        )

    def client(self, exec_id: str = "1") -> httpx.AsyncClient:
        headers = {"authorization": "Bearer container-dev", "host": f"exec-{exec_id}.bawn.internal"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=10, trust_env=False)

    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests that came to the provider since this was called last."""
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        bodies = [json.loads(line["body"]) for line in lines if line.get("method") == "POST"]
        new, self.heard = bodies[self.heard :], len(bodies)
        return new

    async def ticket(self) -> Ticket:
        async with asyncio.timeout(5):
            while not self.desk.open():
                await asyncio.sleep(0.005)
        return self.desk.open()[0]

    async def told(self) -> list[dict[str, Any]]:
        """The notices that were delivered."""
        await self.notices.drained()
        file = self.services.home / "notices.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
async def gallery(start: Start, scripted: Path, workers: Standing, tmp_path: Path) -> AsyncIterator[Gallery]:
    clock, running, settings = RealClock(), set[Answer](), Scripts()
    for file in (workers.home / "scripts").glob("*/*/api/**/*.py"):
        file.unlink()
    shelf, reentry = Shelf(workers.home / "scripts"), Reentry(clock)

    async def ready(project: str, name: str) -> Origin:
        return Origin("worker", 80, tls=False, unix=workers.sockets[project, name])

    ways = Ways(lambda: shelf.stock, lambda: settings)
    calls = ScriptWorkers(Pool(clock.monotonic, 5), reentry, clock, lambda: settings, ready, running)
    async with host(lambda heard: refusal(500)) as down:
        base = f"http://{(scripted / 'address').read_text()}/v1"
        plays = Provider(kind=ProviderKind.SCRIPTED, base_url=base, key="none")
        falls = Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=f"{down.url}/v1", key="none")
        yard = await start(
            stages=(ScriptStage(ways, calls, lambda: settings, clock),),
            more={"anthropic": plays, "openai": plays, "down": falls, "backup": plays},
        )
        yard.gateway.use_scripts(ways, calls)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await yard.doors.open(Door(DoorKind.EXEC, UUID, "127.0.0.1", port, "gateway"), listener)
        store = FailingStore(tmp_path / "bawn.db")
        home = tmp_path / "home"
        home.mkdir()
        sinks = {"file": FileSink(home / "notices.jsonl")}
        notices = Notices(Notify(), lambda _: sinks, yard.record, Redactor().text, clock)
        desk = Desk(Approvals(), Book(store), yard.record, notices, clock, lambda uuid: True)
        await desk.load()
        services = Services(ScriptPeople(notices, desk, People(desk, lambda: "1")), home)
        door = ScriptDoor(yard.gateway, reentry, ways, services, yard.record, calls.lives)
        await door.open(workers.home / "run/scripts/door/door.sock")
        made = Gallery(yard, workers, services, desk, notices, shelf, scripted / "record.jsonl", down, port)
        made.asked()
        try:
            yield made
        finally:
            await door.shut()
            await desk.close()
            await notices.close()
            store.close()
