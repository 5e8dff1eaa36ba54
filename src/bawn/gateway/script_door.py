"""The door by which scripts ask in the place of the call they were given: one unix socket for all workers.

Who asks is told by the ticket of the call and by nothing else: it names the container, the scripts that the call has
passed and how deep it nests. The container must be admitted at this moment as if it asked itself, so a withdrawn right
ends what its scripts do as well. The rest of the walk is that of every call, permissions and limits included.

Beside model calls there are services, `POST /_bawn/<name>` with JSON for JSON: what `ctx` offers and only the gateway can do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from bawn.errors import Fault
from bawn.gateway.call import new_call_id
from bawn.gateway.http1 import DoorConnection, Head
from bawn.gateway.opening import Recorder
from bawn.gateway.running import RunningCall
from bawn.gateway.script_calls import ONLY_A_SCRIPT
from bawn.gateway.server import Gateway
from bawn.identity.reentry import PREFIX, Reentered, Reentry
from bawn.scripts.ways import Ways
from bawn.terms.door import Door, DoorKind
from bawn.terms.event import Event
from bawn.terms.principal import Container, Internal, label
from bawn.terms.value import Value

SERVICES = b"/_bawn/"
_SWEEP_S = 1.0
_QUIET = frozenset(("log",))
"""Services of which nothing is put on record; a line of a script's log is no act."""

_log = structlog.get_logger("bawn.gateway")


class Asker(Value, frozen=True):
    """For whom a script asks."""

    principal: Internal
    call: str
    """The id of the call that the script was given."""
    exec: str

    @property
    def container(self) -> Container:
        return self.principal.on_behalf_of


class HostServices(Protocol):
    def knows(self, service: str) -> bool: ...

    async def ask(self, service: str, asker: Asker, body: dict[str, Any]) -> Any:
        """The answer, as JSON has it. A Fault becomes `{"error": …}` with its status."""


