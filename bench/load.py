"""The load: wrk, optionally inside a container's network namespace, read back as numbers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("chat.lua")


@dataclass(frozen=True, slots=True)
class Load:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


class LaneError(Exception):
    """A lane that did not measure what it says: it is left out, never counted as zero."""


def inside(pid: int | None, argv: Sequence[str]) -> list[str]:
    """`argv`, run in the network namespace of `pid`."""
    return list(argv) if pid is None else ["nsenter", "--target", str(pid), "--net", "--", *argv]


def pressed(
    url: str,
    *,
    connections: int,
    seconds: int,
    pid: int | None = None,
    headers: Mapping[str, str] | None = None,
    model: str | None = None,
) -> Load:
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url]
    environment = os.environ | {"BENCH_HEADERS": "|".join(f"{name}={value}" for name, value in (headers or {}).items())}
    if model is not None:
        environment["BENCH_MODEL"] = model
    done = subprocess.run(inside(pid, argv), capture_output=True, text=True, env=environment, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise LaneError(f"wrk said: {(done.stderr or done.stdout).strip()[:300]}")
    load = Load(**json.loads(lines[-1]))
    if load.failed or not load.requests:
        raise LaneError(f"{load.failed} of {load.requests} calls to {url} failed")
    return load
