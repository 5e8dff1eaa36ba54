"""How a command comes into a box whose namespaces can be joined: by `joining`, started here.

One way for bubblewrap and for OCI runtimes. `podman exec` and `crun exec` would each be another, with rules of their own
about terminals, signals and leaked descriptors (CVE-2024-21626), and they take longer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence

from bawn.errors import Fault
from bawn.sandbox import furnishing, python
from bawn.sandbox.attested import Attested
from bawn.sandbox.joining import JOINED, Joining
from bawn.sandbox.runtime import Command, Running
from bawn.sandbox.spec import Spec

TIMEOUT_S = 20.0


def join(spec: Spec, box: Attested, command: Command, groups: Sequence[int]) -> Running:
    """Runs the command in the box; `groups` are descriptors by which it enters the box's control groups."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipes = None if command.tty else Pipes()
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
            groups=list(groups),
            channel=theirs.fileno(),
        )
        request = memory_file(joining.written())
        try:
            process = subprocess.Popen(
                joining.command(request),
                env=python.environment(),
                cwd="/",
                pass_fds=(request, theirs.fileno(), *namespaces, *groups),
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


class Pipes:
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


def memory_file(content: str | bytes) -> int:
    """A descriptor from which the content is read."""
    fd = os.memfd_create("bawn")
    data = content.encode() if isinstance(content, str) else content
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
