"""A box held still, so that what is copied of it is of one moment.

By SIGSTOP, since not every host has a freezer for us: parents before children, and going on in the other order, so that no
shell ever sees a child of its stopped. What was stopped before stays so. The first process, which does nothing, is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.runtime import members

WITHIN_S = 2.0
ROUNDS = 50


@contextlib.contextmanager
def frozen(box: Attested | None) -> Iterator[None]:
    """Nothing of the box runs meanwhile; None is a box that does not run."""
    if box is None:
        yield
        return
    stopped: list[int] = []
    try:
        _stop_all(box, stopped)
        yield
    finally:
        for pid in reversed(stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def thaw(box: Attested) -> None:
    """After whoever froze it was killed."""
    for pid in members(box):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _stop_all(box: Attested, stopped: list[int]) -> None:
    """Until no process is left that could start another."""
    ignored: set[int] = {box.pid}
    for _ in range(ROUNDS):
        fresh = [pid for pid in sorted(members(box), key=_began) if pid not in ignored and pid not in stopped]
        if not fresh:
            break
        for pid in fresh:
            if _state(pid) in "TtZX":
                ignored.add(pid)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
    else:
        raise Fault("sandbox.start_failed", "the container starts processes faster than they can be held still")
    until = time.monotonic() + WITHIN_S
    while any(_state(pid) in "RSD" for pid in stopped):
        if time.monotonic() > until:
            return  # one waits for a disk and will stop when it comes back, before it does anything
        time.sleep(0.001)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def _began(pid: int) -> tuple[int, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19]), pid
    except (OSError, IndexError):
        return 0, pid
