"""The workers of scripts: one for each project and exec id, each in a box without a network that ends with its gateway.

The gateway names a project and an exec id, and can name no path: every folder of a worker follows from those two names. The
worker's socket stands in a folder that is ours, so that nobody can put anything else in its place; what it prints
goes to the gateway by a pipe, whose other end comes with the answer.

    scripts/<project>       the files, read-only               /scripts
    run/scripts/door        the gateway's socket               /run/bawn/door
    run/scripts/egress/<project>  sockets by container         /run/bawn/egress
    workers/data/<project>  what scripts keep, written         /data
    workers/modules/<project>  of the lock file, read-only     /modules
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import python, working
from bawn.sandbox.cgroup import Cgroups, own_name
from bawn.sandbox.executing import memory_file
from bawn.sandbox.spec import Limits, read_env
from bawn.sandbox.working import Shown
from bawn.supervisor.boxed import Box, launched
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.modules import Modules
from bawn.supervisor.users import User

PROJECT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}\Z")
EXEC = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
MEMORY_BYTES = 512 << 20
PIDS = 64
CPUS = 1.0
OPEN_FILES = 1024
SCRATCH_BYTES = 64 << 20
PIPE_BYTES = 1 << 20
BACKLOG = 512
_LIMITS = {"memory_bytes": (64 << 20, 1 << 40), "pids": (16, 4096)}
_CPUS = (0.05, 1024.0)
_F_SETPIPE_SZ = 1031

Reply = Callable[[dict[str, object] | Fault, list[int]], None]
Tell = Callable[[Mapping[str, object]], None]
Request = Mapping[str, object]


@dataclass(slots=True)
class _Worker:
    project: str
    exec_id: str
    slot: int
    group: str
    """The name of its control groups."""
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    ending: bool = False
    """Whether somebody asked for its end."""
    after: list[Act] = field(default_factory=list)
    """What waits for its end."""


class Scripts:
    """`slowly` runs something in a thread; `tell` tells the gateway an event."""

    def __init__(
        self,
        loop: Loop,
        home: Path,
        slowly: Callable[[Act], None],
        tell: Tell,
        cgroups: Cgroups,
        *,
        gateway: User | None,
        owner: User | None,
        rootless: bool,
        registries: Callable[[], bytes],
    ) -> None:
        self._loop = loop
        self._home = home
        self._slowly = slowly
        self._tell = tell
        self._cgroups = cgroups
        self._gateway = gateway
        self._owner = owner
        self._rootless = rootless
        self._program = shutil.which("bwrap", path=python.SYSTEM_PATH)
        self._live: dict[tuple[str, str], _Worker] = {}
        self._modules = Modules(home, cgroups, registries, gateway=gateway, owner=owner, rootless=rootless)
        self._installing = False

    def start(self, request: Request, reply: Reply) -> None:
        """Starts a worker. The answer: `pid`, `socket` (where it listens), and the pipe of what it prints."""
        project, exec_id = _names(request)
        limits, env = _limits(request), read_env(request.get("env", {}))
        if self._program is None:
            raise Fault("sandbox.runtime_missing", "scripts need bubblewrap, which is not installed (program bwrap)")
        before = self._live.get((project, exec_id))
        if before is not None and before.ending:
            before.after.append(lambda: self._again(request, reply))
            return
        if before is not None:
            raise Fault("api.conflict", "this worker runs already")
        free = set(range(working.COUNT_LIMIT)) - {worker.slot for worker in self._live.values()}
        if not free:
            raise Fault("api.conflict", f"there are {working.COUNT_LIMIT} workers of scripts already")
        worker = self._live[project, exec_id] = _Worker(
            project,
            exec_id,
            min(free),
            own_name(self._home, f"script.{project}.{exec_id}"),  # no exec id has a dot
        )

        def start_slowly() -> None:
            try:
                process, where, log = self._started(worker, limits, env)
            except (Fault, OSError) as error:
                cause = str(error)
                fault = (
                    error
                    if isinstance(error, Fault)
                    else Fault("sandbox.start_failed", "the worker of the scripts could not be started", cause=cause)
                )
                self._loop.post(lambda: self._failed(worker, fault, reply))
                return
            self._loop.post(lambda: self._watched(worker, process, where, log, reply))

        self._slowly(start_slowly)

    def stop(self, request: Request, reply: Reply) -> None:
        """Ends a worker at once; the answer comes when it is gone."""
        worker = self._live.get(_names(request))
        if worker is None:
            reply({}, [])
            return
        worker.after.append(lambda: reply({}, []))
        self._end(worker)

    def install(self, request: Request, reply: Reply) -> None:
        """Installs what the project's lock file names; the answer comes when it is done: `modules`."""
        project, _ = _names({"exec": "1", **request})
        if self._program is None:
            raise Fault("sandbox.runtime_missing", "scripts need bubblewrap, which is not installed (program bwrap)")
        if self._installing:
            raise Fault("api.conflict", "modules are being installed already", remedy="Try again when that is done.")
        self._installing, program = True, self._program

        def done(said: dict[str, object] | Fault) -> None:
            self._installing = False
            reply(said, [])

        def install_slowly() -> None:
            said: dict[str, object] | Fault
            try:
                said = self._modules.install_slowly(program, project)
            except Fault as fault:
                said = fault
            except OSError as error:
                said = Fault("script.modules", "the modules could not be installed", cause=str(error))
            self._loop.post(lambda: done(said))

        self._slowly(install_slowly)

    def end_all(self) -> None:
        """Their gateway is gone."""
        for worker in list(self._live.values()):
            self._end(worker)

    def close(self) -> None:
        """The supervisor ends."""
        self._modules.close()
        for worker in self._live.values():
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
                self._cgroups.remove(worker.group)
                self._socket(worker).unlink(missing_ok=True)

    def _again(self, request: Request, reply: Reply) -> None:
        try:
            self.start(request, reply)
        except Fault as fault:
            reply(fault, [])

    def _end(self, worker: _Worker) -> None:
        worker.ending = True
        if worker.process is not None:
            worker.process.kill()

    def _failed(self, worker: _Worker, fault: Fault, reply: Reply) -> None:
        del self._live[worker.project, worker.exec_id]
        reply(fault, [])
        for act in worker.after:
            act()

    def _watched(self, worker: _Worker, process: subprocess.Popen[bytes], where: str, log: int, reply: Reply) -> None:
        worker.process = process
        worker.pidfd = os.pidfd_open(process.pid)
        self._loop.watch(worker.pidfd, lambda: self._ended(worker))
        reply({"pid": process.pid, "socket": where}, [log])
        os.close(log)
        if worker.ending:
            process.kill()

    def _ended(self, worker: _Worker) -> None:
        assert worker.process is not None
        self._loop.unwatch(worker.pidfd)
        os.close(worker.pidfd)
        code = worker.process.wait()

        def clear_slowly() -> None:
            reason = working.reason(code, self._cgroups.events(worker.group))
            self._cgroups.remove(worker.group)
            self._socket(worker).unlink(missing_ok=True)
            self._loop.post(lambda: self._gone(worker, reason))

        self._slowly(clear_slowly)

    def _gone(self, worker: _Worker, reason: str) -> None:
        del self._live[worker.project, worker.exec_id]
        self._tell(
            {
                "event": "script.ended",
                "project": worker.project,
                "exec": worker.exec_id,
                "pid": worker.process.pid if worker.process else 0,
                "reason": "it was told to end" if worker.ending else reason,
                "asked": worker.ending,
            }
        )
        for act in worker.after:
            act()

    def _socket(self, worker: _Worker) -> Path:
        # A short name: the path of a socket has 107 bytes.
        digest = hashlib.sha256(f"{worker.project}/{worker.exec_id}".encode()).hexdigest()
        return self._home / "workers" / f"{digest[:16]}.sock"

    # in a thread

    def _started(
        self, worker: _Worker, limits: Limits, env: Mapping[str, str]
    ) -> tuple[subprocess.Popen[bytes], str, int]:
        about = {
            "project": worker.project,
            "exec_id": worker.exec_id,
            "env": env,
            # A little below the group's, so that most floods end as an error of one request.
            "memory_bytes": (limits.memory_bytes or 0) * 15 // 16,
            "pids": limits.pids,
            "open_files": OPEN_FILES,
        }
        with self._folders(worker) as shown, self._listener(worker) as listener:
            log_r, log_w = os.pipe()
            about_fd = memory_file(json.dumps(about))
            box = Box(
                str(self._program),
                f"exec-{worker.exec_id}",
                shown,
                None if self._rootless else worker.slot,
                SCRATCH_BYTES,
                open_files=OPEN_FILES,
            )
            command = [*python.interpreter(), "-m", "bawn.scripts.worker"]
            command += ["--socket-fd", str(listener.fileno()), "--about-fd", str(about_fd)]
            try:
                fcntl.fcntl(log_w, _F_SETPIPE_SZ, PIPE_BYTES)
                self._cgroups.make(worker.group, limits)
                with self._cgroups.doors(worker.group) as groups:
                    process = launched(box, command, [listener.fileno(), about_fd], groups, log_w)
            except BaseException:
                os.close(log_r)
                self._cgroups.remove(worker.group)
                self._socket(worker).unlink(missing_ok=True)
                raise
            finally:
                os.close(log_w)
                os.close(about_fd)
        return process, str(self._socket(worker)), log_r

    @contextmanager
    def _folders(self, worker: _Worker) -> Iterator[list[Shown]]:
        home, project = self._home, worker.project
        gateway = os.geteuid() if self._gateway is None else self._gateway.uid
        owner = os.geteuid() if self._owner is None else self._owner.uid
        for kind in ("data", "modules"):
            self._made(home / "workers" / kind / project)
        shown: list[Shown] = []
        try:
            for place, parts, whose in (
                ("/scripts", ("scripts", project), gateway),
                ("/run/bawn/door", ("run", "scripts", "door"), gateway),
                ("/run/bawn/egress", ("run", "scripts", "egress", project), gateway),
                ("/data", ("workers", "data", project), owner),
                ("/modules", ("workers", "modules", project), owner),
            ):
                descriptor = working.opened(home, *parts, owner=whose)
                shown.append(Shown(place, descriptor, writable=place == "/data"))
            yield shown
        finally:
            for each in shown:
                os.close(each.descriptor)

    def _made(self, folder: Path) -> None:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._owner is not None:
            os.chown(folder, self._owner.uid, self._owner.gid)

    def _listener(self, worker: _Worker) -> socket.socket:
        path = self._socket(worker)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            path.chmod(0o600)
            if self._gateway is not None:
                os.chown(path, self._gateway.uid, self._gateway.gid)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener


