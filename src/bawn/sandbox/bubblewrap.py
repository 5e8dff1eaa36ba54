"""Boxes of bubblewrap: works as root and as an ordinary user, keeps nothing of its own on disk.

As root, bubblewrap is called by `staging` as a uid that belongs to this container alone (its reasons stand there); as an
ordinary user it is called directly, and the agent is that user. Both ways it makes all namespaces,
maps the agent to 1000, forbids further user namespaces, and waits on `--block-fd` until the doors are bound.
It does not die with the supervisor: a box outlives a restart and is adopted again.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import furnishing, guarding, python, seccomp
from bawn.sandbox.attested import Attested
from bawn.sandbox.bundle import HOST_FILES, HOST_FOLDERS, INIT, READ_ONLY, init_program
from bawn.sandbox.cgroup import Cgroups
from bawn.sandbox.executing import Joiners, memory_file
from bawn.sandbox.guarding import Cover, Plan
from bawn.sandbox.images import HOST, Images
from bawn.sandbox.runtime import (
    Command,
    Prepared,
    Running,
    confirm_workspace,
    kill_first_process,
    opened_workspace,
)
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import AGENT, STAGE, Stage, agent_uid
from bawn.sandbox.staging import WORKSPACE as STAGED_WORKSPACE

TIMEOUT_S = 20.0


class Bubblewrap:
    name = "bubblewrap"

    def __init__(self, images: Images, cgroups: Cgroups, joiners: Joiners, *, rootless: bool) -> None:
        self._images = images
        self._cgroups = cgroups
        self._joiners = joiners
        self._rootless = rootless
        self._program = shutil.which("bwrap", path=python.SYSTEM_PATH)
        self._monitors: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def lacking(self) -> str:
        if not self._program:
            return "bubblewrap is not installed (program bwrap)"
        return "" if init_program() else "bubblewrap has no init for containers (install catatonit)"

    def degraded(self) -> list[str]:
        return [] if seccomp.known() else ["there is no system call filter for this processor architecture"]

    def unenforced(self, spec: Spec) -> frozenset[str]:
        return self._cgroups.unenforced(spec)

    def prepare(self, spec: Spec, plan: Plan) -> Prepared:
        init = init_program()
        if self._program is None or init is None:
            raise Fault("sandbox.runtime_missing", self.lacking())
        with opened_workspace(spec) as folder:
            prepared = self._launch(self._program, init, spec, plan, folder)
            try:
                confirm_workspace(prepared.box, folder, spec.place)
                self._cgroups.make(spec.uuid, spec.limits)
                self._cgroups.add(spec.uuid, prepared.box.pid)
            except (Fault, OSError):
                self.kill(spec.uuid, prepared.box)
                raise
        return prepared

    def _launch(self, program: str, init: Path, spec: Spec, plan: Plan, folder: int | None) -> Prepared:
        info_r, info_w = os.pipe()
        held, waiting = socket.socketpair()
        given = {path: memory_file(text) for path, text in furnishing.files(spec).items()}
        given[INIT] = memory_file(init.read_bytes())
        filter_fd = memory_file(seccomp.program()) if seccomp.known() else None
        options = self._options(spec, plan, folder, info_w, waiting.fileno(), given, filter_fd)
        # By a descriptor, since the first process of the box is bubblewrap itself, whose argv all inside can read.
        arguments = memory_file(b"".join(option.encode() + b"\0" for option in options))
        command = [program, "--args", str(arguments), "--", INIT, "-P"]
        fds = [info_w, waiting.fileno(), arguments, *given.values(), *([] if filter_fd is None else [filter_fd])]
        if not self._rootless:
            trees = {} if spec.image == HOST else {"rootfs": str(self._images.lent(spec.image, spec.uuid))}
            stage = Stage(
                agent_uid(spec.number),
                folder,
                trees,
                covers=[(cover.path, cover.by) for cover in plan.covers],
                scratch_bytes=spec.limits.scratch_bytes,
                become_agent=True,
                open_files=spec.limits.open_files,
            )
            command = stage.argv(command)
            fds += [] if folder is None else [folder]
        try:
            monitor = subprocess.Popen(
                command,
                env=python.environment(),
                pass_fds=fds,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            held.close()
            os.close(info_r)
            raise Fault("sandbox.start_failed", "bubblewrap could not be started", cause=str(error)) from error
        finally:
            os.close(info_w)
            waiting.close()
            for fd in (arguments, *given.values(), *([] if filter_fd is None else [filter_fd])):
                os.close(fd)
        try:
            box = Attested.of(_child_pid(info_r, monitor))
            _settled(box)
        except Fault:
            held.close()
            monitor.kill()
            monitor.wait()
            raise
        finally:
            os.close(info_r)
            if monitor.stderr is not None:
                monitor.stderr.close()
        with self._lock:
            self._monitors[spec.uuid] = monitor
        return Prepared(spec, box, held, noexec=("/tmp", "/dev/shm"))

    def _options(
        self,
        spec: Spec,
        plan: Plan,
        folder: int | None,
        info: int,
        block: int,
        given: Mapping[str, int],
        filter_fd: int | None,
    ) -> list[str]:
        rootfs = None if spec.image == HOST else self._images.lent(spec.image, spec.uuid, given.keys() - {INIT})
        command = [
            "--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(AGENT), "--gid", str(AGENT),
            "--hostname", spec.hostname, "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv",
            "--info-fd", str(info), "--block-fd", str(block),
        ]  # fmt: skip
        if filter_fd is not None:
            command += ["--seccomp", str(filter_fd)]
        if rootfs is None:
            command += _host_image()
        else:
            command += ["--ro-bind", str(rootfs) if self._rootless else f"{STAGE}/rootfs", "/"]
        size = ("--size", str(spec.limits.scratch_bytes), "--tmpfs")
        command += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", *size, "/dev/shm"]
        for name in READ_ONLY:
            if Path(name).exists():
                command += ["--ro-bind", name, name]
        command += ["--perms", "1777", *size, "/tmp", *size, furnishing.HOME]
        for path, fd in given.items():
            # A program that may be run and not be read makes a process of which nothing can be read or written: the
            # first process is the agent's own uid.
            command += ["--perms", "0111" if path == INIT else "0644", "--ro-bind-data", str(fd), path]
        command += ["--remount-ro", "/dev"]
        if spec.place != furnishing.WORKSPACE:
            command += ["--size", "65536", "--tmpfs", furnishing.WORKSPACE]
        if folder is None:
            command += [*size, spec.place]
        else:
            command += ["--bind", str(spec.workspace) if self._rootless else STAGED_WORKSPACE, spec.place]
            if self._rootless:
                for cover in plan.covers:
                    command += _covered(str(spec.workspace), spec.place, cover)
        if spec.place != furnishing.WORKSPACE:
            command += ["--remount-ro", furnishing.WORKSPACE]
        if rootfs is None:
            command += ["--remount-ro", "/"]
        return [*command, "--chdir", "/", "--setenv", "PATH", python.SYSTEM_PATH]

    def start(self, prepared: Prepared) -> None:
        if prepared.release is not None:
            prepared.release.sendall(b".")
            prepared.release.close()
            prepared.release = None

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running:
        with self._cgroups.doors(spec.uuid) as groups:
            return self._joiners.join(spec, box, command, groups)

    def signal(self, box: Attested, running: Running, number: int) -> None:
        if running.channel is not None:
            running.channel.send(str(number).encode())

    def kill(self, uuid: str, box: Attested) -> None:
        kill_first_process(box)
        self._reap(uuid)

    def delete(self, uuid: str) -> None:
        self._reap(uuid)
        self._cgroups.remove(uuid)

    def find(self, uuid: str) -> Attested | None:
        return None

    def _reap(self, uuid: str) -> None:
        with self._lock:
            monitor = self._monitors.pop(uuid, None)
        if monitor is not None:
            monitor.wait(TIMEOUT_S)


def _covered(workspace: str, seen: str, cover: Cover) -> list[str]:
    """As an ordinary user nobody mounts but bubblewrap itself."""
    place = f"{seen}/{cover.path}"
    match cover.by:
        case guarding.ITSELF:
            return ["--bind", f"{workspace}/{cover.path}", place]
        case guarding.READ_ONLY:
            return ["--ro-bind", f"{workspace}/{cover.path}", place]
        case guarding.SCRATCH:
            return ["--tmpfs", place]
        case guarding.EMPTY_FOLDER:
            return ["--perms", "0000", "--tmpfs", place, "--remount-ro", place]
        case guarding.OPEN_FOLDER:
            return ["--perms", "0555", "--tmpfs", place, "--remount-ro", place]
        case _:
            return ["--ro-bind", "/dev/null", place]


def _host_image() -> list[str]:
    """The host's own programs, read-only, and nothing of its configuration but certificates and the linker's."""
    argv: list[str] = []
    for name in HOST_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            argv += ["--ro-bind", name, name]
    argv += ["--dir", "/etc"]
    for name in HOST_FILES:
        if Path(name).exists():
            argv += ["--ro-bind", name, name]
    return argv


def _child_pid(info: int, monitor: subprocess.Popen[bytes]) -> int:
    """The first process's pid, as bubblewrap tells it; its own complaint when it does not."""
    said = b""
    while True:
        ready, _, _ = select.select([info], [], [], TIMEOUT_S)
        piece = os.read(info, 4096) if ready else b""
        if not piece:
            break
        said += piece
        try:
            return int(json.loads(said)["child-pid"])
        except ValueError:
            continue
    monitor.kill()
    raise _complained(monitor)


def _settled(box: Attested) -> None:
    """Waits until bubblewrap has made the whole box: it tells the pid before it mounts, and drops its last capability after."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until and box.lives():
        status = Path(f"/proc/{box.pid}/status").read_text(encoding="utf-8", errors="replace")
        if "\nCapEff:\t0000000000000000\n" in status:
            return
        time.sleep(0.001)
    raise Fault("sandbox.start_failed", "the container could not be made", cause="bubblewrap did not finish")


def _complained(monitor: subprocess.Popen[bytes]) -> Fault:
    complaint = b"" if monitor.stderr is None else monitor.stderr.read(4096)
    lines = complaint.decode(errors="replace").strip().splitlines()
    return Fault("sandbox.start_failed", "the container could not be made", cause=lines[-1] if lines else "no answer")
