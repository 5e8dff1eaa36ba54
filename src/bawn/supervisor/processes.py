"""The other processes: who they are, what they are handed, and what happens when one ends.

The gateway and the audit writer live and die together: they share one socketpair, a pair is one lifetime, and
without the writer the gateway may let nothing pass anyway. When either ends unasked, the other is stopped,
both start again after a pause that grows, and the new gateway is handed every door. Nothing of the
operator's environment reaches them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bawn.sandbox.python import environment
from bawn.supervisor.home import Home, open_master_key
from bawn.supervisor.launch import Launch
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.users import User

PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
"""Who lived this long is not crashing in a row."""
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Programs:
    """What each process runs, as arguments of the interpreter; tests put small stand-ins here."""

    gateway: tuple[str, ...] = ("-m", "bawn.app")
    audit: tuple[str, ...] = ("-m", "bawn.audit")
    scripted: tuple[str, ...] = ("-m", "bawn.inference")


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change while the supervisor runs."""

    home: Home
    config: Path
    master_key: Path
    script: Path | None
    admin_uid: int | None
    """Who becomes an admin at the very first start, beside root: whoever ran `sudo bawn up`."""
    gateway_user: User | None
    audit_user: User | None
    programs: Programs = field(default_factory=Programs)


class Processes:
    def __init__(
        self, loop: Loop, setting: Setting, on_gateway: Callable[[socket.socket], None], on_gateway_gone: Act
    ) -> None:
        self._loop = loop
        self._setting = setting
        self._on_gateway = on_gateway
        self._on_gateway_gone = on_gateway_gone
        self._live: dict[str, subprocess.Popen[bytes]] = {}
        self._pidfds: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._crashes: dict[str, int] = {}
        self._stopping = False
        self._scripted = self._scripted_listener()

    def audit_pid(self) -> int | None:
        writer = self._live.get("audit")
        return writer.pid if writer else None

    def start(self) -> None:
        self._start_scripted()
        self._start_core()

    def end_gateway(self) -> None:
        """Its line is broken: it cannot be trusted to be in order."""
        gateway = self._live.get("gateway")
        if gateway is not None:
            gateway.kill()

    def stop(self) -> None:
        """Orderly: the gateway first, so that the writer can take the last records."""
        self._stopping = True
        for name in ("gateway", "audit", "scripted"):
            self._end(name, signal.SIGTERM)
        self._scripted.close()

    def _start_core(self) -> None:
        if self._stopping:
            return
        setting = self._setting
        control, gateway_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        audit_end, writer_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(setting.home.path / "audit", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        key = open_master_key(setting.master_key, setting.home.path)
        try:
            self._spawn(
                "audit",
                [*setting.programs.audit, "--directory-fd", str(folder), "--socket-fd", str(writer_end.fileno())],
                [folder, writer_end.fileno()],
                setting.audit_user,
                Launch(os.getpid()),
            )
            places = ["--home", str(setting.home.path), "--config", str(setting.config)]
            if setting.gateway_user is not None:
                # Ordinary users can be operators of root's installation.
                places += ["--open-socket", "--admin-uid", str(setting.admin_uid or 0)]
            handed = [
                "--control-fd",
                str(gateway_end.fileno()),
                "--audit-fd",
                str(audit_end.fileno()),
                "--master-fd",
                str(key),
            ]
            launch = Launch(
                os.getpid(),
                readable=[str(setting.config)],
                writable=[str(setting.home.path / name) for name in ("state", "run")],
            )
            fds = [gateway_end.fileno(), audit_end.fileno(), key]
            self._spawn("gateway", [*setting.programs.gateway, *places, *handed], fds, setting.gateway_user, launch)
        finally:
            os.close(folder)
            os.close(key)
            for end in (gateway_end, audit_end, writer_end):
                end.close()
        self._on_gateway(control)

    def _start_scripted(self) -> None:
        if self._stopping:
            return
        script = self._setting.script
        arguments = [*self._setting.programs.scripted, "--socket-fd", str(self._scripted.fileno())]
        arguments += [] if script is None else ["--script", str(script)]
        launch = Launch(os.getpid(), readable=[] if script is None else [str(script)])
        self._spawn("scripted", arguments, [self._scripted.fileno()], self._setting.gateway_user, launch)

    def _scripted_listener(self) -> socket.socket:
        """There is no model listener on the host's TCP: the scripted model has a socket of the file system."""
        path = self._setting.home.path / "run/scripted.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        if self._setting.gateway_user is not None:
            os.chown(path, self._setting.gateway_user.uid, self._setting.gateway_user.gid)
        listener.listen(1024)
        return listener

    def _spawn(self, name: str, arguments: list[str], fds: list[int], user: User | None, launch: Launch) -> None:
        if user is not None:
            launch = Launch(launch.parent, user.uid, user.gid, launch.readable, launch.writable)
        # Its own session, so that the terminal's ^C comes to the supervisor alone, which ends all in order.
        process = subprocess.Popen(
            launch.argv(arguments),
            env=environment(),
            cwd="/",
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=2,
            start_new_session=True,
        )
        self._live[name] = process
        self._since[name] = time.monotonic()
        self._pidfds[name] = os.pidfd_open(process.pid)
        self._loop.watch(self._pidfds[name], lambda: self._ended(name))

    def _ended(self, name: str) -> None:
        """A process ended though nobody asked it to."""
        self._end(name, None)
        restart: Act = self._start_scripted
        if name != "scripted":
            for other in ("gateway", "audit"):
                self._end(other, signal.SIGTERM)
            self._on_gateway_gone()
            restart = self._start_core
        crashes = 0 if time.monotonic() - self._since[name] > STEADY_S else self._crashes.get(name, 0)
        self._crashes[name] = crashes + 1
        self._loop.after(PAUSES_S[min(crashes, len(PAUSES_S) - 1)], restart)

    def _end(self, name: str, number: signal.Signals | None) -> None:
        process = self._live.pop(name, None)
        if process is None:
            return
        pidfd = self._pidfds.pop(name)
        self._loop.unwatch(pidfd)
        os.close(pidfd)
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
        process.kill()
        process.wait()
