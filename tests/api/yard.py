"""A management API on real sockets with a real registry in a real SQLite; only boxes and providers are imaginary.

`Yard` is used by the tests of the API, of the client and of the command line.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from msgspec import structs
from tests.api.scripting import closed, desk

from bawn.api.serve import ManagementServer, bind_loopback, bind_unix
from bawn.api.services import Change, Found, Services
from bawn.app.adapters import Adapters
from bawn.app.egress import EgressDesk
from bawn.app.files import Files
from bawn.app.owner_line import OwnerLine
from bawn.app.rule_files import Part
from bawn.app.rule_replay import Replays
from bawn.app.rules import RuleDesk
from bawn.app.task_answer import Answers
from bawn.app.tasks import Tasks
from bawn.app.transforms import TransformDesk
from bawn.approvals.book import Book
from bawn.approvals.desk import Desk
from bawn.approvals.settings import Approvals
from bawn.audit.redact import Redactor
from bawn.egress.grants import Grants
from bawn.egress.passages import Passages
from bawn.egress.settings import Credential
from bawn.egress.settings import Egress as EgressSettings
from bawn.enforcement.effects import Doing
from bawn.enforcement.settings import Rules as RulesSettings
from bawn.errors import Fault
from bawn.gateway.stage_times import StageTimes
from bawn.guardrails.prices import Prices
from bawn.guardrails.usage import UsageRow
from bawn.identity.operators import Operators, login_name
from bawn.identity.record import NewContainer, Record
from bawn.identity.registry import Registry
from bawn.identity.shares import Shares
from bawn.lines.line import Line
from bawn.notify.notices import Notices
from bawn.notify.settings import Notify
from bawn.notify.sinks import FileSink
from bawn.rules.model import Mitm
from bawn.sdk import shapes
from bawn.sdk.frames import Channel, Command, Data
from bawn.store.engine import BUSY_TIMEOUT_S, Store
from bawn.store.upgrade import upgrade
from bawn.tasks.book import Book as TaskBook
from bawn.tasks.settings import Tasks as TaskSettings
from bawn.terms.event import Event
from bawn.terms.principal import Container, Internal, Operator, Role, label
from bawn.transforms.cache import Cache
from bawn.transforms.dedupe import Dedupe
from bawn.transforms.settings import Transforms

T = TypeVar("T")

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class TestClock:
    __test__ = False

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def forward(self, **by: float) -> None:
        self.time += timedelta(**by)


class FailingStore(Store):
    """The real store, until `broken` says that the disk is full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, BUSY_TIMEOUT_S)
        upgrade(self)
        self.broken = False

    async def run(self, act: Callable[[sa.Connection], T]) -> T:
        if self.broken:
            raise Fault("store.unavailable", "The disk is full.")
        return await super().run(act)


class HostCommand:
    """A command on pipes of the host: what a command in a box looks like from here."""

    def __init__(self, process: asyncio.subprocess.Process, tty: bool) -> None:
        self._process = process
        self._queue: asyncio.Queue[Data | None] = asyncio.Queue(4)
        self._pumps = [
            asyncio.create_task(self._pump(process.stdout, Channel.STDOUT)),
            asyncio.create_task(self._pump(process.stderr, Channel.STDOUT if tty else Channel.STDERR)),
        ]
        self._end = asyncio.create_task(self._all_read())
        self.sizes: list[tuple[int, int]] = []
        self.closed = False

    async def _pump(self, source: asyncio.StreamReader | None, channel: Channel) -> None:
        assert source is not None
        while data := await source.read(4096):
            await self._queue.put(Data(channel, data))

    async def _all_read(self) -> None:
        await asyncio.gather(*self._pumps)
        await self._queue.put(None)

    async def read(self) -> Data | None:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def resize(self, rows: int, cols: int) -> None:
        self.sizes.append((rows, cols))

    async def signal(self, name: str) -> None:
        self._process.send_signal(getattr(__import__("signal"), f"SIG{name}"))

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        self.closed = True
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        for task in (*self._pumps, self._end):
            task.cancel()
        await asyncio.gather(*self._pumps, self._end, return_exceptions=True)
        if self._process.stdin is not None:
            self._process.stdin.close()


