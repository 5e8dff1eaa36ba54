"""The commands of rules: each in a box of its own without a network, which ends with its first process; or on the host.

The gateway names a run and nothing else; what is to be done it says to the box itself, over the socket that comes with the
answer. All share two folders of this installation, where what they write stays: `/var/log` and `/work`.

On the host itself only where the operator's file names a user (`host_user.py`): the gateway can ask for it, and cannot say as
whom. It names the user that it takes for the right one, so that a file that changed since the start is noticed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import python, working
from bawn.sandbox.cgroup import Cgroups
from bawn.sandbox.spec import Limits
from bawn.sandbox.working import Shown
from bawn.supervisor.boxed import Box, launched
from bawn.supervisor.host_user import KEY, HostUser
from bawn.supervisor.hosted import Hosted
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.modules import SLOT
from bawn.supervisor.users import User

AT_ONCE = 8
END_S = 10.0
SCRATCH_BYTES = 64 << 20
LIMITS = Limits(pids=64, memory_bytes=512 << 20, cpus=1.0)
FOLDERS = {"/var/log": "log", "/work": "work"}
_RUN = re.compile(r"[a-z0-9]{1,32}\Z")

Reply = Callable[[dict[str, object] | Fault, list[int]], None]
Request = Mapping[str, object]


@dataclass(slots=True)
class _Run:
    name: str
    slot: int
    group: str
    """Of its control groups. No other installation on this host has one of this name: what is in it is ended with the run."""
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    ending: bool = False
    on_host: bool = False
    lifeline: int = -1
    """Of one on the host: closed, and it ends with all that it started."""


class Commands:
    """`slowly` runs something in a thread."""

    def __init__(
        self,
        loop: Loop,
        home: Path,
        slowly: Callable[[Act], None],
        cgroups: Cgroups,
        *,
        owner: User | None,
        host_user: HostUser | None,
        rootless: bool,
    ) -> None:
        self._loop = loop
        self._home = home
        self._installation = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        self._slowly = slowly
        self._cgroups = cgroups
        self._owner = owner
        self._host_user = host_user
        self._rootless = rootless
        self._program = shutil.which("bwrap", path=python.SYSTEM_PATH)
        self._live: dict[str, _Run] = {}

    @property
    def host_user(self) -> str:
        """As whom commands may run on the host; empty: they may not."""
        return self._host_user.name if self._host_user is not None else ""

    def run(self, request: Request, reply: Reply) -> None:
        """Starts a box, or with `host` a command outside of any. The answer: `pid`, and the socket on which it is told."""
        name = _name(request)
        on_host = "host" in request
        if on_host:
            self._may_on_host(request["host"])
        elif self._program is None:
            raise Fault(
                "sandbox.runtime_missing", "commands of rules need bubblewrap, which is not installed (program bwrap)"
            )
        if name in self._live:
            raise Fault("api.conflict", "this runs already")
        free = set(range(AT_ONCE)) - {run.slot for run in self._live.values()}
        if not free:
            raise Fault("api.conflict", f"{AT_ONCE} commands of rules run already")
        run = self._live[name] = _Run(name, min(free), f"rule.{self._installation}.{min(free)}", on_host=on_host)

        def start_slowly() -> None:
            try:
                process, end = self._started_on_host(run) if on_host else self._started(run)
            except (Fault, OSError) as error:
                fault = (
                    error
                    if isinstance(error, Fault)
                    else Fault("sandbox.start_failed", "the box of a rule could not be started", cause=str(error))
                )
                self._loop.post(lambda: self._failed(run, fault, reply))
                return
            self._loop.post(lambda: self._watched(run, process, end, reply))

        self._slowly(start_slowly)

    def stop(self, request: Request, reply: Reply) -> None:
        """Ends a box at once."""
        run = self._live.get(_name(request))
        if run is not None:
            self._end(run)
        reply({}, [])

    def end_all(self) -> None:
        """Their gateway is gone."""
        for run in list(self._live.values()):
            self._end(run)

    def close(self) -> None:
        """The supervisor ends."""
        for run in self._live.values():
            self._end(run)
        for run in self._live.values():
            if run.process is not None:
                try:
                    run.process.wait(END_S)
                except subprocess.TimeoutExpired:
                    run.process.kill()
                    run.process.wait()
                if run.on_host:
                    self._cgroups.end(run.group)
                self._cgroups.remove(run.group)

    def _may_on_host(self, named: object) -> None:
        own = self.host_user
        if not own:
            because = f"Bawn was started without {KEY}, so no command runs on the host; a change takes a restart"
        elif named != own:
            because = f"Bawn was started with {own} as {KEY}; a change takes a restart"
        else:
            return
        raise Fault("rule.failed", because)

    def _end(self, run: _Run) -> None:
        run.ending = True
        if run.process is None:
            return
        if run.on_host:
            self._let_go(run)
        else:
            run.process.kill()

    def _let_go(self, run: _Run) -> None:
        if run.lifeline >= 0:
            os.close(run.lifeline)
            run.lifeline = -1

    def _failed(self, run: _Run, fault: Fault, reply: Reply) -> None:
        del self._live[run.name]
        reply(fault, [])

    def _watched(self, run: _Run, process: subprocess.Popen[bytes], end: socket.socket, reply: Reply) -> None:
        run.process = process
        run.pidfd = os.pidfd_open(process.pid)
        self._loop.watch(run.pidfd, lambda: self._ended(run))
        reply({"pid": process.pid}, [end.fileno()])
        end.close()
        if run.ending:
            self._end(run)

    def _ended(self, run: _Run) -> None:
        assert run.process is not None
        self._loop.unwatch(run.pidfd)
        os.close(run.pidfd)
        run.process.wait()
        self._let_go(run)

        def clear_slowly() -> None:
            if run.on_host:
                self._cgroups.end(run.group)  # nothing, unless the program that watched it was killed
            self._cgroups.remove(run.group)
            self._loop.post(lambda: self._gone(run))

        self._slowly(clear_slowly)

    def _gone(self, run: _Run) -> None:
        del self._live[run.name]

    # in a thread

    def _started(self, run: _Run) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        shown: list[Shown] = []
        try:
            for place, name in FOLDERS.items():
                shown.append(Shown(place, self._folder(name), writable=True))
            slot = None if self._rootless else SLOT + 1 + run.slot
            box = Box(str(self._program), "rule", shown, slot, SCRATCH_BYTES)
            command = [*python.interpreter(), "-m", "bawn.scripts.worker.command", "--fd", str(theirs.fileno())]
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - /dev/null
                self._cgroups.make(run.group, LIMITS)
                with self._cgroups.doors(run.group) as groups:
                    process = launched(box, command, [theirs.fileno()], groups, nowhere.fileno())
        except BaseException:
            ours.close()
            self._cgroups.remove(run.group)
            raise
        finally:
            theirs.close()
            for each in shown:
                os.close(each.descriptor)
        return process, ours

    def _started_on_host(self, run: _Run) -> tuple[subprocess.Popen[bytes], socket.socket]:
        assert self._host_user is not None
        ours, theirs = socket.socketpair()
        held, kept = os.pipe2(os.O_CLOEXEC)
        try:
            self._cgroups.make(run.group, LIMITS)
            unheld = self._cgroups.lacking(LIMITS)
            with self._cgroups.doors(run.group) as groups:
                hosted = Hosted(
                    asdict(self._host_user),
                    theirs.fileno(),
                    held,
                    groups,
                    [str(place) for place in self._cgroups.places(run.group)],
                    LIMITS.pids if "pids" in unheld else 0,
                    (LIMITS.memory_bytes or 0) if "memory_bytes" in unheld else 0,
                )
                process = subprocess.Popen(
                    hosted.argv(),
                    env=python.environment(),
                    cwd="/",
                    pass_fds=[theirs.fileno(), held, *groups],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            os.close(kept)
            self._cgroups.remove(run.group)
            raise
        finally:
            theirs.close()
            os.close(held)
        run.lifeline = kept
        return process, ours

    def _folder(self, name: str) -> int:
        folder = self._home / "workers" / "rules" / name
        for made in (folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
        if self._owner is not None:
            os.chown(folder, self._owner.uid, self._owner.gid)
        owner = os.geteuid() if self._owner is None else self._owner.uid
        return working.opened(self._home, "workers", "rules", name, owner=owner)


def _name(request: Request) -> str:
    name = request.get("run")
    if not isinstance(name, str) or not _RUN.match(name):
        raise Fault("sandbox.invalid", "run must be a name of small letters and digits")
    return name
