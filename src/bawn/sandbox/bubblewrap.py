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
from bawn.sandbox import furnishing, python, seccomp
from bawn.sandbox.attested import Attested
from bawn.sandbox.images import HOST, Images
from bawn.sandbox.joining import JOINED, Joining
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
SCRATCH_BYTES = 2 << 30
"""How much /tmp and /home/agent may hold each; it is memory."""

_HOST_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_HOST_FILES = (
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
)


class Bubblewrap:
    name = "bubblewrap"

    def __init__(self, images: Images, *, rootless: bool) -> None:
        self._images = images
        self._rootless = rootless
        self._program = shutil.which("bwrap", path=python.SYSTEM_PATH)
        self._monitors: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def lacking(self) -> str:
        return "" if self._program else "bubblewrap is not installed (program bwrap)"

    def degraded(self) -> list[str]:
        sentences = ["bubblewrap containers have no memory limit of their own"]
        if not seccomp.known():
            sentences.append("there is no system call filter for this processor architecture")
        return sentences

    def prepare(self, spec: Spec) -> Prepared:
        if self._program is None:
            raise Fault("sandbox.runtime_missing", self.lacking())
        with opened_workspace(spec) as folder:
            prepared = self._launch(self._program, spec, folder)
            try:
                confirm_workspace(prepared.box, folder)
            except (Fault, OSError):
                self.kill(spec.uuid, prepared.box)
                raise
        return prepared

    def _launch(self, program: str, spec: Spec, folder: int | None) -> Prepared:
        info_r, info_w = os.pipe()
        held, waiting = socket.socketpair()
        given = {path: _memory_file(text) for path, text in furnishing.files(spec).items()}
        filter_fd = _memory_file(seccomp.program()) if seccomp.known() else None
        options = self._options(spec, folder, info_w, waiting.fileno(), given, filter_fd)
        # By a descriptor, since the first process of the box is bubblewrap itself, whose argv all inside can read.
        arguments = _memory_file(b"".join(option.encode() + b"\0" for option in options))
        command = [program, "--args", str(arguments), "--", *furnishing.KEEPER]
        fds = [info_w, waiting.fileno(), arguments, *given.values(), *([] if filter_fd is None else [filter_fd])]
        if not self._rootless:
            trees = {} if spec.image == HOST else {"rootfs": str(self._images.rootfs(spec.image))}
            stage = Stage(agent_uid(spec.number), folder, trees, become_agent=True, open_files=spec.limits.open_files)
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
        return Prepared(spec, box, held)

    def _options(
        self, spec: Spec, folder: int | None, info: int, block: int, given: Mapping[str, int], filter_fd: int | None
    ) -> list[str]:
        rootfs = None if spec.image == HOST else self._images.rootfs(spec.image)
        command = [
            "--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(AGENT), "--gid", str(AGENT),
            "--hostname", spec.hostname, "--new-session", "--cap-drop", "ALL", "--clearenv",
            "--info-fd", str(info), "--block-fd", str(block),
        ]  # fmt: skip
        if filter_fd is not None:
            command += ["--seccomp", str(filter_fd)]
        if rootfs is None:
            command += _host_image()
        else:
            command += ["--ro-bind", str(rootfs) if self._rootless else f"{STAGE}/rootfs", "/"]
        command += [
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--perms",
            "1777",
            "--size",
            str(SCRATCH_BYTES),
            "--tmpfs",
            "/dev/shm",
        ]
        command += ["--remount-ro", "/dev"]
        command += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]
        command += ["--size", str(SCRATCH_BYTES), "--tmpfs", furnishing.HOME]
        for path, fd in given.items():
            command += ["--perms", "0644", "--ro-bind-data", str(fd), path]
        if folder is None:
            command += ["--tmpfs", furnishing.WORKSPACE]
        else:
            command += ["--bind", str(spec.workspace) if self._rootless else STAGED_WORKSPACE, furnishing.WORKSPACE]
        if rootfs is None:
            command += ["--remount-ro", "/"]
        return [*command, "--chdir", "/", "--setenv", "PATH", python.SYSTEM_PATH]

    def start(self, prepared: Prepared) -> None:
        if prepared.release is not None:
            prepared.release.sendall(b".")
            prepared.release.close()
            prepared.release = None

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = None if command.tty else _Pipes()
        with theirs, box.namespaces(*JOINED, "user") as namespaces:
            joining = Joining(
                argv=list(command.argv),
                env=furnishing.environment(spec, command.env, tty=command.tty),
                cwd=command.cwd,
                tty=command.tty,
                rows=command.rows,
                cols=command.cols,
                pids=spec.limits.pids,
                open_files=spec.limits.open_files,
                namespaces=namespaces,
                channel=theirs.fileno(),
            )
            request = _memory_file(joining.written())
            try:
                process = subprocess.Popen(
                    joining.command(request),
                    env=python.environment(),
                    cwd="/",
                    pass_fds=(request, theirs.fileno(), *namespaces),
                    stdin=pipes.theirs[0] if pipes else subprocess.DEVNULL,
                    stdout=pipes.theirs[1] if pipes else subprocess.DEVNULL,
                    stderr=pipes.theirs[2] if pipes else subprocess.DEVNULL,
                    start_new_session=True,
                )
            finally:
                os.close(request)
                if pipes:
                    pipes.close_theirs()
        ours.settimeout(TIMEOUT_S)
        try:
            answer, fds, _, _ = socket.recv_fds(ours, 4096, 2)
        except TimeoutError:
            answer, fds = b"", []
        said = json.loads(answer or b"{}")
        if not said.get("ok"):
            ours.close()
            process.kill()
            process.wait()
            if pipes:
                pipes.close_ours()
            raise Fault("sandbox.start_failed", "the command could not be started", cause=str(said.get("cause", "")))
        return Running(process, pipes.ours if pipes else fds[:1], ours, terminal=None if pipes else fds[1])

    def signal(self, box: Attested, running: Running, number: int) -> None:
        if running.channel is not None:
            running.channel.send(str(number).encode())

    def kill(self, uuid: str, box: Attested) -> None:
        kill_first_process(box)
        self._reap(uuid)

    def delete(self, uuid: str) -> None:
        self._reap(uuid)

    def find(self, uuid: str) -> Attested | None:
        return None

    def _reap(self, uuid: str) -> None:
        with self._lock:
            monitor = self._monitors.pop(uuid, None)
        if monitor is not None:
            monitor.wait(TIMEOUT_S)


class _Pipes:
    """Three pipes for a command without a terminal: the command's ends and ours."""

    def __init__(self) -> None:
        stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
        self.theirs = [stdin[0], stdout[1], stderr[1]]
        self.ours = [stdin[1], stdout[0], stderr[0]]

    def close_theirs(self) -> None:
        for fd in self.theirs:
            os.close(fd)

    def close_ours(self) -> None:
        for fd in self.ours:
            os.close(fd)


def _host_image() -> list[str]:
    """The host's own programs, read-only, and nothing of its configuration but certificates and the linker's."""
    argv: list[str] = []
    for name in _HOST_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            argv += ["--ro-bind", name, name]
    argv += ["--dir", "/etc"]
    for name in _HOST_FILES:
        if Path(name).exists():
            argv += ["--ro-bind", name, name]
    return argv


def _memory_file(content: str | bytes) -> int:
    fd = os.memfd_create("bawn")
    data = content.encode() if isinstance(content, str) else content
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


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
