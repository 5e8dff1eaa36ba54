"""How a command comes into a box whose namespaces can be joined: by `joining`, started here.

One way for bubblewrap and for OCI runtimes. `podman exec` and `crun exec` would each be another, with rules of their own
about terminals, signals and leaked descriptors (CVE-2024-21626), and they take longer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Sequence

from bawn.errors import Fault
from bawn.sandbox import furnishing, python
from bawn.sandbox.attested import Attested
from bawn.sandbox.joining import JOINED, Joining
from bawn.sandbox.runtime import Command, Running
from bawn.sandbox.spec import Spec

TIMEOUT_S = 20.0


SPARE = 2
"""A fresh box is furnished by one, and its first command comes before another is loaded."""


class Joiners:
    """Runs commands in boxes. A few `joining` always wait, loaded, for the next commands."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Joiner] = []

    def join(self, spec: Spec, box: Attested, command: Command, groups: Sequence[int]) -> Running:
        """Runs the command in the box; `groups` are descriptors by which it enters the box's control groups."""
        joiner = self._taken()
        try:
            return joiner.run(spec, box, command, groups)
        finally:
            self._refill()

    def _taken(self) -> _Joiner:
        with self._lock:
            while self._waiting:
                joiner = self._waiting.pop(0)
                if joiner.process.poll() is None:
                    return joiner
        return _Joiner()

    def _refill(self) -> None:
        with self._lock:
            while len(self._waiting) < SPARE:
                self._waiting.append(_Joiner())

    def close(self) -> None:
        with self._lock:
            while self._waiting:
                self._waiting.pop().end()


class _Joiner:
    """One process of `joining`."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [*python.interpreter(), "-m", "bawn.sandbox.joining", str(theirs.fileno())],
                env=python.environment(),
                cwd="/",
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(self, spec: Spec, box: Attested, command: Command, groups: Sequence[int]) -> Running:
        pipes = None if command.tty else Pipes()
        joining = Joining(
            argv=list(command.argv),
            env=furnishing.environment(spec, command.env, tty=command.tty),
            cwd=command.cwd,
            tty=command.tty,
            rows=command.rows,
            cols=command.cols,
            pids=spec.limits.pids,
            open_files=spec.limits.open_files,
            namespaces=[],
            groups=[],
        )
        null, request = os.open(os.devnull, os.O_RDWR), memory_file(joining.written())
        answer, fds, cause = b"", list[int](), ""
        try:
            with box.namespaces(*JOINED, "user") as namespaces:
                used = pipes.theirs if pipes else [null, null, null]
                self._ours.settimeout(TIMEOUT_S)
                socket.send_fds(self._ours, [b"."], [*used, request, *namespaces, *groups])
                if pipes:
                    pipes.close_theirs()
                answer, fds, _, _ = socket.recv_fds(self._ours, 4096, 2)
        except (OSError, Fault) as error:
            cause = str(error)
        finally:
            os.close(request)
            os.close(null)
        said = json.loads(answer or b"{}")
        if not said.get("ok"):
            self.end()
            if pipes:
                pipes.close_theirs()
                pipes.close_ours()
            why = str(said.get("cause", cause))
            raise Fault("sandbox.start_failed", "the command could not be started", cause=why)
        return Running(self.process, pipes.ours if pipes else fds[:1], self._ours, terminal=None if pipes else fds[1])

    def end(self) -> None:
        self._ours.close()
        self.process.kill()
        self.process.wait()


class Pipes:
    """Three pipes for a command without a terminal: the command's ends and ours."""

    def __init__(self) -> None:
        stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
        self.theirs = [stdin[0], stdout[1], stderr[1]]
        self.ours = [stdin[1], stdout[0], stderr[0]]

    def close_theirs(self) -> None:
        while self.theirs:
            os.close(self.theirs.pop())

    def close_ours(self) -> None:
        for fd in self.ours:
            os.close(fd)


def memory_file(content: str | bytes) -> int:
    """A descriptor from which the content is read."""
    fd = os.memfd_create("bawn")
    data = content.encode() if isinstance(content, str) else content
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