class Boxes:
    """The acts on containers, with processes of the host instead of boxes."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.acts: list[str] = []
        self.commands: list[HostCommand] = []
        self.break_on: str = ""
        self.findings: dict[str, Found] = {}

    def list(self) -> Sequence[Record]:
        return self.registry.list()

    def get(self, ref: str) -> Record:
        return self.registry.get(ref)

    def found(self, uuid: str) -> Found:
        return self.findings.get(uuid, Found())

    async def create(self, new: NewContainer, by: Operator | Internal) -> Record:
        defaults = structs.replace(new, image=new.image or "base", runtime=new.runtime or "bubblewrap")
        return await self.registry.create(defaults)

    async def update(self, ref: str, change: Change, by: Operator) -> Record:
        return await self.registry.update(ref, ai=change.ai, expires=change.expires)

    async def start(self, ref: str, by: Operator | Internal) -> Record:
        if self.break_on == "start":
            raise ZeroDivisionError("a secret detail")
        self.registry.get(ref)
        self.acts.append(f"start {ref} by {label(by)}")
        return await self.registry.update(ref, state="running")

    async def stop(self, ref: str, by: Operator, timeout_s: float) -> Record:
        self.acts.append(f"stop {ref} within {timeout_s} by {label(by)}")
        return await self.registry.update(ref, state="stopped")

    async def delete(self, ref: str, by: Operator | Internal) -> None:
        self.acts.append(f"delete {ref} by {label(by)}")
        await self.registry.delete(ref)

    async def exec(self, ref: str, command: Command, by: Operator | Internal) -> HostCommand:
        if self.registry.get(ref).state != "running":
            raise Fault("sandbox.not_running", f"The container {ref!r} does not run.")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command.argv, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **command.env}
        )
        self.commands.append(HostCommand(process, command.tty))
        return self.commands[-1]

    async def logs(self, ref: str, follow: bool) -> AsyncIterator[bytes]:
        yield b"keeper started\n"
        yield "\N{SNOWMAN} \x1b[31mred\n".encode()

    async def why(self, ref: str, limit: int) -> Sequence[shapes.Refusal]:
        self.registry.get(ref)
        refusal = shapes.Refusal(
            NOON,
            "auth.refused",
            "This call is not authorised.",
            "AI is disabled for the container",
            "Run `bawn containers update dev --ai`.",
            "POST",
            "/api/v1/chat/completions",
        )
        return [refusal][:limit]


class Vault:
    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.shown: dict[str, shapes.Key] = {}

    async def list(self) -> Sequence[shapes.Key]:
        return list(self.shown.values())

    async def add(self, provider: str, secret: str, name: str, weight: int, by: Operator) -> shapes.Key:
        key = shapes.Key(f"key-{len(self.shown) + 1}", provider, name or provider, "sha256:1234", NOON, None, weight)
        self.shown[key.id], self.secrets[key.id] = key, secret
        return key

    async def rotate(self, key_id: str, secret: str, by: Operator) -> shapes.Key:
        if key_id not in self.shown:
            raise Fault("vault.unknown_key", f"There is no key {key_id!r}.")
        self.secrets[key_id] = secret
        return self.shown[key_id]

    async def remove(self, key_id: str, by: Operator) -> None:
        if self.shown.pop(key_id, None) is None:
            raise Fault("vault.unknown_key", f"There is no key {key_id!r}.")

    async def reset(self, by: Operator) -> None:
        self.shown.clear()


class Facts:
    """Usage, status and models, as values."""

    async def summary(self, by: Literal["container", "model"], since: datetime | None) -> Sequence[shapes.UsageRow]:
        if by == "model":
            return [shapes.UsageRow("", "scripted/demo", 3, 1, 100, 20, 5, None)]
        return [shapes.UsageRow("dev", "", 3, 1, 100, 20, 5, 0.25)]

    async def status(self) -> shapes.Status:
        return shapes.Status(
            version="0.1.0",
            started=NOON,
            home="/somewhere",
            config="/somewhere/bawn.yaml",
            profile="starter",
            rootless=True,
            containers=0,
            running=0,
            listening=("unix:/somewhere/bawn.sock",),
            processes=(shapes.Process("gateway", os.getpid()),),
            runtimes={"bubblewrap": "0.8.0"},
            degraded=("podman is not installed",),
        )

    async def list(self, container: str | None) -> Sequence[shapes.Model]:
        if container == "poor":
            return []
        return [shapes.Model("scripted/demo", "scripted", ("openai", "anthropic"), default=True)]

    async def check(self, name: str | None) -> Sequence[shapes.ProviderCheck]:
        if name == "broken":
            return [shapes.ProviderCheck(name, "messages", "m", "", False, "unreachable", "It could not be reached.")]
        return [shapes.ProviderCheck("scripted", "GET /models", "", "", True, ms=3)]


class Shelf:
    """Images."""

    async def list(self) -> Sequence[shapes.Image]:
        return [shapes.Image("base", NOON, 1000)]

    async def build(self, name: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        yield shapes.Progress(f"building {name}")
        if name == "broken":
            raise Fault("sandbox.start_failed", "mmdebstrap failed.")
        yield shapes.Progress("built", done=True)

    async def bring(self, name: str, source: str, digest: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        yield shapes.Progress(f"{name} of {source} at {digest}")
        yield shapes.Progress("imported", done=True)

    async def remove(self, name: str, by: Operator) -> None:
        raise Fault("sandbox.image_missing", f"There is no image {name!r}.")


class Settings:
    def schema(self) -> dict[str, Any]:
        return {"type": "object"}

    def effective(self) -> dict[str, Any]:
        return {"profile": "starter"}

    async def check(self, text: str) -> shapes.ConfigVerdict:
        if text == "fits":
            return shapes.ConfigVerdict(True)
        return shapes.ConfigVerdict(False, (shapes.ConfigProblem("models", 3, "unknown key", "remove it"),))

    async def reload(self, by: Operator) -> shapes.ConfigVerdict:
        return shapes.ConfigVerdict(True)


class Log:
    """The record, in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    async def record(self, event: Event) -> str:
        if self.broken:
            raise Fault("audit.unavailable", "The record cannot be written.")
        self.events.append(event)
        return str(len(self.events))

    def note(self, event: Event) -> None:
        self.events.append(event)

    async def tail(self, lines: int, follow: bool) -> AsyncIterator[dict[str, Any]]:
        for event in self.events[-lines:]:
            yield structs.asdict(event)


