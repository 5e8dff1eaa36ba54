"""Running a command in a box that runs: `python -m bawn.sandbox.joining`.

Joins every namespace of the box's first process, then forks; the child becomes the agent and nothing
more: no capabilities, no_new_privs, the seccomp table, its own session, an environment that was
written out in full, and no descriptor but 0, 1 and 2. Before anything is joined the program is made
undumpable, so that what lives inside cannot reach it by /proc (the way of CVE-2019-5736 and of
CVE-2024-21626); everything it needs is imported before, because after that imports would read the box.

The parent stays behind as the command's warder: it forwards signals it is told on its channel, waits,
and exits as the command exited (128 + n for a signal).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import termios
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bawn.sandbox import kernel, seccomp
from bawn.sandbox.netns import join_owner
from bawn.sandbox.staging import AGENT

JOINED = ("net", "uts", "ipc", "cgroup", "pid", "mnt")
"""In this order, and `user` last: joining it takes the rights away that joining the others needs."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126

_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431


@dataclass(frozen=True, slots=True)
class Joining:
    """One command and how it is to run."""

    argv: list[str]
    env: Mapping[str, str]
    cwd: str
    tty: bool
    rows: int
    cols: int
    pids: int
    open_files: int
    namespaces: list[int]
    """Descriptors in the order of JOINED, then `user`."""
    groups: list[int]
    """Descriptors of `cgroup.procs`: the command enters these groups, the warder stays outside."""

    def written(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def enter(namespaces: list[int]) -> None:
    *others, user = namespaces
    ours = {name: Path(f"/proc/self/ns/{name}").stat().st_ino for name in JOINED}
    join_owner(others[JOINED.index("net")])
    for name, fd in zip(JOINED, others, strict=True):
        if os.fstat(fd).st_ino != ours[name]:
            kernel.setns(fd)
    with contextlib.suppress(OSError):
        # EINVAL when it is the one we are in already.
        kernel.setns(user, kernel.NEW_NAMESPACE_USER)


def terminal(rows: int, cols: int) -> tuple[int, int]:
    """A pseudo-terminal of the box's own devpts. What the box put at /dev/ptmx instead is refused by its number."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or (os.major(found.st_rdev), os.minor(found.st_rdev)) != (5, 2):
        raise OSError(0, "the container has no real terminal device")
    os.set_blocking(master, True)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
    return master, slave


def become_agent(asked: Joining, filter_: bytes | None) -> None:
    """Gives up, one after the other, everything the agent must not have."""
    for capability in range(64):
        with contextlib.suppress(OSError):
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for what, wanted in ((resource.RLIMIT_NPROC, asked.pids), (resource.RLIMIT_NOFILE, asked.open_files)):
        _, ceiling = resource.getrlimit(what)
        bounded = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
        resource.setrlimit(what, (bounded, bounded))
    os.setresgid(AGENT, AGENT, AGENT)
    os.setresuid(AGENT, AGENT, AGENT)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if filter_ is not None:
        kernel.apply_seccomp(filter_)


def run(asked: Joining, slave: int | None, filter_: bytes | None) -> None:
    """The child: never returns."""
    code = NOT_EXECUTABLE
    try:
        for group in asked.groups:
            os.write(group, b"0")
        os.setsid()
        if slave is not None:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
        os.closerange(3, 1 << 16)
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        become_agent(asked, filter_)
        os.chdir(asked.cwd)
        code = execute(asked.argv, asked.env)
    except OSError as error:
        complain(f"{error.filename or asked.cwd}: {error.strerror}")
    finally:
        os._exit(code)


def execute(argv: list[str], env: Mapping[str, str]) -> int:
    """Becomes the command; returns the shell's exit code for "cannot" when it could not."""
    name, code = argv[0], NOT_FOUND
    places = [name] if "/" in name else [f"{folder}/{name}" for folder in env.get("PATH", "").split(":") if folder]
    for place in places:
        try:
            os.execve(place, argv, env)  # noqa: S606 - argv as it was given, no shell
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            code = NOT_EXECUTABLE
    complain(f"{name}: {'not found' if code == NOT_FOUND else 'cannot be executed'}")
    return code


def complain(text: str) -> None:
    os.write(2, f"bawn: {text}\n".encode(errors="backslashreplace"))


def watch(child: int, channel: socket.socket) -> int:
    """Waits for the command and forwards the signals that come by the channel, to its whole group."""
    pidfd = os.pidfd_open(child)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(channel, select.POLLIN)
    while True:
        ready = dict(poller.poll())
        if pidfd in ready:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = channel.recv(16)
        if not told:
            poller.unregister(channel)
            continue
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.killpg(child, int(told))


def awaited(channel: socket.socket) -> Joining:
    """What is to be run. This program is started before anybody asks for it, since loading it takes longer than all it
    does; when the supervisor is gone, it ends. The request comes by a descriptor: argv can be read by all on the host."""
    told, fds, _, _ = socket.recv_fds(channel, 16, 64)
    if not told:
        os._exit(0)
    stdin, stdout, stderr, request, *others = fds
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
        os.close(fd)
    with open(request, "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(0)
        asked = Joining(**json.loads(file.read()))
    inside = len(JOINED) + 1
    return replace(asked, namespaces=others[:inside], groups=others[inside:])


def main() -> None:
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    channel = socket.socket(fileno=int(sys.argv[1]))
    filter_ = seccomp.program() if seccomp.known() else None
    asked = awaited(channel)
    null = os.open("/dev/null", os.O_RDWR)
    code = NOT_EXECUTABLE
    try:
        with contextlib.suppress(PermissionError):
            os.setgroups([])
        enter(asked.namespaces)
        code = attend(asked, channel, null, filter_)
    except OSError as error:
        channel.send(json.dumps({"ok": False, "cause": str(error)}).encode())
    finally:
        os._exit(code)  # no unwinding: a traceback would read its source lines from inside the box


def attend(asked: Joining, channel: socket.socket, null: int, filter_: bytes | None) -> int:
    held, slave = terminal(asked.rows, asked.cols) if asked.tty else (None, None)
    child = os.fork()
    if child == 0:
        run(asked, slave, filter_)
    rights = array.array("i", [] if held is None or slave is None else [held, slave])
    channel.sendmsg([b'{"ok":true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])
    for fd in (0, 1, 2):
        os.dup2(null, fd)  # or the reader would never see the end of what the command wrote
    for used in (*asked.namespaces, *asked.groups, held, slave):
        if used is not None:
            os.close(used)
    code = watch(child, channel)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
