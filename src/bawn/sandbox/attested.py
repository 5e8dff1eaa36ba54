"""Which process, exactly: a pid with what makes it unmistakable.

A pid alone can be another process a moment later. A box is therefore known by the pid of its first
process, that process's start time, and the inode of its network namespace. Namespaces are opened once
and the start time is read *after* that, so what was opened belongs to the process that was meant.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault


@dataclass(frozen=True, slots=True)
class Attested:
    """The first process of a box."""

    pid: int
    start_time: int
    """Clock ticks after boot (proc(5), field 22)."""
    netns_inode: int

    @staticmethod
    def of(pid: int) -> Attested:
        """The identity of a process that runs now; raises `sandbox.not_running` when there is none."""
        try:
            before = start_time(pid)
            inode = Path(f"/proc/{pid}/ns/net").stat().st_ino
            after = start_time(pid)
        except OSError as error:
            raise Fault("sandbox.not_running", "the container's first process is gone", cause=str(error)) from error
        if before != after:
            raise Fault("sandbox.not_running", "the container's first process is gone", cause="pid was used again")
        return Attested(pid, before, inode)

    def lives(self) -> bool:
        try:
            return Attested.of(self.pid) == self
        except Fault:
            return False

    def pidfd(self) -> int:
        """A descriptor of the process, checked to be this one."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError as error:
            raise Fault("sandbox.not_running", "the container's first process is gone", cause=str(error)) from error
        if not self.lives():
            os.close(fd)
            raise Fault("sandbox.not_running", "the container's first process is gone", cause="pid was used again")
        return fd

    @contextlib.contextmanager
    def namespaces(self, *names: str) -> Iterator[list[int]]:
        """Descriptors of the named namespaces of this very process."""
        held: list[int] = []
        try:
            for name in names:
                descriptor = os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                held += [descriptor]  # one by one: those opened before a failure are closed below
            if not self.lives():
                raise Fault("sandbox.not_running", "the container's first process is gone", cause="pid was used again")
            yield held
        except OSError as error:
            raise Fault("sandbox.not_running", "the container's first process is gone", cause=str(error)) from error
        finally:
            for fd in held:
                os.close(fd)


def start_time(pid: int) -> int:
    """When the process started; raises OSError when there is none, or only its corpse."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])
