"""Containers that somebody else started: which process one is, and whether a door in it would be its own.

A door in a network namespace belongs to everybody in that namespace. So the namespace must not be the host's, and nobody
outside the container's own pid namespace may be in it; both are looked at when the door is opened and again
and again while it is open. What such a container reaches besides the door is not ours to know: it is attested weakly.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.sandbox import python
from bawn.sandbox.attested import Attested

TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
PROGRAMS = ("podman", "docker")
TIMEOUT_S = 20.0


def first_process(target: object) -> int:
    """The pid of a running container of podman or docker, by its name or id."""
    if not isinstance(target, str) or not TARGET.match(target):
        raise Fault("sandbox.invalid", "the container to attach to must be named as podman or docker name it")
    for program in PROGRAMS:
        path = shutil.which(program, path=python.SYSTEM_PATH)
        if path is None:
            continue
        argv = [path, "container", "inspect", "--format", "{{.State.Pid}}", "--", target]
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            said = subprocess.run(
                argv, env=python.environment(), cwd="/", capture_output=True, text=True, timeout=TIMEOUT_S, check=True
            ).stdout
            if (pid := int(said.strip())) > 0:
                return pid
    raise Fault(
        "api.not_found",
        f"neither podman nor docker runs a container {quoted(target)}",
        remedy="Look at `podman ps` or `docker ps`.",
    )


def examined(pid: int) -> Attested:
    """The process, if its network namespace is its container's alone; `sandbox.invalid` with the reason if not."""
    box = Attested.of(pid)
    if reason := shared(box):
        raise Fault("sandbox.invalid", reason)
    return box


def shared(box: Attested) -> str:
    """Why a door in this container would not be its own; empty when it would."""
    try:
        own = Path(f"/proc/{box.pid}/ns/pid").stat().st_ino
    except OSError:
        return "the container has ended"
    hosts, host_pids = _hosts("net"), _hosts("pid")
    if box.netns_inode in hosts:
        return "the container uses the network of the host: a door in it would be open to everybody here"
    if own in host_pids:
        return "the container shares its processes with the host, so nobody could say who is in it"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "ns/net").stat().st_ino == box.netns_inode and (entry / "ns/pid").stat().st_ino != own:
                return "the container shares its network with others: a door in it would be theirs as well"
    return ""


def _hosts(kind: str) -> set[int]:
    """Our own namespace and that of the machine's first process, where that may be looked at."""
    found = {Path(f"/proc/self/ns/{kind}").stat().st_ino}
    with contextlib.suppress(OSError):
        found.add(Path(f"/proc/1/ns/{kind}").stat().st_ino)
    return found
