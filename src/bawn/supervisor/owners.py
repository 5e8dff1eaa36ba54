"""The processes that answer the doors beside the gateway's: the egress proxy and the package mirror.

Hostile bytes and long tunnels never meet a provider key, because they are in other processes than the keys. Each such
process has one line from here, by which it is handed its doors; it may ask nothing by it. A pair of its own connects it with
the gateway, which decides and records; when either of the two comes anew, so does the pair. One that has
no gateway refuses everything by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bawn.sandbox.python import interpreter, source_root
from bawn.supervisor.children import Children
from bawn.supervisor.launch import Launch
from bawn.supervisor.line import Line
from bawn.supervisor.loop import Loop
from bawn.supervisor.users import User

LOOK_S = 60.0

TellGateway = Callable[[Mapping[str, object], Sequence[int]], None]


@dataclass(frozen=True, slots=True)
class Owner:
    """One process that owns a kind of door."""

    name: str
    program: tuple[str, ...]
    user: User | None
    folder: Path | None = None
    """Where it may write."""
    registries: bool = False
    """Whether it is told which package registries this host is configured to use."""


def registries_of_this_host() -> bytes:
    """What the operator's own pip and npm are configured to use, as JSON; asking them takes a second or two.

    In the operator's environment, which holds part of that configuration, and in a process of its own.
    """
    argv = [*interpreter(), "-m", "bawn.sandbox.registries"]
    environment = {**os.environ, "PYTHONPATH": str(source_root())}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LOOK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return b"{}"
    return done.stdout if done.returncode == 0 else b"{}"


class Owners:
    def __init__(
        self, loop: Loop, children: Children, owners: Sequence[Owner], on_started: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._children = children
        self._owners = {owner.name: owner for owner in owners}
        self._on_started = on_started
        self._lines: dict[str, Line] = {}

    def start(self) -> None:
        for owner in self._owners.values():
            self._start(owner)

    def tell(self, name: str, event: Mapping[str, object], fds: Sequence[int] = ()) -> None:
        line = self._lines.get(name)
        if line is not None:
            line.send(event, fds)

    def introduce(self, tell_gateway: TellGateway, *names: str) -> None:
        for name in names or tuple(self._owners):
            if name in self._lines:
                near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with near, far:
                    self.tell(name, {"event": "gateway"}, [near.fileno()])
                    tell_gateway({"event": "owner", "name": name, "pid": self._children.pids()[name]}, [far.fileno()])

    def close(self) -> None:
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def _start(self, owner: Owner) -> None:
        if self._children.stopping:
            return
        if not owner.registries:
            self._spawn(owner, None)
            return

        def look_slowly() -> None:
            told = registries_of_this_host()
            self._loop.post(lambda: self._spawn(owner, told))

        threading.Thread(target=look_slowly, name=owner.name, daemon=True).start()

    def _spawn(self, owner: Owner, registries: bytes | None) -> None:
        if self._children.stopping:
            return
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [far.fileno()]
        arguments = [*owner.program, "--line-fd", str(far.fileno())]
        if owner.folder is not None:
            arguments += ["--folder", str(owner.folder)]
        told = -1
        if registries is not None:
            # In memory: an address may hold a password, which must not stand among the arguments.
            told = os.memfd_create("registries", os.MFD_CLOEXEC)
            os.write(told, registries)
            os.lseek(told, 0, os.SEEK_SET)
            fds.append(told)
            arguments += ["--registries-fd", str(told)]
        launch = Launch(os.getpid(), writable=[] if owner.folder is None else [str(owner.folder)])
        try:
            self._children.spawn(owner.name, arguments, fds, owner.user, launch, lambda: self._ended(owner))
        finally:
            far.close()
            if told >= 0:
                os.close(told)
        # It is handed things and asks for nothing: whatever it says, and its end, means that it is out of order.
        self._lines[owner.name] = Line(
            self._loop,
            near,
            lambda _: self._children.kill(owner.name),
            lambda: self._children.kill(owner.name),
        )
        self._on_started(owner.name)

    def _ended(self, owner: Owner) -> None:
        line = self._lines.pop(owner.name, None)
        if line is not None:
            line.close()
        self._children.later(owner.name, lambda: self._start(owner))
