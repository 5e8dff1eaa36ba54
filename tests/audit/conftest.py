"""A real audit writer in its own process, on a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bawn.audit.recorder import Recorder
from bawn.audit.redact import Redactor


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0


class WriterProcess:
    """Starts, kills and starts again the writer on one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, sock: socket.socket | None = None) -> socket.socket:
        """Begins a writer; the recorder's end of its socket. With `sock`, the writer's end that it shall inherit."""
        ours: socket.socket | None = None
        if sock is None:
            ours, sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        argv = [
            sys.executable,
            "-m",
            "bawn.audit",
            "--directory-fd",
            str(descriptor),
            "--socket-fd",
            str(sock.fileno()),
        ]
        self.process = subprocess.Popen(argv, pass_fds=(descriptor, sock.fileno()), stderr=subprocess.PIPE)
        os.close(descriptor)
        if ours is None:
            return sock
        sock.close()
        return ours

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.ended()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        assert self.process is not None
        code = self.process.wait(10)
        assert self.process.stderr is not None
        self.said = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.process = None
        return code

    def records(self) -> list[dict[str, Any]]:
        """Everything in the log, oldest first; fails on a line that is none."""
        files = [*sorted(self.directory.glob("audit-*.jsonl")), self.directory / "audit.jsonl"]
        lines = [line for file in files if file.exists() for line in file.read_bytes().splitlines(keepends=True)]
        assert all(line.endswith(b"\n") for line in lines)
        return [msgspec.json.decode(line) for line in lines]

    def own(self) -> list[dict[str, Any]]:
        return [record for record in self.records() if record["event"].startswith("log.")]

    def events(self) -> list[str]:
        """The events that came from recorders."""
        return [record["event"] for record in self.records() if not record["event"].startswith("log.")]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[WriterProcess]:
    directory = tmp_path / "audit"
    directory.mkdir(0o700)
    made = WriterProcess(directory)
    yield made
    if made.process is not None:
        made.kill()


@pytest.fixture
async def recorder(writer: WriterProcess) -> AsyncIterator[Recorder]:
    made = Recorder(writer.start(), Redactor(), RealClock(), ack_timeout_s=5)
    await made.start()
    yield made
    await made.close()
