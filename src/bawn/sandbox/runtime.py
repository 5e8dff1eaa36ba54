"""What every kind of box can do: the one interface of podman and bubblewrap.

The order is the point. `prepare` makes the box with its namespaces and *no* process of the container in
it; the supervisor then binds the doors; `start` lets the first process run. Nothing inside can take
the address of a door before its door is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.guarding import Plan
from bawn.sandbox.spec import Spec


@dataclass(slots=True)
class Prepared:
    """A box whose namespaces stand and in which nothing runs yet."""

    spec: Spec
    box: Attested
    release: socket.socket | None = None
    """Runtimes that wait for us wait on this."""
    noexec: tuple[str, ...] = ()
    """Mounts from which no program shall run, where the runtime itself could not say so."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command to run in a box."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/workspace"
    tty: bool = False
    rows: int = 24
    cols: int = 80


@dataclass(slots=True)
class Running:
    """A command that runs: its process on the host, and what its owner holds of it."""

    process: subprocess.Popen[bytes]
    """Exits as the command exits."""
    fds: list[int]
    """With a terminal its master; else the ends to write stdin, to read stdout, to read stderr."""
    channel: socket.socket | None = None
    """Where signals are told."""
    terminal: int | None = None
    """The command's own side of its terminal, by which its size is set. Holding the master instead would keep the
    command alive after its owner hung up."""
    terminal_stays: bool = False
    """Whether the runtime holds the terminal open after the command has ended, so that it must be hung up."""
    label: str = ""
    """By which the runtime finds the command again."""


class Runtime(Protocol):
    name: str

    def lacking(self) -> str:
        """Why this runtime cannot be used here; empty when it can."""

    def degraded(self) -> list[str]:
        """What is weaker here than it should be, in sentences."""

    def unenforced(self, spec: Spec) -> frozenset[str]:
        """The limits of the spec that do not hold in this runtime on this machine."""

    def prepare(self, spec: Spec, plan: Plan) -> Prepared: ...

    def start(self, prepared: Prepared) -> None: ...

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running: ...

    def signal(self, box: Attested, running: Running, number: int) -> None: ...

    def kill(self, uuid: str, box: Attested) -> None:
        """Ends everything in the box, and returns when it is gone."""

    def delete(self, uuid: str) -> None:
        """Removes what the runtime itself keeps of a box that is dead."""

    def find(self, uuid: str) -> Attested | None:
        """The box as the runtime knows it, for one whose record was lost between two writes."""


@contextlib.contextmanager
def opened_workspace(spec: Spec) -> Iterator[int | None]:
    """The folder, opened so that no link can lead elsewhere (CVE-2026-27523)."""
    if spec.workspace is None:
        yield None
        return
    try:
        fd = kernel.open_without_symlinks(spec.workspace, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise Fault("sandbox.invalid", "the workspace cannot be opened", cause=str(error)) from error
    try:
        yield fd
    finally:
        os.close(fd)


def confirm_workspace(box: Attested, fd: int | None, place: str) -> None:
    """What the box sees at `place` is the folder that was meant: another container may own the folder above it."""
    if fd is None:
        return
    meant, seen = os.fstat(fd), Path(f"/proc/{box.pid}/root{place}").stat()
    if (meant.st_dev, meant.st_ino) != (seen.st_dev, seen.st_ino):
        raise Fault("sandbox.start_failed", "the workspace was exchanged while the container was made")


def end_gently(box: Attested, timeout_s: float) -> None:
    """SIGTERM to every process but the first, then as long as they take, at most `timeout_s`."""
    until = time.monotonic() + timeout_s
    told: set[int] = set()
    while time.monotonic() < until and box.lives():
        others = [pid for pid in members(box) if pid != box.pid and _inner_pid(pid) > 1]
        if not others:
            return
        for pid in others:
            if pid not in told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                told.add(pid)
        time.sleep(0.02)


def members(box: Attested) -> list[int]:
    """The pids, as the host counts, of all processes in the box."""
    try:
        namespace = Path(f"/proc/{box.pid}/ns/pid").stat().st_ino
    except OSError:
        return []
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/pid").stat().st_ino == namespace:
                    found.append(int(entry.name))
    return found


def _inner_pid(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def kill_first_process(box: Attested, timeout_s: float = 10.0) -> None:
    """SIGKILL to the first process, which takes its whole pid namespace with it; waits until it is gone."""
    try:
        pidfd = box.pidfd()
    except Fault:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        until = time.monotonic() + timeout_s
        while box.lives():
            if time.monotonic() > until:
                raise Fault("internal", "a container did not die")
            time.sleep(0.005)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