def _names(request: Request) -> tuple[str, str]:
    project, exec_id = request.get("project"), request.get("exec")
    if not isinstance(project, str) or not PROJECT.match(project):
        raise Fault("sandbox.invalid", "project must be the name of a project, in small letters")
    if not isinstance(exec_id, str) or not EXEC.match(exec_id):
        raise Fault("sandbox.invalid", "exec must be a number or a name of small letters, digits and hyphens")
    return project, exec_id


def _limits(request: Request) -> Limits:
    said = request.get("limits", {})
    if not isinstance(said, dict) or set(said) - {*_LIMITS, "cpus"}:
        raise Fault("sandbox.invalid", "limits may have memory_bytes, pids and cpus")
    for name, (least, most) in _LIMITS.items():
        value = said.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Fault("sandbox.invalid", f"{name} must be an integer from {least} to {most}")
    cpus = said.get("cpus", CPUS)
    if not isinstance(cpus, int | float) or isinstance(cpus, bool) or not _CPUS[0] <= cpus <= _CPUS[1]:
        raise Fault("sandbox.invalid", f"cpus must be a number from {_CPUS[0]} to {_CPUS[1]}")
    return Limits(pids=said.get("pids", PIDS), memory_bytes=said.get("memory_bytes", MEMORY_BYTES), cpus=float(cpus))
