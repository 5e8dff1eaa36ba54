"""Everything about scripts in this process: what lies on the shelf, which workers run, and what operators do with both.

The shelf is looked at every half second, in a thread. A worker is started when a call first wants it (`scripts.crew`); its
sockets towards the egress proxy, one for each running container of its project, stand before it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from bawn.app.container_log import ContainerLogs
from bawn.app.inner import InnerCalls
from bawn.app.owner_line import OwnerLine
from bawn.audit.recorder import Recorder
from bawn.errors import Fault, quoted
from bawn.gateway.answer import Answer
from bawn.gateway.asking import Told, ask
from bawn.gateway.call import new_call_id
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.script_door import HostServices, ScriptDoor, bound
from bawn.gateway.script_workers import ScriptWorkers
from bawn.gateway.server import Gateway
from bawn.identity.reentry import Reentry
from bawn.identity.registry import Registry
from bawn.lines.line import Line, Packet
from bawn.scripts.answering import content_type
from bawn.scripts.crew import Crew, Wanted
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Exec, File, Shelf
from bawn.scripts.stage import ScriptStage
from bawn.scripts.ways import Ways
from bawn.scripts.working import ScriptCall
from bawn.sdk import shapes
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Container, Operator, label
from bawn.terms.way import Way
from bawn.vault.vault import SCRIPT, Vault

LOOK_S = 0.5
_DEPTH = 8
"""Layers of scripts are calls within calls; more of them than this are a mistake."""
_CHECK_S = 15.0
_TEST_BYTES = 1 << 20
_INSTALL_S = 1000.0

_log = structlog.get_logger("bawn.app.scripts")


class ScriptDesk:
    """Fulfils `api.services.Scripts`."""

    def __init__(
        self,
        home: Path,
        settings: Callable[[], Scripts],
        registry: Registry,
        vault: Vault,
        recorder: Recorder,
        pool: Pool,
        clock: Clock,
        running: set[Answer],
    ) -> None:
        self._home = home
        self._settings = settings
        self._registry = registry
        self._vault = vault
        self._recorder = recorder
        self._pool = pool
        self._clock = clock
        self.shelf = Shelf(home / "scripts")
        self.ways = Ways(lambda: self.shelf.stock, settings)
        self._reentry = Reentry(clock, max_depth=_DEPTH)
        self.workers = ScriptWorkers(pool, self._reentry, clock, settings, self._ready, running)
        self.stage = ScriptStage(self.ways, self.workers, settings, clock)
        self._logs = ContainerLogs(home / "state" / "script-logs")
        self.inner = InnerCalls(self._reentry, pool, home / "run" / "scripts" / "door" / "door.sock", clock)
        """Calls that stages make, by the door of the scripts."""
        self._boxes: Callable[[], Line]
        self._crew: Crew | None = None
        self._door: ScriptDoor | None = None
        self._egress: OwnerLine | None = None
        self._sockets: dict[str, tuple[Path, socket.socket]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.authority: Callable[[], str] = lambda: ""
        """The certificate authority of the egress proxy, which ends the TLS of what scripts fetch as well."""
        self._ended: dict[tuple[str, str], str] = {}
        """Why a worker ended last, when nobody had asked for that."""

    def connect(self, gateway: Gateway, boxes: Callable[[], Line], services: HostServices, egress: OwnerLine) -> None:
        gateway.use_scripts(self.ways, self.workers)
        self._boxes = boxes
        self._door = ScriptDoor(gateway, self._reentry, self.ways, services, self._recorder, self._lives)

        async def asks(do: str, /, **fields: Any) -> Packet:
            return await boxes().ask(do, **fields)

        self._crew = Crew(asks, self._wanted, self._printed, self._fell)
        self._egress = egress
        self._registry.watch(self._container_changed)

    def _lives(self, call: str) -> bool:
        return self.workers.lives(call) or self.inner.lives(call)

    async def load(self) -> None:
        """What lies on the shelf; before a door is open."""
        await asyncio.to_thread(self.shelf.refresh)

    def troubles(self) -> list[str]:
        """What the operator should know of, a sentence each."""
        stock, found = self.shelf.stock, []
        for each, file in stock.troubles:
            found.append(f"The script {each.project}/{each.id}/{file.path} is not run: {file.trouble}.")
        for record in self._registry.list():
            standing = self._registry.standing(record.uuid)
            if standing is None or standing.state != "running":
                continue
            found += [
                f"Every call of {record.name} is refused: its required exec {name} has no scripts."
                for name in self._settings().required_of(standing.container)
                if stock.exec(record.project, name) is None
            ]
        return found

    async def open(self) -> None:
        """From now on scripts can ask, and what is saved is seen."""
        assert self._door is not None
        folder = self._folder("door")
        await self._door.open(folder / "door.sock")
        self._looking = asyncio.create_task(self._look(), name="look at the scripts")

    async def shut(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._door is not None:
            await self._door.shut()
        if self._crew is not None:
            self._crew.close()
        for _, listener in self._sockets.values():
            listener.close()

    def script_ended(self, body: dict[str, Any]) -> None:
        """The supervisor's event."""
        if self._crew is not None:
            self._crew.ended(body)

    def names(self, project: str) -> list[str]:
        """Of the execs of a project, for the hosts files of its boxes."""
        return [each.id for each in self.shelf.stock.of(project)][:256]

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if await asyncio.to_thread(self.shelf.refresh):
                for each, file in self.shelf.stock.troubles:
                    _log.warning("script.trouble", project=each.project, exec=each.id, trouble=file.trouble)
                if self._crew is not None:
                    for key in [key for key in self._crew.running() if key not in self.shelf.stock.execs]:
                        with contextlib.suppress(Fault):
                            await self._crew.end(*key)

    # workers

    async def _ready(self, project: str, name: str) -> Origin:
        if self._crew is None:
            raise Fault("script.unavailable", "The workers of scripts cannot be started yet.")
        _tell_authority(self._folder(project, "egress") / "ca.pem", self.authority())
        for record in self._registry.list():
            if record.project == project:
                self._egress_socket(record.uuid)
        return Origin("worker", 80, tls=False, unix=await self._crew.socket(project, name))

    def _folder(self, *parts: str) -> Path:
        """A folder beneath run/scripts, made if there is none."""
        folder = self._home / "run" / "scripts"
        folder.mkdir(mode=0o700, exist_ok=True)
        for part in parts:
            folder /= part
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    async def _wanted(self, project: str, name: str) -> Wanted:
        """How a worker is started: what the configuration gives it, with the values of the vault."""
        settings = self._settings()
        env: dict[str, str] = {}
        for variable, secret in settings.env_of(project, name).items():
            value = self._value(secret)
            if value is None:
                raise Fault(
                    "script.unavailable",
                    f"There is no value {quoted(secret)} for {variable}.",
                    remedy=f"Keep one with `bawn scripts secret {secret}`.",
                )
            env[variable] = value
        limits = settings.limits
        return Wanted(env, {"memory_bytes": limits.memory_bytes, "cpus": limits.cpus})

    def _value(self, secret: str) -> str | None:
        try:
            found = self._vault.secret_for(SCRIPT + secret)
        except Fault:
            return None
        return found.reveal() if found is not None else None

    def _printed(self, project: str, name: str, data: bytes) -> None:
        try:
            self._logs.append(f"{project}.{name}", data)
        except OSError as error:
            _log.warning("script.log_lost", error=str(error))

    def _fell(self, project: str, name: str, reason: str) -> None:
        self._ended[project, name] = reason
        _log.warning("script.worker_ended", project=project, exec=name, reason=reason)
        with contextlib.suppress(Fault):
            self._recorder.note(
                Event("script.worker_ended", cause=reason, detail=(("project", project), ("exec", name)))
            )

    # egress in the place of a container

    def egress_came(self) -> None:
        """The proxy is there, perhaps a new one: it has no doors of ours."""
        for uuid in tuple(self._sockets):
            self._hand_over(uuid)

    def _container_changed(self, uuid: str) -> None:
        standing = self._registry.standing(uuid)
        if standing is None or standing.state != "running":
            self._close_socket(uuid)
        elif self._crew is not None and any(key[0] == standing.container.project for key in self._crew.running()):
            self._egress_socket(uuid)

    def _egress_socket(self, uuid: str) -> None:
        standing = self._registry.standing(uuid)
        if standing is None or standing.state != "running" or uuid in self._sockets:
            return
        path = self._folder(standing.container.project, "egress") / f"{standing.container.number}.sock"
        try:
            listener = bound(path)
        except OSError as error:
            _log.warning("script.no_egress", container=standing.container.number, error=str(error))
            return
        self._sockets[uuid] = path, listener
        self._hand_over(uuid)

    def _hand_over(self, uuid: str) -> None:
        if self._egress is not None and self._egress.connected:
            listener = self._sockets[uuid][1]
            self._egress.send({"event": "scripts.door", "uuid": uuid}, [listener.fileno()])

    def _close_socket(self, uuid: str) -> None:
        path, listener = self._sockets.pop(uuid, (None, None))
        if path is not None and listener is not None:
            path.unlink(missing_ok=True)
            listener.close()

    # what operators do

    def list(self, project: str | None) -> Sequence[shapes.Script]:
        return [
            _shown(each, file)
            for each in self.shelf.stock.execs.values()
            if project in (None, each.project)
            for file in sorted(each.files.values(), key=lambda file: file.path)
        ]

    def workers_told(self) -> Sequence[shapes.ScriptWorker]:
        pids = self._crew.running() if self._crew is not None else {}
        return [
            shapes.ScriptWorker(
                project=each.project,
                exec=each.id,
                url=f"http://exec-{each.id}.bawn.internal/api/v1",
                pid=pids.get((each.project, each.id)),
                ended=self._ended.get((each.project, each.id), ""),
            )
            for each in self.shelf.stock.execs.values()
        ]

    async def read(self, path: str) -> str:
        project, name, file = _parts(path)
        return await asyncio.to_thread(self.shelf.read, project, name, file)

    async def write(self, path: str, text: str, by: Operator) -> shapes.Script:
        project, name, file = _parts(path)
        written = await asyncio.to_thread(self.shelf.write, project, name, file, text)
        await self._record("script.written", path, by)
        each = self.shelf.stock.exec(project, name)
        if each is None:
            raise Fault("api.not_found", f"The script {quoted(path)} was taken away meanwhile.")
        return _shown(each, each.files.get(file, written))

    async def remove(self, path: str, by: Operator) -> None:
        project, name, file = _parts(path)
        await asyncio.to_thread(self.shelf.remove, project, name, file)
        await self._record("script.removed", path, by)

    async def check(self, project: str, name: str) -> Sequence[shapes.ScriptCheck]:
        """Has the worker load all files of an exec; what each says."""
        told = await self._asked(project, name, "POST", "/reload", b"{}")
        files: dict[str, Any] = told.get("files") or {}
        return [
            shapes.ScriptCheck(path=path, loaded=bool(about.get("loaded")), error=str(about.get("error") or ""))
            for path, about in sorted(files.items())
        ]

    async def install(self, project: str, by: Operator) -> AsyncIterator[shapes.ScriptModule]:
        if not self.shelf.stock.of(project):
            raise Fault("api.not_found", f"There are no scripts of the project {quoted(project)}.")
        await self._record("script.modules_installed", project, by)
        packet = await self._boxes().ask("script.install", wait_s=_INSTALL_S, project=project)
        packet.close()
        for key in [key for key in self._crew.running() if key[0] == project] if self._crew is not None else ():
            await self.restart(*key)
        for each in packet.body.get("modules", ()):
            yield shapes.ScriptModule(str(each))

    async def test(
        self, name: str, container: str, method: str, path: str, body: str, by: Operator
    ) -> shapes.ScriptAnswer:
        standing = self._registry.standing(self._registry.get(container).uuid)
        if standing is None or standing.state != "running":
            raise Fault("sandbox.not_running", f"The container {quoted(container)} does not run.")
        caller, raw = standing.container, path.encode("utf-8")
        layer = self.ways.layer(caller, self.ways.begin(caller, name), raw)
        if layer is None:
            raise Fault("api.not_found", f"The exec {quoted(name)} has no file for this path.")
        await self._record("script.tested", f"{caller.project}/{layer.exec}/{layer.file}", by)
        kind = (("content-type", "application/json"),)
        source = await self.workers.call(
            ScriptCall(
                new_call_id(), caller, layer.exec, layer.file, layer.parameters, method, raw, kind,
                body.encode("utf-8"), layer.timeout_s, layer.after,
            )
        )  # fmt: skip
        try:
            said = await source.body(_TEST_BYTES)
        finally:
            source.leave()
        return shapes.ScriptAnswer(
            source.status, content_type(source.headers).decode("latin-1"), said.decode("utf-8", "replace")
        )

    async def tell(self, caller: Container, name: str, path: str, body: bytes, timeout_s: float) -> int:
        """Posts JSON of Bawn's own to a script in the name of a container; the status of its answer.

        `/api/done` is `/api/v1/done` as well, where the exec has no file for it as it is.
        """
        self.ways.known(caller, name)
        way = Way(ahead=(name,))
        raw = path.encode("ascii")
        found = self.ways.layer(caller, way, raw)
        if found is None and raw.startswith(b"/api/"):
            raw = b"/api/v1/" + raw.removeprefix(b"/api/")
            found = self.ways.layer(caller, way, raw)
        if found is None:
            raise Fault("script.no_route", f"The exec {quoted(name)} has no file for this path.")
        call = new_call_id()
        facts = (("script", f"{caller.project}/{found.exec}/{found.file}"),)
        await self._recorder.record(
            Event("script.told", principal="bawn", container=caller.uuid, call=call, detail=facts)
        )
        kind = (("content-type", "application/json"),)
        within_s = min(found.timeout_s, timeout_s)
        source = await self.workers.call(
            ScriptCall(
                call, caller, found.exec, found.file, found.parameters, "POST", raw, kind, body, within_s, found.after,
            )
        )  # fmt: skip
        try:
            # To its end: a script whose answer nobody reads is cancelled.
            with contextlib.suppress(Fault):
                await source.body(_TEST_BYTES)
        finally:
            source.leave()
        return source.status

    def logs(self, project: str, name: str, follow: bool) -> AsyncIterator[bytes]:
        if self.shelf.stock.exec(project, name) is None:
            raise _no_exec(project, name)
        return self._logs.read(f"{project}.{name}", follow=follow)

    async def kv(self, project: str, name: str, operation: str, body: dict[str, Any]) -> Any:
        return await self._asked(project, name, "POST", f"/kv/{operation}", msgspec.json.encode(body))

    async def restart(self, project: str, name: str) -> None:
        if self._crew is not None:
            await self._crew.end(project, name)

    # values of the vault

    def secrets(self) -> Sequence[shapes.ScriptSecret]:
        return [
            shapes.ScriptSecret(name=info.provider.removeprefix(SCRIPT), fingerprint=info.fingerprint)
            for info in self._vault.list()
            if info.provider.startswith(SCRIPT)
        ]

    async def put_secret(self, name: str, secret: str, by: Operator) -> shapes.ScriptSecret:
        kept = SCRIPT + name
        if any(info.provider == kept for info in self._vault.list()):
            info = await self._vault.rotate(kept, secret)
        else:
            info = await self._vault.add(kept, secret)
        await self._record("script.secret_kept", name, by)
        await self._end_users_of(name)
        return shapes.ScriptSecret(name=name, fingerprint=info.fingerprint)

    async def remove_secret(self, name: str, by: Operator) -> None:
        await self._vault.remove(SCRIPT + name)
        await self._end_users_of(name)
        await self._record("script.secret_forgotten", name, by)

    async def apply(self, before: Scripts) -> None:
        """Another configuration holds: workers that would be started otherwise end, and start anew when wanted."""
        after = self._settings()
        if self._crew is None:
            return
        for project, name in tuple(self._crew.running()):
            if before.limits != after.limits or before.env_of(project, name) != after.env_of(project, name):
                with contextlib.suppress(Fault):
                    await self._crew.end(project, name)

    async def _end_users_of(self, secret: str) -> None:
        for project, name in tuple(self._crew.running() if self._crew is not None else ()):
            if secret in self._settings().env_of(project, name).values():
                await self.restart(project, name)

    async def _asked(self, project: str, name: str, method: str, path: str, body: bytes) -> dict[str, Any]:
        """What the worker of an exec answers to us."""
        if self.shelf.stock.exec(project, name) is None:
            raise _no_exec(project, name)
        origin = await self._ready(project, name)
        head = f"{method} {path} HTTP/1.1\r\nhost: worker\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1")
        try:
            told: Told = await ask(self._pool, self._clock.monotonic, origin, head, body, _CHECK_S)
        except Fault as fault:
            raise Fault(
                "script.unavailable", "The worker of this exec does not answer.", cause=fault.cause or fault.sentence
            ) from fault
        try:
            read = msgspec.json.decode(told.body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Fault(
                "script.unavailable", "The worker of this exec cannot be understood.", cause=str(error)
            ) from None
        if told.status != 200:
            said = read.get("error")
            raise Fault("api.invalid", _message(said))
        return read

    async def _record(self, event: str, what: str, by: Operator) -> None:
        await self._recorder.record(Event(event, principal=label(by), detail=(("script", what[:500]),)))


def _message(said: object) -> str:
    message = said.get("message") if isinstance(said, dict) else None
    return str(message or "The worker refused this.")[:500]


def _tell_authority(path: Path, pem: str) -> None:
    if pem and (not path.exists() or path.read_text("ascii") != pem):
        path.write_text(pem, "ascii")


def _shown(each: Exec, file: File) -> shapes.Script:
    return shapes.Script(
        path=f"{each.project}/{each.id}/{file.path}",
        size_bytes=file.size_bytes,
        routed=file.route is not None,
        timeout_seconds=file.header.timeout_s,
        log_level=file.header.log_level,
        next=file.header.next,
        trouble=file.trouble,
    )


def _parts(path: str) -> tuple[str, str, str]:
    """Project, exec and file of a path as the management API writes it: `default/1/api/v1/[...path].py`."""
    project, _, rest = path.removeprefix("/").partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise Fault("script.invalid", f"{quoted(path)} is not project/exec/file.")
    return project, name, file


def _no_exec(project: str, name: str) -> Fault:
    return Fault("api.not_found", f"There are no scripts of {quoted(f'{project}/{name}')}.")
