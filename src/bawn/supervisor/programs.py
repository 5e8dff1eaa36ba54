"""Starting one of our short-lived programs that speak as `sandbox/talk.py` describes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence

from bawn.errors import KINDS, Fault
from bawn.sandbox.python import environment, interpreter


def spawn(
    module: str, asked: Mapping[str, object], fds: Sequence[int]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts one of our programs with its request and its stream; returns it with the stream's other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    request = os.memfd_create("request", os.MFD_CLOEXEC)
    try:
        with theirs:
            os.write(request, json.dumps(asked).encode())
            argv = [*interpreter(), "-m", module, "--request-fd", str(request), "--stream-fd", str(theirs.fileno())]
            process = subprocess.Popen(
                argv,
                env=environment(),
                cwd="/",
                pass_fds=(request, theirs.fileno(), *fds),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
    except OSError:
        ours.close()
        raise
    finally:
        os.close(request)
    return process, ours


def outcome(process: subprocess.Popen[bytes], stream: socket.socket) -> dict[str, object]:
    """The one line that a program says to us; its Fault when it went wrong. For worker threads: this waits."""
    with process, stream, stream.makefile("rb") as lines:
        line = lines.readline()
    said = json.loads(line) if line.endswith(b"\n") else {}
    if said.get("ok"):
        return dict(said)
    code = str(said.get("code"))
    sentence = str(said.get("sentence", "this ended before it was done"))
    raise Fault(code if code in KINDS else "files.failed", sentence, cause=str(said.get("cause", "")))
