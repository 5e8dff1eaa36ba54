"""The other processes: who they are, what they are handed, and what happens when one ends.

The gateway and the audit writer live and die together: they share one socketpair, a pair is one lifetime, and
without the writer the gateway may let nothing pass anyway. When either ends unasked, the other is stopped,
both start again after a pause that grows, and the new gateway is handed every door. The processes of the other doors
live on beside them (`owners.py`).
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bawn.supervisor.children import Children
from bawn.supervisor.home import Home, open_master_key
from bawn.supervisor.host_user import HostUser
from bawn.supervisor.launch import Launch
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.owners import Owner, Owners
from bawn.supervisor.users import User

RULES = ("hoody.json", "hoody.jsonc", ".hoody.json", "rules")
"""What else the gateway reads beside its configuration, where there is any: rules."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What each process runs, as arguments of the interpreter; tests put small stand-ins here."""

    gateway: tuple[str, ...] = ("-m", "bawn.app")
    audit: tuple[str, ...] = ("-m", "bawn.audit")
    scripted: tuple[str, ...] = ("-m", "bawn.inference")
    egress: tuple[str, ...] = ("-m", "bawn.egress")
    packages: tuple[str, ...] = ("-m", "bawn.packages")
    notifier: tuple[str, ...] = ("-m", "bawn.notify")


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
    egress_user: User | None
    scripts_user: User | None = None
    """Who owns on disk what scripts keep."""
    host_user: HostUser | None = None
    """As whom commands of rules may run on the host itself; None: they may not."""
    oci_runtime: str = ""
    """crun or runc; empty: crun where it is installed."""
    allow_vulnerable_runc: bool = False
    programs: Programs = field(default_factory=Programs)


class Processes:
    def __init__(
        self,
        loop: Loop,
        setting: Setting,
        on_gateway: Callable[[socket.socket], None],
        on_gateway_gone: Act,
        on_owner: Callable[[str], None],
    ) -> None:
        self._setting = setting
        self._on_gateway = on_gateway
        self._on_gateway_gone = on_gateway_gone
        self._children = Children(loop)
        self._scripted = self._listener("scripted")
        self._notifier = self._listener("notifier")
        home, programs = setting.home.path, setting.programs
        self._owners = Owners(
            loop,
            self._children,
            [
                Owner("egress", programs.egress, setting.egress_user),
                Owner("packages", programs.packages, setting.egress_user, folder=home / "packages", registries=True),
            ],
            on_owner,
        )

    def pids(self) -> dict[str, int]:
        """Of every process that runs, by its name."""
        return self._children.pids()

    def start(self) -> None:
        self._start_scripted()
        self._start_notifier()
        self._owners.start()
        self._start_core()

    def tell(self, owner: str, event: Mapping[str, object], fds: Sequence[int] = ()) -> None:
        """An event for the process that owns a kind of door."""
        self._owners.tell(owner, event, fds)

    def introduce(self, tell_gateway: Callable[[Mapping[str, object], Sequence[int]], None], *names: str) -> None:
        """Connects the gateway with the processes of the other doors, all of them or those named."""
        self._owners.introduce(tell_gateway, *names)

    def end_gateway(self) -> None:
        """Its line is broken: it cannot be trusted to be in order."""
        self._children.kill("gateway")

    def stop(self) -> None:
        """Orderly: the gateway before the writer, so that the writer can take the last records."""
        self._children.stop()
        for name in ("egress", "packages", "gateway", "audit", "scripted", "notifier"):
            self._children.end(name)
        self._owners.close()
        self._scripted.close()
        self._notifier.close()

    def _start_core(self) -> None:
        if self._children.stopping:
            return
        setting = self._setting
        control, gateway_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        audit_end, writer_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(setting.home.path / "audit", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        key = open_master_key(setting.master_key, setting.home.path)
        try:
            self._children.spawn(
                "audit",
                [*setting.programs.audit, "--directory-fd", str(folder), "--socket-fd", str(writer_end.fileno())],
                [folder, writer_end.fileno()],
                setting.audit_user,
                Launch(os.getpid()),
                lambda: self._core_ended("audit"),
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
                readable=[
                    *(str(setting.config.parent / name) for name in (setting.config.name, *RULES)),
                    str(setting.home.path / "workers"),
                ],
                writable=[str(setting.home.path / name) for name in ("state", "run", "scripts")],
            )
            self._children.spawn(
                "gateway",
                [*setting.programs.gateway, *places, *handed],
                [gateway_end.fileno(), audit_end.fileno(), key],
                setting.gateway_user,
                launch,
                lambda: self._core_ended("gateway"),
            )
        finally:
            os.close(folder)
            os.close(key)
            for end in (gateway_end, audit_end, writer_end):
                end.close()
        self._on_gateway(control)

    def _core_ended(self, name: str) -> None:
        for other in ("gateway", "audit"):
            self._children.end(other, signal.SIGTERM)
        self._on_gateway_gone()
        self._children.later(name, self._start_core)

    def _start_scripted(self) -> None:
        if self._children.stopping:
            return
        script = self._setting.script
        arguments = [*self._setting.programs.scripted, "--socket-fd", str(self._scripted.fileno())]
        arguments += [] if script is None else ["--script", str(script)]
        launch = Launch(os.getpid(), readable=[] if script is None else [str(script)])
        self._children.spawn(
            "scripted",
            arguments,
            [self._scripted.fileno()],
            self._setting.gateway_user,
            launch,
            lambda: self._children.later("scripted", self._start_scripted),
        )

    def _start_notifier(self) -> None:
        if self._children.stopping:
            return
        # It speaks to services out there, so it is the user that does, who may read nothing of the gateway's.
        self._children.spawn(
            "notifier",
            [*self._setting.programs.notifier, "--socket-fd", str(self._notifier.fileno())],
            [self._notifier.fileno()],
            self._setting.egress_user,
            Launch(os.getpid()),
            lambda: self._children.later("notifier", self._start_notifier),
        )

    def _listener(self, name: str) -> socket.socket:
        """Where the gateway reaches a process of ours: nothing on the host's TCP, but a socket of the file system."""
        path = self._setting.home.path / f"run/{name}.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        if self._setting.gateway_user is not None:
            os.chown(path, self._setting.gateway_user.uid, self._setting.gateway_user.gid)
        listener.listen(1024)
        return listener