FORGE = Credential(host="forge.example", header="authorization", containers=("dev",))


class Purse:
    """Values of credentials, of which `forge` alone is configured."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def list(self) -> Sequence[shapes.Credential]:
        fingerprint = "f1a2" if "forge" in self.values else ""
        return [shapes.Credential("forge", FORGE.host, "header authorization", ("dev",), fingerprint)]

    async def put(self, name: str, secret: str, by: Operator) -> shapes.Credential:
        if name != "forge":
            raise Fault("api.not_found", "There is no such credential.")
        self.values[name] = secret
        return self.list()[0]

    async def remove(self, name: str, by: Operator) -> None:
        del self.values[name]


async def told_nothing(raw: object) -> str:
    raise AssertionError(raw)


class NoWorkspaces:
    """Copies and snapshots need boxes."""

    async def diff(self, ref: str) -> Sequence[shapes.Change]:
        raise Fault("api.conflict", "There is no copy.")

    async def apply(
        self, ref: str, paths: Sequence[str], seen: Sequence[str] | None, by: Operator
    ) -> Sequence[shapes.Applied]:
        raise Fault("api.conflict", "There is no copy.")

    async def snapshots(self, ref: str) -> Sequence[shapes.Snapshot]:
        return []

    async def snapshot(self, ref: str, alias: str, by: Operator) -> shapes.Snapshot:
        raise Fault("sandbox.not_running", "There is no box.")

    async def restore(self, ref: str, name: str, by: Operator) -> shapes.Snapshot:
        raise Fault("sandbox.not_running", "There is no box.")

    async def forget(self, ref: str, name: str, by: Operator) -> None:
        raise Fault("sandbox.not_running", "There is no box.")


class NoPorts:
    """Ports need boxes."""

    async def connect(self, ref: str, port: int, by: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=await self.dial(ref, port, by))

    async def dial(self, ref: str, port: int, by: str) -> socket.socket:
        raise Fault("ports.closed", "There is no box.")

    def shares(self, ref: str) -> Sequence[shapes.Share]:
        return []

    async def share(self, ref: str, port: int, expires: datetime | None, by: Operator) -> shapes.IssuedShare:
        raise Fault("api.conflict", "There is no public host.")

    async def revoke(self, ref: str, share_id: str, by: Operator) -> None:
        raise Fault("api.not_found", "There is no such link.")


def unreachable() -> Line:
    raise Fault("supervisor.unavailable", "There is no supervisor.")


AGENT = ("sh", "-c", 'eval "$1"', "sh", "{prompt}")
"""An agent that does as it is told: the prompt is a script."""


class Hook:
    """The addresses that tasks tell of their ends."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        """Of the next answers; 204 when there are none."""

    async def post(self, url: str, body: bytes, timeout_s: float) -> int:
        self.heard.append((url, json.loads(body)))
        return self.statuses.pop(0) if self.statuses else 204


class Yard:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "bawn.sock"
        self.clock = TestClock()
        self.store = FailingStore(directory / "bawn.db")
        self.registry = Registry(self.store, self.clock)
        self.operators = Operators(self.store, self.clock)
        self.boxes = Boxes(self.registry)
        self.vault = Vault()
        self.log = Log()
        facts = Facts()
        self.passages = Passages(self.store)
        self.egress = EgressDesk(
            EgressSettings(allow=("@npm",), containers={"dev": ("files.example:443",)}, credentials={"forge": FORGE}),
            frozenset({"models.example"}),
            self.registry,
            Grants(self.store, self.clock),
            self.passages,
            OwnerLine("egress proxy", "egress.unavailable", told_nothing),
            self.log.record,
            lambda name: None,
        )
        self.scripts, self.supervisor = desk(directory, self.registry, self.log, self.clock)
        self.notices = Notices(
            Notify(),
            lambda said: {"file": FileSink(directory / "notices.jsonl")},
            self.log,
            lambda text: text,
            self.clock,
        )
        self.desk = Desk(
            Approvals(), Book(self.store), self.log, self.notices, self.clock, lambda uuid: uuid not in self.gone
        )
        self.adapters = Adapters(directory / "adapters.json", self.log)
        self.transforms = TransformDesk(
            directory,
            self.store,
            self.clock,
            Redactor(),
            Prices(),
            self.notices,
            self.registry,
            self.log,
            StageTimes(),
        )
        self.effects: list[Doing] = []

        async def done(doing: Doing) -> None:
            self.effects.append(doing)

        (directory / "state").mkdir(exist_ok=True)
        self.rules = RuleDesk(directory, self.store, self.registry, self.log, done, self.clock)
        of_the_file = {
            "id": "kept",
            "trigger": {"event": "session.idle"},
            "action": {"type": "notification", "title": "x"},
        }
        self.rules.begin([Part("bawn.yaml", Mitm.model_validate({"rules": [of_the_file]}))], RulesSettings())
        self.logs = True
        self.replays = Replays(
            self.rules,
            directory / "state" / "requests",
            self.transforms.kept.lines,
            lambda: self.logs,
            Redactor(),
            self.log,
        )
        self.transforms.stages(Transforms(cache=Cache(), dedupe=Dedupe()), str)
        self.gone: set[str] = set()
        self.public_url: str | None = None
        self.task_settings = TaskSettings(
            commands={"code": AGENT}, callbacks=("hooks.example.org",), callback_attempts=3, timeout_seconds=20
        )
        self.hook = Hook()
        self.used: UsageRow | None = None
        self.tasks = self.new_tasks()
        self.services = Services(
            lifecycle=self.boxes,
            files=Files(self.registry, unreachable, self.log),
            workspaces=NoWorkspaces(),
            ports=NoPorts(),
            links=Shares(self.store, self.registry, self.clock),
            public_hosts=frozenset(),
            keys=self.vault,
            egress=self.egress,
            credentials=Purse(),
            scripts=self.scripts,
            operators=self.operators,
            usage=facts,
            status=facts,
            models=facts,
            providers=facts,
            images=Shelf(),
            config=Settings(),
            audit=self.log,
            recorder=self.log,
            approvals=self.desk,
            adapters=self.adapters,
            transforms=self.transforms,
            knowledge=self.transforms,
            rules=self.rules,
            replays=self.replays,
            notices=self.notices,
            tasks=self.tasks,
            public_url=lambda: self.public_url,
        )
        self.port = 0

    def new_tasks(self) -> Tasks:
        """As after a restart: nothing in memory."""
        answers = Answers(lambda: self.task_settings, self.hook.post, self._calling)
        answers.pause_s = 0.001
        tasks = Tasks(
            lambda: self.task_settings,
            TaskBook(self.store),
            self.registry,
            self.log,
            self.clock,
            lambda text: text.replace("hunter2", "[redacted]"),
            lambda record, model, base_url: {"MODEL": model, "BASE": base_url, "NAME": record.name},
            self._permit_model,
            self._usage,
            answers,
        )
        tasks.connect(self.boxes)
        return tasks

    def _calling(self, uuid: str) -> Container | None:
        standing = self.registry.standing(uuid)
        return standing.container if standing is not None and standing.ai else None

    @staticmethod
    def _permit_model(model: str, stands_for: str) -> None:
        if model not in ("", "scripted/demo") and (model, stands_for) != ("dear/model", "rich"):
            raise Fault("request.unknown_model", "There is no such model here.")

    async def _usage(self, uuid: str) -> UsageRow | None:
        return self.used

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def person(self, name: str, role: Role) -> str:
        """A new operator without a login, with a token."""
        await self.operators.add(name, frozenset({role}), uid=4_000_000 + len(self.operators.list()))
        return (await self.operators.issue(name))[1]

    @asynccontextmanager
    async def open(self, admins: Sequence[int] = (os.getuid(),)) -> AsyncIterator[Yard]:
        await self.registry.load()
        await self.operators.load()
        for uid in admins:
            await self.operators.add(login_name(uid), frozenset({Role.ADMIN}), uid=uid)
        loopback: socket.socket = bind_loopback("127.0.0.1", 0)
        self.port = loopback.getsockname()[1]
        self.server = ManagementServer(self.services, bind_unix(self.path), loopback)
        await self.server.start()
        try:
            yield self
        finally:
            await self.tasks.close()
            await self.desk.close()
            await self.notices.close()
            await self.server.stop()
            await closed(self.scripts, self.supervisor)
            self.store.close()
