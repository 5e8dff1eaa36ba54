"""One command of a rule, in the box that is its own: `python -m bawn.scripts.worker.command --fd N`.

On the socket comes one JSON object to its end: the command, its environment, what it reads, how long it may take and how
much it may print. Back goes one, when it is through: `code`, `output` and, where it was stopped, `failed`. When this process
ends, the box ends with everything that the command left running.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bawn.sandbox.following import followed, given

PLACE = Path("/work")
_LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 1 << 30), (resource.RLIMIT_NOFILE, 256))


def run(said: dict[str, Any], place: Path = PLACE) -> dict[str, Any]:
    """What became of the command."""
    stdin = given(str(said["stdin"]))
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", str(said["command"])],
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(place), **said["env"]},
            cwd=place,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        because = error.strerror if isinstance(error, OSError) else error
        return {"code": None, "output": "", "failed": f"it could not be started: {because}"}
    finally:
        os.close(stdin)
    try:
        return followed(process, float(said["seconds"]), int(said["output_bytes"]))
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bawn.scripts.worker.command")
    parser.add_argument("--fd", type=int, required=True)
    asked = parser.parse_args(arguments)
    for kind, value in _LIMITS:
        resource.setrlimit(kind, (value, value))
    os.nice(5)
    with socket.socket(fileno=asked.fd) as end:
        end.setblocking(True)
        end.set_inheritable(False)
        parts = []
        while part := end.recv(1 << 20):
            parts.append(part)
        with contextlib.suppress(OSError):
            end.sendall(json.dumps(run(json.loads(b"".join(parts)))).encode())


if __name__ == "__main__":
    main()
