"""A supervisor that runs on this machine, with a stand-in gateway that says what a test wants."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bawn

HERE = Path(__file__).parent
ORDINARY = 61234
"""A uid that is nobody's, for tests as an ordinary user."""


class Yard:
    """A supervisor that runs, with a stand-in gateway that says what the test wants."""

    def __init__(self, home: Path, uid: int | None, further: Sequence[str] = ()) -> None:
        self.home = home
        self.further = list(further)
        """Arguments of the supervisor beyond its places."""
        self.runtime = "bubblewrap"
        self.uid = uid
        self.number = 100
        self.process = self.spawn()
        self.ready = self.wait_ready()

    def spawn(self) -> subprocess.Popen[str]:
        config = self.home.parent / "config/bawn.yaml"
        argv = [
            sys.executable,
            str(HERE / "start.py"),
            "--home",
            str(self.home),
            "--config",
            str(config),
            *self.further,
        ]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "PYTHONPATH": str(Path(bawn.__file__).parent.parent),
        }
        env |= {"HTTPS_PROXY": "http://proxy.invalid:1", "OPENAI_API_KEY": "sk-of-the-operator"}
        as_user: dict[str, Any] = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        log = (self.home.parent / "log").open("a")
        with log:
            return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/", **as_user)

    def wait_ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            self.process.wait(10)
            raise AssertionError((self.home.parent / "log").read_text())
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        until = time.monotonic() + 20
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(60)
                    line.connect(str(self.home / "run/test.sock"))
                    with line.makefile("rw") as lines:
                        lines.write(json.dumps({"do": do, **fields}) + "\n")
                        lines.flush()
                        said: dict[str, Any] = json.loads(lines.readline() or "{}")
                        return said
            except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def spec(self, runtime: str = "", **fields: object) -> dict[str, Any]:
        self.number += 1
        spec = {
            "uuid": str(uuid.uuid4()),
            "number": self.number,
            "name": f"box{self.number}",
            "runtime": runtime or self.runtime,
            "image": "host",
        }
        return {**spec, "workspace": None, "env": {}, **fields}

    def started(self, runtime: str = "", **fields: object) -> str:
        spec = self.spec(runtime, **fields)
        said = self.ask("start", spec=spec)
        assert said["ok"], said
        return str(spec["uuid"])

    def run(self, uuid: str, *argv: str, **fields: object) -> dict[str, Any]:
        said = self.ask("exec", uuid=uuid, argv=list(argv), **fields)
        assert said["ok"], said
        return said

    def python(self, uuid: str, program: str, **fields: object) -> dict[str, Any]:
        return self.run(uuid, "python3", "-c", program, **fields)

    def state(self, uuid: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.home / "containers" / uuid / "state.json").read_text())
        return said

    def crash(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        (self.home / "run/test.sock").unlink(missing_ok=True)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = self.spawn()
        self.ready = self.wait_ready()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@contextlib.contextmanager
def open_yard(uid: int | None = None, further: Sequence[str] = (), config: str = "") -> Iterator[Yard]:
    place = Path(tempfile.mkdtemp(prefix="bawn-yard-", dir="/var/tmp"))
    for name in ("home", "config"):
        (place / name).mkdir()
    (place / "config/bawn.yaml").write_text(config)
    if uid is not None:
        for path in (place, *place.rglob("*")):
            os.chown(path, uid, uid)
    yard = Yard(place / "home", uid, further)
    try:
        yield yard
    finally:
        code = yard.end()
        log = (place / "log").read_text()
        shutil.rmtree(place, ignore_errors=True)
    assert code == 0, log
    assert "Traceback" not in log, log
