"""Keeping and bringing back a workspace of 100 MB: `snapshot.100mb_s`, beside what plain copying costs on this disk.

Measured from the command to its answer, so with the box held still, every digest computed, and for a restore
the box ended and made anew. The figure is the slower of the two, the better of three rounds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bawn import sdk
from bawn.errors import Fault
from bench.load import LaneError
from bench.report import Findings

FILES, FILE_BYTES = 1000, 100 * 1024
ROUNDS = 3


def measure(findings: Findings, socket: str) -> None:
    # Not beside the configuration, which no container may see.
    with tempfile.TemporaryDirectory(prefix="bawn-bench-", dir="/var/tmp") as name:
        try:
            _measure(findings, socket, Path(name).resolve())
        except Fault as fault:
            raise LaneError(f"{fault.sentence} ({fault.cause})") from fault


def _measure(findings: Findings, socket: str, home: Path) -> None:
    work = home / "work"
    for number in range(FILES):
        place = work / f"d{number % 40}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_bytes(os.urandom(FILE_BYTES))
    findings.put("snapshot.copy_s", _timed(lambda: _copied(work, home / "copy")))
    with sdk.Client(socket) as client:
        made = client.containers.create("snapshots", image="host", runtime="bubblewrap", mount=str(work))
        try:
            client.containers.start(made.id)
            creates, restores = [], []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                kept = client.snapshots.create(made.id)
                creates.append(time.perf_counter() - begun)
                restores.append(_timed(partial(client.snapshots.restore, made.id, kept.name)))
        finally:
            client.containers.delete(made.id)
    findings.put("snapshot.create_100mb_s", min(creates))
    findings.put("snapshot.restore_100mb_s", min(restores))
    findings.put("snapshot.100mb_s", max(min(creates), min(restores)))


def _copied(work: Path, to: Path) -> None:
    shutil.copytree(work, to)
    shutil.rmtree(to)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
