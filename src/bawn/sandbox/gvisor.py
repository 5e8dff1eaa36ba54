"""Boxes of gVisor (`isolation: strong`), root only: the agent's system calls meet runsc's kernel and not the host's.

runsc keeps the box's files and processes inside its own kernel, so nothing can be joined: commands come in by `runsc
exec`. The network namespace is the exception that makes the doors work. runsc is called in an empty one, made for this
box, and told `--network=host`: its sockets are sockets of that namespace, where the supervisor listens and nothing
else is. So is the abstract socket by which runsc speaks to a box, so that every later call goes there first (nsenter).
Debian 12's runsc (December 2022) works so with the platform ptrace, which needs neither KVM nor a newer kernel.

What differs from the other runtimes: the system calls that the table refuses are answered by gVisor, without effect on
the host (our filter holds the first process alone); the number of processes is held by the control group of the whole
sandbox, whose end it is to reach it; and the Debian version knows no AT_NO_AUTOMOUNT, so that `ls -l` of a coreutils
that is newer fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import termios
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import bundle, furnishing, python
from bawn.sandbox.attested import Attested
from bawn.sandbox.cgroup import Cgroups
from bawn.sandbox.executing import Pipes
from bawn.sandbox.guarding import Plan
from bawn.sandbox.images import HOST, Images
from bawn.sandbox.runtime import Command, Prepared, Running, kill_first_process, opened_workspace
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import AGENT, Stage

TIMEOUT_S = 60.0
OWN_THREADS = 128
"""How many processes and threads gVisor needs beside the agent's."""


