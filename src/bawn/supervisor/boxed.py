"""Starting one of our programs in a box of `sandbox/working.py`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from bawn.sandbox import python, seccomp, working
from bawn.sandbox.executing import memory_file
from bawn.sandbox.staging import Stage
from bawn.sandbox.working import Shown


@dataclass(frozen=True, slots=True)
class Box:
    """What a box is made of."""

    program: str
    """bubblewrap."""
    hostname: str
    shown: Sequence[Shown]
    slot: int | None
    """Which of the workers' uids is its own; None: the supervisor is no root, and neither is the box."""
    scratch_bytes: int
    further: Sequence[str] = ()
    """Options of bubblewrap beyond the usual."""
    open_files: int = 1024


def launched(
    box: Box, command: Sequence[str], fds: Sequence[int], groups: Sequence[int], out: int
) -> subprocess.Popen[bytes]:
    """The first process; what it and all in the box print goes to `out`. Ends with whoever calls."""
    filter_fd = memory_file(seccomp.program()) if seccomp.known() else None
    sources = working.sources(box.shown, staged=box.slot is not None)
    options = working.options(
        sources,
        hostname=box.hostname[:63],
        scratch_bytes=box.scratch_bytes,
        filter_fd=filter_fd,
        further=box.further,
    )
    # By a descriptor: the first process of the box is bubblewrap, whose arguments those inside could read.
    arguments = memory_file(b"".join(option.encode() + b"\0" for option in options))
    argv = [box.program, "--args", str(arguments), "--", *command]
    held = [arguments, *([] if filter_fd is None else [filter_fd])]
    passed = [*fds, *groups, *held]
    if box.slot is None:
        argv = working.entering(groups, argv)
    else:
        stage = Stage(
            working.WORKER_UIDS + box.slot,
            trees={f"python{number}": path for number, path in enumerate(working.interpreted())},
            owned={str(number): (each.descriptor, each.writable) for number, each in enumerate(box.shown)},
            groups=list(groups),
            become_agent=True,
            open_files=box.open_files,
        )
        argv = stage.argv(argv)
        passed += [each.descriptor for each in box.shown]
    try:
        return subprocess.Popen(
            argv,
            env=python.environment(),
            cwd="/",
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    finally:
        for fd in held:
            os.close(fd)
