"""One command of a rule on the host itself, outside every box: `python -m bawn.supervisor.hosted ASKED`.

It stays what the supervisor is, so that it can end whatever the command leaves behind; the command becomes the user whom the
operator named before its first word is read, and can become nobody else again. What is to be done comes by the socket of the
gateway, as to the program in a box (`scripts/worker/command.py`), and is believed in nothing: this program holds the limits.

When the other end of the lifeline closes, because the supervisor says so or is gone, everything ends at once. All that the
command starts is in a control group, where the host has any, and has this process as its parent when its own is gone.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bawn.sandbox import kernel
from bawn.sandbox.cgroup import emptied, killed
from bawn.sandbox.following import MOST_TOLD, followed, given
from bawn.sandbox.python import SYSTEM_PATH, interpreter
from bawn.supervisor.host_user import HostUser

LONGEST_S = 600.0
MOST_OUTPUT = 10 << 20
READING_BYTES = 384 << 20
"""Memory of this process while it reads what is to be done: it is root's, and no control group holds it."""
ASKED_WITHIN_S = 60.0
_NAME = re.compile(r"MITM_[A-Z_]{1,64}\Z")
_LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 1 << 30), (resource.RLIMIT_NOFILE, 256))
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Hosted:
    """How one command is started."""

    user: dict[str, Any]
    """A `HostUser`, as whom the command runs."""
    fd: int
    """The socket on which what is to be done comes, and what became of it goes back."""
    lifeline: int
    groups: list[int] = field(default_factory=list)
    """Descriptors of `cgroup.procs`: the command is in these groups."""
    places: list[str] = field(default_factory=list)
    """The folders of these groups."""
    processes: int = 0
    """How many it may be, where no group holds that; 0: one does."""
    memory_bytes: int = 0
    """The same of the memory of each of them."""

    def argv(self) -> list[str]:
        said = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return [*interpreter(), "-m", "bawn.supervisor.hosted", json.dumps(said)]


def asked(end: socket.socket, lifeline: int) -> dict[str, Any]:
    """What is to be done. ValueError where it is not what it must be, or does not come."""
    until, parts, size = time.monotonic() + ASKED_WITHIN_S, [], 0
    watched = select.poll()
    watched.register(end, select.POLLIN)
    watched.register(lifeline, select.POLLIN)
    while True:
        ready = [fd for fd, _ in watched.poll(max(0.0, until - time.monotonic()) * 1000)]
        if not ready or lifeline in ready:
            raise ValueError("nobody says what is to be done")
        part = end.recv(1 << 20)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > MOST_TOLD:
            raise ValueError("it is told too much")
    said = json.loads(b"".join(parts))
    parts.clear()
    match said:
        case {"command": str(command), "env": dict(env), "stdin": str(), "seconds": seconds, "output_bytes": most}:
            sound = "\0" not in command and all(
                _NAME.match(name) and isinstance(value, str) and "\0" not in value for name, value in env.items()
            )
            numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (seconds, most))
            if sound and numbers and math.isfinite(seconds) and math.isfinite(most):
                return {**said, "seconds": min(seconds, LONGEST_S), "output_bytes": min(int(most), MOST_OUTPUT)}
    raise ValueError("it is told something else than a command")


@contextlib.contextmanager
def held(most: int) -> Iterator[None]:
    """No more memory than this for a while; ValueError where it does not do."""
    before, last = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if last == resource.RLIM_INFINITY else min(most, last)
    resource.setrlimit(resource.RLIMIT_DATA, (most, last))
    try:
        yield
    except MemoryError:
        raise ValueError("what it is told takes too much memory") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, last))


def run(said: dict[str, Any], hosted: Hosted, user: HostUser) -> dict[str, Any]:
    """What became of the command; nothing of it is left when this returns."""
    env = {
        "PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": user.home, "USER": user.name, "LOGNAME": user.name,
        "SHELL": "/bin/sh", **said["env"],
    }  # fmt: skip
    stdin = given(said.pop("stdin"))  # the longest of it, and not needed here while the command runs
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", said["command"]],
            env=env,
            cwd="/",
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # This process has one thread, so that nothing can be held that would be held for ever.
            preexec_fn=lambda: become(user, hosted),  # noqa: PLW1509
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        because = error.strerror if isinstance(error, OSError) else error
        return {"code": None, "output": "", "failed": f"it could not be started: {because}"}
    finally:
        os.close(stdin)
    try:
        return followed(process, float(said["seconds"]), said["output_bytes"], hosted.lifeline)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        end([Path(place) for place in hosted.places])


def become(user: HostUser, hosted: Hosted) -> None:
    """In the process that will be the command: its groups and limits, then its user, for good."""
    for group in hosted.groups:
        os.write(group, b"0")
    os.nice(5)
    os.umask(0o022)
    limits = [*_LIMITS]
    if hosted.processes:
        limits.append((resource.RLIMIT_NPROC, _processes_of(user.uid) + hosted.processes))
    if hosted.memory_bytes:
        limits.append((resource.RLIMIT_AS, hosted.memory_bytes))
    for kind, value in limits:
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))
    if os.geteuid() == 0:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    if os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3:
        raise PermissionError("this process is not the user that it should be")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):  # hosts without keyrings, and those that let nobody ask for one
        kernel.join_own_keyring()
    # As this user: where they may not go, their command does not begin.
    with contextlib.suppress(OSError):
        os.chdir(user.home)


def end(places: list[Path]) -> None:
    """Kills the command and all that came of it, in whichever session."""

    def found() -> set[int]:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        return descendants(os.getpid())

    emptied(places)
    killed(found, _END_S)


def descendants(pid: int) -> set[int]:
    """The children of a process, theirs, and so on."""
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        names = [entry.name for entry in entries]
    for each in names:
        if each.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{each}/stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(each))
    found: set[int] = set()
    look = [pid]
    while look:
        below = [each for each in children.get(look.pop(), ()) if each not in found]
        found.update(below)
        look += below
    return found


def _processes_of(uid: int) -> int:
    """Threads that this user has already: the kernel counts all of them together."""
    count = 0
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if each.name.isdigit() and each.stat().st_uid == uid:
                count += sum(1 for _ in (each / "task").iterdir())
    return count


def main() -> None:
    hosted = Hosted(**json.loads(sys.argv[1]))
    os.chdir("/")
    os.umask(0o077)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    for fd in (hosted.fd, hosted.lifeline, *hosted.groups):
        os.set_inheritable(fd, False)
    with socket.socket(fileno=hosted.fd) as stream:
        stream.setblocking(True)
        try:
            with held(READING_BYTES):
                said = asked(stream, hosted.lifeline)
            told = run(said, hosted, HostUser(**hosted.user))
        except (ValueError, RecursionError, OSError) as error:
            told = {"code": None, "output": "", "failed": str(error)}
        with contextlib.suppress(OSError):
            stream.settimeout(_END_S)
            stream.sendall(json.dumps(told).encode())


if __name__ == "__main__":
    main()