class Gvisor:
    name = "runsc"

    def __init__(self, images: Images, folder: Path, cgroups: Cgroups, *, rootless: bool) -> None:
        self._images = images
        self._folder = folder
        self._cgroups = cgroups
        self._rootless = rootless
        self._program = shutil.which("runsc", path=python.SYSTEM_PATH)

    def lacking(self) -> str:
        if not self._program:
            return "gVisor is not installed (program runsc)"
        if self._rootless:
            return "gVisor is used by root only; as an ordinary user take bubblewrap"
        return ""

    def degraded(self) -> list[str]:
        return []

    def unenforced(self, spec: Spec) -> frozenset[str]:
        return self._cgroups.unenforced(spec)

    def prepare(self, spec: Spec, plan: Plan) -> Prepared:
        if self.lacking():
            raise Fault("sandbox.runtime_missing", self.lacking())
        place = self._folder / spec.uuid / "box"
        self._forget(spec.uuid)
        trees = {"box": str(place / "files"), "rootfs": str(place / "rootfs")}
        texts = furnishing.files(spec)
        if spec.image == HOST:
            bundle.skeleton(place / "rootfs", spec, texts)
            (place / "files").mkdir(parents=True, exist_ok=True)
        else:
            trees["rootfs"] = str(self._images.lent(spec.image, spec.uuid, texts))
            bundle.furnish(place / "files", spec, texts)
        # Its gofer speaks for the agent on the host, and looks through the mapping of the stage like everybody.
        shape = bundle.Shape(uid=AGENT, root_uid=0, user_namespace=False, network_namespace=False)
        said = bundle.written(spec, shape, plan, host_image=spec.image == HOST)
        (place / "config.json").write_text(json.dumps(said), encoding="utf-8")
        # Everything of the sandbox is in its groups from the start: what boots it are the agent's processes later.
        self._cgroups.make(spec.uuid, replace(spec.limits, pids=spec.limits.pids + OWN_THREADS))
        with opened_workspace(spec) as folder, self._cgroups.doors(spec.uuid) as groups:
            stage = Stage(
                AGENT,
                folder,
                trees,
                covers=[(cover.path, cover.by) for cover in plan.covers],
                scratch_bytes=spec.limits.scratch_bytes,
                root_passes=True,
                groups=groups,
                own_network=True,
            )
            argv = stage.argv([*self._argv(spec.uuid), "create", "--bundle", str(place), spec.uuid])
            self._call(argv, spec.uuid, [*groups, *([] if folder is None else [folder])])
            box = self.find(spec.uuid)
            if box is None:
                raise Fault("sandbox.start_failed", "runsc made the container and lost it")
            try:
                if box.netns_inode == Path("/proc/self/ns/net").stat().st_ino:
                    raise Fault("sandbox.start_failed", "runsc made the container in the network of the host")
            except (Fault, OSError):
                self.kill(spec.uuid, box)
                raise
        return Prepared(spec, box)

    def start(self, prepared: Prepared) -> None:
        uuid = prepared.spec.uuid
        with prepared.box.namespaces("net") as (net,):
            self._call([*_there(net), *self._argv(uuid), "start", uuid], uuid, [net])

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running:
        label = f"exec-{os.urandom(8).hex()}"
        told, pid_file = (self._state(spec.uuid) / f"{label}{ending}" for ending in (".json", ".pid"))
        told.write_text(json.dumps(_process(spec, command)), encoding="utf-8")
        argv = [*self._argv(spec.uuid), "exec", "--internal-pid-file", str(pid_file), "--process", str(told), spec.uuid]
        try:
            with box.namespaces("net") as (net,):
                argv = [*_there(net), *argv]
                running = _with_terminal(argv, net, command) if command.tty else _piped(argv, net)
        except OSError as error:
            raise Fault("sandbox.start_failed", "the command could not be started", cause=str(error)) from error
        running.label = str(pid_file)
        return running

    def signal(self, box: Attested, running: Running, number: int) -> None:
        """runsc does not pass signals on to what it executes, and `runsc kill` tells one process and not its group: a
        shell of the box does, by the number that the command has inside."""
        pid_file = Path(running.label)
        uuid = pid_file.parent.parent.name
        with contextlib.suppress(OSError, ValueError, Fault), box.namespaces("net") as (net,):
            inside = int(pid_file.read_text(encoding="ascii"))
            line = f"kill -{number} -{inside} 2>/dev/null || kill -{number} {inside}"
            argv = [*self._argv(uuid), "exec", "--user", f"{AGENT}:{AGENT}", uuid, "/bin/sh", "-c", line]
            self._call([*_there(net), *argv], uuid, [net])

    def kill(self, uuid: str, box: Attested) -> None:
        kill_first_process(box)

    def delete(self, uuid: str) -> None:
        self._forget(uuid)
        self._cgroups.remove(uuid)

    def find(self, uuid: str) -> Attested | None:
        for state in self._state(uuid).glob("*.state"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, Fault):
                said = json.loads(state.read_text(encoding="utf-8"))
                return Attested.of(int(said["sandbox"]["pid"]))
        return None

    def _state(self, uuid: str) -> Path:
        return self._folder / uuid / "oci"

    def _forget(self, uuid: str) -> None:
        shutil.rmtree(self._state(uuid), ignore_errors=True)

    def _argv(self, uuid: str) -> list[str]:
        state = self._state(uuid)
        state.mkdir(mode=0o700, exist_ok=True)
        argv = [str(self._program), "--root", str(state), "--log", str(state / "log"), "--network", "host"]
        return [*argv, "--ignore-cgroups", "--platform", "ptrace", "--oci-seccomp"]

    def _call(self, argv: Sequence[str], uuid: str, fds: Sequence[int]) -> None:
        try:
            done = subprocess.run(
                argv,
                env=python.environment(),
                cwd="/",
                pass_fds=tuple(fds),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Fault("sandbox.start_failed", "runsc did not end", cause=str(error)) from error
        if done.returncode != 0:
            log = self._state(uuid) / "log"
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
            cause = lines[-1] if lines else f"it ended with {done.returncode}"
            raise Fault("sandbox.start_failed", "runsc failed", cause=cause[-500:])


def _there(net: int) -> list[str]:
    return ["nsenter", f"--net=/proc/self/fd/{net}", "--"]


def _process(spec: Spec, command: Command) -> dict[str, object]:
    env = furnishing.environment(spec, command.env, tty=command.tty)
    return {
        "terminal": command.tty,
        "consoleSize": {"height": command.rows, "width": command.cols},
        "user": {"uid": AGENT, "gid": AGENT, "umask": 0o022},
        "args": list(command.argv),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": command.cwd,
        "noNewPrivileges": True,
        "capabilities": {},
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "hard": spec.limits.open_files, "soft": spec.limits.open_files},
            {"type": "RLIMIT_NPROC", "hard": spec.limits.pids, "soft": spec.limits.pids},
            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
        ],
    }


def _piped(argv: Sequence[str], net: int) -> Running:
    pipes = Pipes()
    try:
        stdin, stdout, stderr = pipes.theirs
        process = _spawned(argv, stdin, stdout, stderr, net)
    except OSError:
        pipes.close_ours()
        raise
    finally:
        pipes.close_theirs()
    return Running(process, pipes.ours)


def _with_terminal(argv: Sequence[str], net: int, command: Command) -> Running:
    """gVisor takes a terminal of the host as that of the command."""
    master, slave = os.openpty()
    os.set_inheritable(master, False)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", command.rows, command.cols, 0, 0))
    try:
        process = _spawned(argv, slave, slave, slave, net)
    except OSError:
        os.close(master)
        os.close(slave)
        raise
    return Running(process, [master], terminal=slave, terminal_stays=True)


def _spawned(argv: Sequence[str], stdin: int, stdout: int, stderr: int, net: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=python.environment(),
        cwd="/",
        pass_fds=(net,),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
