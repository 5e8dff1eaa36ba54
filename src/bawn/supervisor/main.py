"""The supervisor as a program: arguments, signals, order of start and end.

SIGTERM and SIGINT close the yard: the gateway ends, then the boxes, then the writer. SIGUSR1 ends the supervisor
and its processes but leaves the boxes, for a restart that adopts them; a crash is the same without being asked.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from bawn.errors import Fault
from bawn.sandbox.bubblewrap import Bubblewrap
from bawn.sandbox.cgroup import Cgroups
from bawn.sandbox.executing import Joiners
from bawn.sandbox.gvisor import Gvisor
from bawn.sandbox.images import Images
from bawn.sandbox.podman import FLAG, Podman
from bawn.sandbox.runtime import Runtime
from bawn.supervisor.attachments import Attachments
from bawn.supervisor.commands import Commands
from bawn.supervisor.control import Control
from bawn.supervisor.errands import Errands
from bawn.supervisor.executions import Executions
from bawn.supervisor.held import Records
from bawn.supervisor.home import Home
from bawn.supervisor.host_user import host_user
from bawn.supervisor.keeper import Keeper
from bawn.supervisor.line import Line
from bawn.supervisor.loop import Loop
from bawn.supervisor.owners import registries_of_this_host
from bawn.supervisor.processes import Processes, Programs, Setting
from bawn.supervisor.scripts import Scripts
from bawn.supervisor.snapshots import Snapshots
from bawn.supervisor.users import AUDIT, EGRESS, GATEWAY, SCRIPTS, system_user
from bawn.supervisor.workspaces import Workspaces

ANSWER_INTERVAL_S = 0.05
STARTS = 3
"""A gateway that never answered is started this often; what stops it then will stop it again."""


class Supervisor:
    def __init__(self, setting: Setting, *, rootless: bool) -> None:
        self._setting = setting
        self._loop = Loop()
        images = Images(setting.home.path / "images")
        self._joiners = Joiners()
        cgroups, containers = Cgroups(), setting.home.path / "containers"
        oci = Podman(
            images,
            containers,
            cgroups,
            self._joiners,
            rootless=rootless,
            program=setting.oci_runtime,
            allow_vulnerable_runc=setting.allow_vulnerable_runc,
        )
        runtimes: dict[str, Runtime] = {
            "podman": oci,
            "bubblewrap": Bubblewrap(images, cgroups, self._joiners, rootless=rootless),
            "runsc": Gvisor(images, containers, cgroups, rootless=rootless),
        }
        self._control = Control(
            self._loop,
            runtimes=runtimes,
            images=images,
            rootless=rootless,
            pids=self._pids,
            on_hello=self._greeted,
        )
        closed = [setting.home.path, setting.config.parent, setting.master_key.parent]
        records = Records(containers)
        self._keeper = Keeper(self._loop, runtimes, records, self._control.tell, self._tell_owner, closed)
        images.live = self._keeper.live
        self._images = images
        self._executions = Executions(self._loop, self._keeper, runtimes, self._control.tell)
        workspaces = self._keeper.workspaces = Workspaces(setting.home.path / "workspaces", rootless=rootless)
        self._errands = Errands(self._loop, self._keeper, rootless=rootless)
        self._snapshots = Snapshots(self._loop, self._keeper, workspaces, setting.home.path / "snapshots")
        self._keeper.before_start += [self._snapshots.settle]
        self._keeper.on_deleted += [workspaces.remove, self._snapshots.remove]
        self._control.snapshots = self._snapshots
        self._attachments = Attachments(self._loop, self._keeper, self._control.tell, rootless=rootless)
        self._control.attachments = self._attachments
        self._scripts = Scripts(
            self._loop,
            setting.home.path,
            self._keeper.slowly,
            self._control.tell,
            cgroups,
            gateway=setting.gateway_user,
            owner=setting.scripts_user,
            rootless=rootless,
            registries=registries_of_this_host,
        )
        self._control.scripts = self._scripts
        self._commands = Commands(
            self._loop,
            setting.home.path,
            self._keeper.slowly,
            cgroups,
            owner=setting.scripts_user,
            host_user=setting.host_user,
            rootless=rootless,
        )
        self._control.commands = self._commands
        self._control.keeper, self._control.executions = self._keeper, self._executions
        self._control.errands = self._errands
        self._processes = Processes(self._loop, setting, self._gateway_started, self._gateway_gone, self._owner_started)
        self._ready = False
        self._leave_boxes = False
        self._ending = False
        self._failed_starts = 0

    def _pids(self) -> dict[str, int]:
        return self._processes.pids()  # made after the control that asks for them

    def run(self) -> bool:
        """Until it is told to end; whether the gateway ever answered."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._asked_to_end)
        signal.set_wakeup_fd(self._loop.wake_fd, warn_on_full_buffer=False)
        try:
            self._snapshots.recover()
            for event in self._keeper.adopt():
                self._control.tell(event)
            self._snapshots.thaw()
            self._images.sweep()
            self._processes.start()
            self._loop.run()
        finally:
            signal.set_wakeup_fd(-1)
            self._control.connect(None)
            self._processes.stop()
            self._errands.close()
            self._attachments.close()
            self._scripts.close()
            self._commands.close()
            self._keeper.leave()
            self._joiners.close()
            self._loop.close()
        return self._failed_starts < STARTS

    def _asked_to_end(self, number: int, _: FrameType | None) -> None:
        self._leave_boxes = number == signal.SIGUSR1
        self._loop.post(self._end)

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        if self._leave_boxes:
            self._loop.stop()
        else:
            self._keeper.stop_all(self._loop.stop)

    def _gateway_started(self, end: socket.socket) -> None:
        self._control.connect(Line(self._loop, end, self._control.request, self._line_broken))

    def _line_broken(self) -> None:
        self._control.connect(None)
        self._processes.end_gateway()

    def _gateway_gone(self) -> None:
        self._control.connect(None)
        self._executions.hang_up()
        self._scripts.end_all()
        self._commands.end_all()
        if not self._ready:
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                self._loop.stop()

    def _tell_owner(self, owner: str, event: Mapping[str, object], fds: Sequence[int]) -> None:
        if owner == "gateway":
            self._control.tell(event, fds)
        else:
            self._processes.tell(owner, event, fds)

    def _owner_started(self, name: str) -> None:
        """A process of other doors came, or came again."""
        self._keeper.announce_doors(name)
        if self._control.greeted:
            self._processes.introduce(self._control.tell, name)

    def _greeted(self) -> None:
        """The gateway knows its containers."""
        self._processes.introduce(self._control.tell)
        self._answering()

    def _answering(self) -> None:
        """Ready is when the gateway's API answers as well."""
        if self._ready:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._setting.home.socket))
            except OSError:
                self._loop.after(ANSWER_INTERVAL_S, self._answering)
                return
        self._ready = True
        home = self._setting.home
        ready = {
            "ready": True,
            "pid": os.getpid(),
            "home": str(home.path),
            "socket": str(home.socket),
            "degraded": self._control.degraded(),
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()


def run(setting: Setting, *, rootless: bool) -> int:
    """One supervisor, from lock to end."""
    try:
        setting.home.lay_out(setting.gateway_user, setting.audit_user, setting.egress_user)
        lock = setting.home.lock()
        try:
            if not Supervisor(setting, rootless=rootless).run():
                sys.stderr.write("bawn: the gateway does not start; what it said stands above.\n")
                return 1
        finally:
            os.close(lock)
    except Fault as fault:
        sys.stderr.write(f"bawn: {fault.sentence}. {fault.remedy}\n" + (f"  ({fault.cause})\n" if fault.cause else ""))
        return 1
    return 0


def _credential() -> Path | None:
    """The master key that systemd keeps for this service (`LoadCredentialEncrypted=bawn.master`), if it does."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / "bawn.master" if folder else None
    return credential if credential is not None and credential.exists() else None


def main(arguments: Sequence[str] | None = None, programs: Programs | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bawn.supervisor", description="Keeps the boxes and their doors.")
    parser.add_argument(
        "--home", type=Path, required=True, metavar="DIR", help="where this installation keeps its state"
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="bawn.yaml")
    parser.add_argument("--master-key", type=Path, metavar="FILE", help="default: master.key beside the configuration")
    parser.add_argument("--script", type=Path, metavar="FILE", help="what the scripted model plays before its own")
    parser.add_argument("--admin-uid", type=int, metavar="UID", help="an admin at the very first start, beside root")
    parser.add_argument("--oci-runtime", choices=("", "crun", "runc"), default="", help="default: crun, else runc")
    parser.add_argument(FLAG, action="store_true", help="use a runc from which ways out of containers are known")
    asked = parser.parse_args(arguments)
    rootless = os.geteuid() != 0
    os.umask(0o077)
    config = asked.config.absolute()
    try:
        setting = Setting(
            home=Home(asked.home.absolute()),
            config=config,
            master_key=(asked.master_key or _credential() or config.parent / "master.key").absolute(),
            admin_uid=asked.admin_uid,
            script=None if asked.script is None else asked.script.absolute(),
            gateway_user=None if rootless else system_user(GATEWAY),
            audit_user=None if rootless else system_user(AUDIT),
            egress_user=None if rootless else system_user(EGRESS),
            scripts_user=None if rootless else system_user(SCRIPTS),
            host_user=host_user(config, rootless=rootless),
            oci_runtime=asked.oci_runtime,
            allow_vulnerable_runc=asked.allow_vulnerable_runc,
            programs=programs or Programs(),
        )
    except Fault as fault:
        cause = f"  ({fault.cause})\n" if fault.cause else ""
        sys.stderr.write(f"bawn: {fault.sentence}. {fault.remedy}\n{cause}")
        return 1
    return run(setting, rootless=rootless)