class ScriptDoor:
    """Fulfils `http1.Service` for every connection of a worker."""

    def __init__(
        self,
        gateway: Gateway,
        reentry: Reentry,
        ways: Ways,
        services: HostServices,
        recorder: Recorder,
        lives: Callable[[str], bool],
    ) -> None:
        self._gateway = gateway
        self._reentry = reentry
        self._ways = ways
        self._services = services
        self._recorder = recorder
        self._lives = lives
        self._connections: set[DoorConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Accept at a socket; one that an earlier process left there is taken away."""
        listener = bound(path)
        self._server = await asyncio.get_running_loop().create_unix_server(self._connect, sock=listener, backlog=512)
        self._start(self._sweep())

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connect(self) -> DoorConnection:
        gateway = self._gateway
        connection = DoorConnection(self, gateway.works.limits, gateway.clock.monotonic, self._connections.discard)
        self._connections.add(connection)
        return connection

    # what a connection asks

    def glance(self, head: Head) -> Fault | None:
        try:
            opened = self._opened(head)
            container = opened.principal.on_behalf_of
            head.door = Door(DoorKind.EXEC, container.uuid, "", 0, "gateway")
            head.claim = f"container-{container.number}"
            head.call = opened.call
            head.way = opened.way
            if head.path.startswith(SERVICES):
                head.route = ONLY_A_SCRIPT
                return self._gateway.glance(head.door, head) or self._unknown_service(head)
            following = _header(head, b"x-bawn-next")
            if following:
                head.way = self._ways.further(container, opened.way, following)
            head.route = self._route(container, head)
        except Fault as fault:
            return fault
        return self._gateway.glance(head.door, head)

    def _opened(self, head: Head) -> Reentered:
        opened = self._reentry.open(_ticket(head))
        if not self._lives(opened.call):
            raise Fault("auth.refused", "This call is not authorised.", cause="the call of the ticket is over")
        return opened

    def _route(self, container: Container, head: Head) -> Any:
        try:
            return self._gateway.route(head)
        except Fault as fault:
            ahead = head.way.ahead if head.way is not None else ()
            if fault.code not in ("http.unknown_path", "http.method_not_allowed") or not any(
                self._ways.serves(container, name, head.path) for name in ahead
            ):
                raise
            return ONLY_A_SCRIPT

    def _unknown_service(self, head: Head) -> Fault | None:
        if head.method != "POST":
            return Fault("http.method_not_allowed", "A service is asked with POST.")
        if not self._services.knows(_service(head)):
            return Fault("http.unknown_path", "There is no such service.")
        return None

    def begin(self, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        assert head.door is not None
        if not head.path.startswith(SERVICES):
            return self._gateway.begin(head.door, head, body, connection)
        call = RunningCall(head.door.container_uuid)
        self._gateway.running.add(call)
        call.task = self._start(self._serve(head, body, connection, call))
        return call.leave

    def refuse(self, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        door = head.door if head is not None else None
        if head is not None and head.path.startswith(SERVICES):
            connection.write_whole(fault.status, _JSON, _said(fault))
        else:
            self._gateway.refuse(door or _NOBODY, head, fault, connection)

    async def _serve(self, head: Head, body: bytes, connection: DoorConnection, call: RunningCall) -> None:
        """Nothing is raised out of here."""
        status, said = 200, b""
        try:
            said = await self._asked(head, body)
        except Fault as fault:
            status, said = fault.status, _said(fault)
        except asyncio.CancelledError:
            if call.reason is None:
                return
            status, said = call.reason.status, _said(call.reason)
        except Exception as error:  # noqa: BLE001 - the outermost loop: a script never sees a traceback of ours
            _log.error("script.service_failed", service=_service(head), exc_info=error)
            failure = Fault("internal", "The gateway failed on this.")
            status, said = failure.status, _said(failure)
        finally:
            self._gateway.running.remove(call)
        connection.write_whole(status, _JSON, said)

    async def _asked(self, head: Head, body: bytes) -> bytes:
        assert head.door is not None
        assert head.way is not None
        try:
            read = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Fault("request.malformed_json", "The body is not a JSON object.", cause=str(error)) from None
        container = self._gateway.admitted(head.door, head.claim)
        opened = self._opened(head)
        asker = Asker(opened.principal, opened.call, head.way.passed[-1] if head.way.passed else "")
        service = _service(head)
        if service not in _QUIET:
            await self._recorder.record(
                Event(
                    event="script.asked",
                    endpoint=service,
                    principal=label(container),
                    container=container.uuid,
                    call=head.call or new_call_id(),
                    detail=(("exec", asker.exec),),
                )
            )
            self._gateway.admitted(head.door, head.claim)
        return msgspec.json.encode(await self._services.ask(service, asker, read))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._gateway.clock.monotonic()
            for connection in [each for each in self._connections if each.deadline <= now]:
                with contextlib.suppress(Fault):
                    connection.overdue()


def bound(path: Path) -> socket.socket:
    """A unix socket at a path, in the place of one that an earlier process left there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # By way of the folder, since the address of a socket has 107 bytes and a home may be longer.
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    # In the box of a worker the owner of what is mounted is seen as the worker; what counts is the ticket.
    path.chmod(0o600)
    listener.setblocking(False)
    return listener


_JSON = [(b"content-type", b"application/json")]
_NOBODY = Door(DoorKind.EXEC, "", "", 0, "gateway")


def _said(fault: Fault) -> bytes:
    return msgspec.json.encode({"error": {"code": fault.code, "message": fault.sentence}})


def _service(head: Head) -> str:
    return head.path[len(SERVICES) :].decode("latin-1")


def _header(head: Head, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in head.headers if key == name), "")


def _ticket(head: Head) -> str:
    scheme, _, ticket = _header(head, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not ticket.startswith(PREFIX):
        raise Fault("auth.refused", "This call is not authorised.", cause="no re-entry ticket was sent")
    return ticket.strip()
