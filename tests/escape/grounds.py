"""Where the escape suite runs: every runtime of this machine, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.supervisor.yard import ORDINARY, Yard

from bawn.sandbox import seccomp
from bawn.sandbox.podman import FLAG

PROBE = Path(__file__).parent / "probe.py"
SECRETS = ["proxy.invalid", "sk-of-the-operator"]
"""What `Yard` puts into the supervisor's environment."""


@dataclass(frozen=True, slots=True)
class Ground:
    runtime: str
    ordinary: bool
    program: str = ""
    """Which OCI runtime podman is to use."""

    def __str__(self) -> str:
        return f"{self.program or self.runtime}-{'ordinary' if self.ordinary else 'root'}"

    @property
    def further(self) -> list[str]:
        """Arguments of the supervisor."""
        runc = [FLAG] if self.program == "runc" else []
        return ["--oci-runtime", self.program, *runc] if self.program else []

    @property
    def uid(self) -> int | None:
        return ORDINARY if self.ordinary and os.geteuid() == 0 else None

    @property
    def own_kernel(self) -> bool:
        """Whether what a call answers is said by a kernel of the box's own."""
        return self.runtime == "runsc"


GROUNDS = [
    Ground(runtime, ordinary, program)
    for runtime, program in (("podman", "crun"), ("podman", "runc"), ("runsc", ""), ("bubblewrap", ""))
    for ordinary in (False, True)
]


def lacking(ground: Ground, yard: Yard) -> str:
    """Why a box of this runtime cannot be made in this yard; empty when it can."""
    said = yard.ask("look")["hello"]["runtimes"].get(ground.runtime, "there is no such runtime")
    return "" if said == "ready" else str(said)


def families_of_this_kernel() -> set[int]:
    """Socket families that the host's kernel has: of the others no filter can be seen to refuse them."""
    found: set[int] = set()
    for family in range(64):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError as error:
                if error.errno in (97, 22):  # EAFNOSUPPORT, EINVAL
                    continue
            found.add(family)
    return found


def asked(yard: Yard, workspace: Path, **further: object) -> dict[str, Any]:
    """What the probe is told of the host."""
    table = seccomp.table()
    return {
        "calls": {name: table.numbers[name] for name in table.refused},
        "families": sorted(table.families.values()),
        "pids": [yard.process.pid, os.getpid()],
        "words": ["bawn.supervisor", "pytest", "podman"],
        "sockets": [str(yard.home / "run/bawn.sock"), str(yard.home / "run/test.sock")],
        "paths": [str(yard.home), str(workspace), "/home/agent/.ssh", "/etc/shadow.host", str(Path(__file__))],
        "abstract": [],
        "addresses": [],
        "secrets": SECRETS,
        **further,
    }


def probe(yard: Yard, box: str, told: dict[str, Any]) -> dict[str, dict[str, str]]:
    said = yard.run(box, "python3", "-", json.dumps(told), type=PROBE.read_text())
    assert said["code"] == 0, said["out"][-3000:] + said["err"][-3000:]
    found: dict[str, dict[str, str]] = json.loads(said["out"].splitlines()[-1])
    return found
