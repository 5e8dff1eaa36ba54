"""Boxes of podman, root only: `podman init` makes the namespaces, the doors are bound, `podman start` lets the keeper run.

The OCI runtime is crun where it works. crun refuses a host that mounts cgroup v1 and v2 beside each other,
unless it sees v2 alone, which `staging` shows it; where even then no cgroup can be used (missing rights), it
runs without, and limits by uid stay. Debian 12's runc lacks the fixes of CVE-2025-31133, CVE-2025-52565 and
CVE-2025-52881, so runc older than those is the last resort, and said aloud.

Inside, the agent is the uid of this container (`staging` says why), by the name `agent`; podman would have to copy the
image once for each container to map it to 1000. As an ordinary user, bubblewrap is the runtime.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import furnishing, python, seccomp
from bawn.sandbox.attested import Attested
from bawn.sandbox.images import Images
from bawn.sandbox.runtime import (
    Command,
    Prepared,
    Running,
    confirm_workspace,
    kill_first_process,
    members,
    opened_workspace,
)
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import WORKSPACE as STAGED_WORKSPACE
from bawn.sandbox.staging import Stage, agent_uid

TIMEOUT_S = 60.0
FIXED_RUNC = ((1, 2, 8), (1, 3, 3), (1, 4, 0))
"""The first fixed release of each line."""
_LABEL = "BAWN_EXEC"


@dataclass(frozen=True, slots=True)
class Mode:
    """How podman is called on this host."""

    runtime: str
    cgroups: bool
    only_cgroup2: bool


MODES = ("crun", True), ("crun", False), ("runc", True)
"""In this order the first that works is taken."""


class Podman:
    name = "podman"

    def __init__(self, images: Images, folder: Path, *, rootless: bool) -> None:
        self._images = images
        self._folder = folder
        self._rootless = rootless
        self._program = shutil.which("podman", path=python.SYSTEM_PATH)
        self._mode: Mode | None = None
        self._lock = threading.Lock()

    def lacking(self) -> str:
        if self._program is None:
            return "podman is not installed"
        if self._rootless:
            return "podman is used by root only; as an ordinary user take bubblewrap"
        if not any(shutil.which(name, path=python.SYSTEM_PATH) for name in ("crun", "runc")):
            return "podman has no OCI runtime (install crun)"
        if not any(Path(place).exists() for place in ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit")):
            return "podman has no init for containers (install catatonit)"
        return ""

    def degraded(self) -> list[str]:
        sentences = []
        runc = _version("runc") if shutil.which("crun", path=python.SYSTEM_PATH) is None else None
        if runc is not None and not fixed(runc):
            sentences.append(
                f"podman uses runc {'.'.join(map(str, runc))}, which lacks the fixes of CVE-2025-31133; install crun"
            )
        if self._mode is not None and self._mode.runtime == "runc" and runc is None:
            sentences.append("podman uses runc, because crun does not work on this machine")
        if self._mode is not None and not self._mode.cgroups:
            sentences.append("podman containers have no memory limit of their own: control groups cannot be used here")
        return sentences

    def prepare(self, spec: Spec) -> Prepared:
        image = self._images.podman_id(spec.image)
        place = self._furnish(spec)
        with self._lock:  # the first container finds out how podman is called here
            modes = [self._mode] if self._mode is not None else list(_modes())
            for mode in modes:
                try:
                    prepared = self._prepare(spec, image, place, mode)
                except Fault:
                    self._forget(spec.uuid, mode)
                    if mode is modes[-1]:
                        raise
                else:
                    self._mode = mode
                    return prepared
        raise Fault("sandbox.runtime_missing", "podman has no OCI runtime that works here")

    def _prepare(self, spec: Spec, image: str, place: Path, mode: Mode) -> Prepared:
        with opened_workspace(spec) as folder:
            # `create` looks whether the folder is there and `init` mounts it: both need it in their stage.
            uid = agent_uid(spec.number)
            self._call(mode, self._create(spec, image, place, mode, folder is not None), uid=uid, folder=folder)
            self._call(mode, ["init", _name(spec.uuid)], uid=uid, folder=folder)
            box = self._box(mode, spec.uuid)
            if box is None:
                raise Fault("sandbox.start_failed", "podman made the container and lost it")
            confirm_workspace(box, folder)
        return Prepared(spec, box)

    def _create(self, spec: Spec, image: str, place: Path, mode: Mode, workspace: bool) -> list[str]:
        uid, limits = agent_uid(spec.number), spec.limits
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        _, processes = resource.getrlimit(resource.RLIMIT_NPROC)
        argv = [
            "create", "--name", _name(spec.uuid), "--hostname", spec.hostname, "--network", "none", "--no-hosts",
            "--cap-drop", "all", "--security-opt", "no-new-privileges", "--ipc", "private", "--read-only",
            "--read-only-tmpfs=false", "--user", f"{uid}:{uid}", "--env-host=false", "--http-proxy=false", "--pull", "never",
            "--init", "--log-driver", "none", "--restart", "no", "--workdir", "/", "--entrypoint", "[]", "--unsetenv-all",
            "--ulimit", f"nofile={_bounded(limits.open_files, files)}", "--ulimit", f"nproc={_bounded(limits.pids, processes)}",
            "--ulimit", "core=0:0", "--cgroups", "enabled" if mode.cgroups else "disabled",
            "--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777,size=2g,notmpcopyup",
            "--tmpfs", f"{furnishing.HOME}:rw,nosuid,nodev,mode=0777,size=2g,notmpcopyup",
        ]  # fmt: skip
        if mode.cgroups:
            argv += ["--pids-limit", str(limits.pids)]
            argv += ["--memory", str(limits.memory_bytes)] if limits.memory_bytes is not None else []
        if seccomp.known():
            argv += ["--security-opt", f"seccomp={place / 'seccomp.json'}"]
        for path in furnishing.files(spec):
            argv += ["--mount", f"type=bind,src={place}{path},dst={path},ro=true"]
        if workspace:
            argv += ["--volume", f"{STAGED_WORKSPACE}:{furnishing.WORKSPACE}:rw,nosuid,nodev,rprivate"]
        else:
            argv += ["--tmpfs", f"{furnishing.WORKSPACE}:rw,nosuid,nodev,mode=0777,size=2g,notmpcopyup"]
        return [*argv, image, *furnishing.KEEPER]

    def _furnish(self, spec: Spec) -> Path:
        """Small files of the box, in a folder of ours; the box sees them read-only."""
        place = self._folder / spec.uuid / "box"
        for path, text in furnishing.files(spec, agent_uid(spec.number)).items():
            file = place / path.removeprefix("/")
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o644)
        if seccomp.known():
            (place / "seccomp.json").write_text(json.dumps(seccomp.profile()), encoding="utf-8")
        return place

    def start(self, prepared: Prepared) -> None:
        self._call(self._used(), ["start", _name(prepared.spec.uuid)])

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running:
        uid = agent_uid(spec.number)
        label = os.urandom(8).hex()
        env = furnishing.environment(spec, command.env, tty=command.tty) | {_LABEL: label}
        argv = ["exec", "--interactive", "--user", f"{uid}:{uid}", "--workdir", command.cwd]
        argv += ["--tty"] if command.tty else []
        argv += [f"--env={name}={value}" for name, value in env.items()]
        argv = self._argv(self._used(), [*argv, _name(spec.uuid), *command.argv])
        if command.tty:
            master, slave = os.openpty()
            os.set_inheritable(master, False)
            # podman gives its own terminal the size that it finds on ours when it starts.
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", command.rows, command.cols, 0, 0))
            running = Running(_spawn(argv, slave, slave, slave), [master], terminal=slave, label=label)
        else:
            stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
            process = _spawn(argv, stdin[0], stdout[1], stderr[1])
            for fd in (stdin[0], stdout[1], stderr[1]):
                os.close(fd)
            running = Running(process, [stdin[1], stdout[0], stderr[0]], label=label)
        return running

    def signal(self, box: Attested, running: Running, number: int) -> None:
        """podman does not pass signals on to what it executes: the command is found by a label in its environment."""
        wanted = f"{_LABEL}={running.label}".encode()
        inside = members(box)
        labelled: list[tuple[int, int]] = []
        for pid in inside:
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    labelled.append((_started(pid), pid))
        if not labelled:
            return
        # The oldest is the command. Without a terminal it leads no group (crun's own process did, and is gone), so
        # its group is told member by member, and nothing outside the box can be among them.
        with contextlib.suppress(OSError):
            group = os.getpgid(min(labelled)[1])
            for pid in inside:
                with contextlib.suppress(OSError):
                    if os.getpgid(pid) == group:
                        os.kill(pid, number)

    def kill(self, uuid: str, box: Attested) -> None:
        kill_first_process(box)

    def delete(self, uuid: str) -> None:
        if self._program is not None and not self._rootless:
            self._forget(uuid, self._used())

    def find(self, uuid: str) -> Attested | None:
        return self._box(self._used(), uuid)

    def _used(self) -> Mode:
        return self._mode or next(_modes())

    def _box(self, mode: Mode, uuid: str) -> Attested | None:
        said = self._call(mode, ["inspect", "--format", "{{.State.Pid}}", _name(uuid)])
        pid = int(said.strip() or 0)
        return Attested.of(pid) if pid > 0 else None

    def _forget(self, uuid: str, mode: Mode) -> None:
        with contextlib.suppress(Fault):
            self._call(mode, ["rm", "--force", "--time", "0", "--ignore", _name(uuid)])

    def _argv(self, mode: Mode, arguments: Sequence[str], uid: int = 0, folder: int | None = None) -> list[str]:
        argv = [str(self._program), "--runtime", mode.runtime, "--cgroup-manager", _cgroup_manager(), *arguments]
        if not mode.only_cgroup2 and folder is None:
            return argv
        return Stage(uid, folder, only_cgroup2=mode.only_cgroup2).argv(argv)

    def _call(self, mode: Mode, arguments: Sequence[str], uid: int = 0, folder: int | None = None) -> str:
        try:
            done = subprocess.run(
                self._argv(mode, arguments, uid, folder),
                env=python.environment(),
                cwd="/",
                pass_fds=() if folder is None else (folder,),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Fault("sandbox.start_failed", f"podman {arguments[0]} did not end", cause=str(error)) from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise Fault("sandbox.start_failed", f"podman {arguments[0]} failed", cause=lines[-1] if lines else "")
        return done.stdout


def fixed(version: tuple[int, ...]) -> bool:
    """Whether this runc has the fixes of November 2025."""
    return (
        any(version[:2] == first[:2] and version >= first for first in FIXED_RUNC) or version[:2] > FIXED_RUNC[-1][:2]
    )


def _modes() -> Iterator[Mode]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    for runtime, cgroups in MODES:
        if shutil.which(runtime, path=python.SYSTEM_PATH):
            yield Mode(runtime, cgroups, only_cgroup2=runtime == "crun" and not unified)


def _version(program: str) -> tuple[int, ...] | None:
    path = shutil.which(program, path=python.SYSTEM_PATH)
    if path is None:
        return None
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, env=python.environment(), check=False
    ).stdout
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else None


def _started(pid: int) -> int:
    """When a process began, in ticks since the machine did."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])


def _name(uuid: str) -> str:
    return f"bawn-{uuid}"


def _bounded(wanted: int, ceiling: int) -> str:
    value = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    return f"{value}:{value}"


def _cgroup_manager() -> str:
    return "systemd" if Path("/run/systemd/system").is_dir() else "cgroupfs"


def _spawn(argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, env=python.environment(), cwd="/", stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )
