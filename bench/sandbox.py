"""How long a person waits for a sandbox: from asking for it by the management API until its first command has ended.

Each round makes a new container with the host's own programs, starts it, runs `true` in it, and deletes it. The first
rounds are not counted: what is measured is a machine that has made sandboxes before.
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path

from bawn.errors import Fault
from bawn.sdk.client import Client
from bench import processes
from bench.load import LaneError
from bench.report import Findings

RUNTIMES = ("podman", "bubblewrap")
WARM_UP = 3
IDLE = 50


def lane(findings: Findings, socket: Path, gateway: int, rounds: int) -> None:
    with Client(str(socket)) as bawn:
        ready = {name: said for name, said in bawn.status().runtimes.items() if name in RUNTIMES and said == "ready"}
        if not ready:
            raise LaneError("no runtime is ready")
        worst_p50 = worst_p99 = 0.0
        for runtime in ready:
            try:
                taken = sorted(_rounds(bawn, runtime, rounds))
            except Fault as fault:
                raise LaneError(f"{runtime}: {fault.sentence}") from fault
            p50, p99 = statistics.median(taken), taken[math.ceil(0.99 * len(taken)) - 1]
            findings.put(f"sandbox.{runtime}.ready_p50_ms", p50)
            findings.put(f"sandbox.{runtime}.ready_p99_ms", p99)
            worst_p50, worst_p99 = max(worst_p50, p50), max(worst_p99, p99)
        if len(ready) == len(RUNTIMES):
            findings.put("sandbox.ready_p50_ms", worst_p50)
            findings.put("sandbox.ready_p99_ms", worst_p99)
        findings.put("sandbox.idle50_gateway_mb", _idle(bawn, next(iter(ready)), gateway))


def _rounds(bawn: Client, runtime: str, rounds: int) -> list[float]:
    taken: list[float] = []
    for number in range(WARM_UP + rounds):
        name = f"bench-{runtime}-{number}"
        begin = time.perf_counter()
        bawn.containers.create(name, runtime=runtime, image="host")
        try:
            bawn.containers.start(name)
            with bawn.containers.exec(name, ["true"]) as session:
                for _ in session:
                    pass
            ended = time.perf_counter()
            if session.code != 0:
                raise LaneError(f"the first command of a {runtime} sandbox ended with {session.code}")
        finally:
            bawn.containers.delete(name)
        if number >= WARM_UP:
            taken.append((ended - begin) * 1000)
    return taken


def _idle(bawn: Client, runtime: str, gateway: int) -> float:
    """By how much the gateway grows for sandboxes that do nothing."""
    names = [f"idle-{number}" for number in range(IDLE)]
    before = processes.resident_mb(gateway)
    made: list[str] = []
    try:
        for name in names:
            bawn.containers.create(name, runtime=runtime, image="host")
            made.append(name)
            bawn.containers.start(name)
        time.sleep(1)
        return processes.resident_mb(gateway) - before
    finally:
        for name in made:
            bawn.containers.delete(name)
