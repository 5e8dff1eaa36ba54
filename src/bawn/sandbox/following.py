"""Watching one command to its end: until it ends, takes too long, prints too much, or nobody waits for it any more."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from typing import Any

MOST_TOLD = 48 << 20
"""Bytes of JSON that a command outside of any box is told: everything of what happened, escaped twice."""
_READ = 64 * 1024


def followed(process: subprocess.Popen[bytes], seconds: float, most: int, gone: int | None = None) -> dict[str, Any]:
    """What became of it: `code`, `output`, and `failed` where it has to be ended, which is the caller's. What it prints comes
    by `stdout`; `gone` can be read from when nobody waits."""
    assert process.stdout is not None
    out, pidfd = process.stdout.fileno(), os.pidfd_open(process.pid)
    os.set_blocking(out, False)
    until, output, failed = time.monotonic() + seconds, b"", ""
    watched = select.poll()  # not select(), which knows no descriptor above 1023
    for each in (out, pidfd, *(() if gone is None else (gone,))):
        watched.register(each, select.POLLIN)
    try:
        while not failed:
            left = until - time.monotonic()
            ready = {each for each, _ in watched.poll(max(0.0, left) * 1000)}
            if not ready:
                failed = f"it took longer than {seconds:g} s"
                break
            data = b""
            with contextlib.suppress(BlockingIOError):
                data = os.read(out, _READ)
            output += data
            if gone in ready:
                failed = "it was ended"
            elif len(output) > most:
                failed = f"it printed more than {most} bytes"
            elif pidfd in ready and not data:
                break
            elif out in ready and not data:
                watched.unregister(out)
    finally:
        os.close(pidfd)
    code = None if failed else process.wait()
    return {"code": code, "output": output[:most].decode("utf-8", "replace"), "failed": failed}


def given(text: str) -> int:
    """A descriptor from which a command reads this."""
    descriptor = os.memfd_create("stdin")
    view = memoryview(text.encode("utf-8", "replace"))
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
