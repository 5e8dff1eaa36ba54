"""One real installation in a folder of its own, used as a person uses it: by the command line.

Everything that the command line says is kept in `transcript`, so that the last test can look through it for keys.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bawn

BAWN = Path(sys.executable).with_name("bawn")
INSIDE = Path(__file__).parent / "inside"
"""Programs that run in a container; they know nothing but its environment."""
SOURCES = Path(bawn.__file__).parents[1]
WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Installation:
    """`as_user`: the `user`, `group` and `extra_groups` of subprocess, for one that is not ours."""

    place: Path
    further: Mapping[str, str] = field(default_factory=dict)
    as_user: Mapping[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def config(self) -> Path:
        return self.place / "config" / "bawn.yaml"

    @property
    def socket(self) -> str:
        return str(self.home / "run" / "bawn.sock")

    @property
    def transcript(self) -> Path:
        return self.place / "transcript"

    @property
    def environment(self) -> dict[str, str]:
        # All of the operator's own, by which apt, npm and pip find what an image is built from.
        passed = {name: value for name, value in os.environ.items() if not name.startswith("BAWN_")}
        return {**passed, "BAWN_HOME": str(self.home), "BAWN_CONFIG": str(self.config), **self.further}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command that goes on while the test does something else."""
        return subprocess.Popen([str(BAWN), *words], env=self.environment, cwd=self.place, **self.as_user, **options)

    def bawn(self, *words: str, stdin: str = "", wait_s: float = 90.0, secret: bool = False) -> Said:
        """Runs one command. Secret: it shows something once that is to be shown nowhere else."""
        with self.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(stdin.encode(), wait_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        said = Said(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        with self.transcript.open("a", encoding="utf-8") as file:
            # Not what was asked: that is ours, and may hold a key on purpose.
            file.write(f"$ bawn {words[0]}\n{'' if secret else said.out}{said.err}[{said.code}]\n")
        return said

    def done(self, *words: str, stdin: str = "", wait_s: float = 90.0, secret: bool = False) -> Said:
        """Runs one command that has to succeed."""
        said = self.bawn(*words, stdin=stdin, wait_s=wait_s, secret=secret)
        assert said.code == 0, (
            f"bawn {' '.join(words)[:200]} ended with {said.code}:\n{said.out[-2000:]}{said.err[-2000:]}"
        )
        return said

    def json(self, *words: str) -> Any:
        return self.done(*words, "-o", "json").json()

    # processes

    def up(self) -> None:
        self.done("up", "--detach")

    def runs(self) -> bool:
        return self.bawn("status").code == 0

    def pid(self, name: str) -> int:
        return next(int(each["pid"]) for each in self.json("status")["processes"] if each["name"] == name)

    def kill(self, name: str) -> int:
        """SIGKILL to one of this installation's processes; its pid."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    # containers

    def box(self, name: str, runtime: str, image: str = "agent", *further: str) -> Container:
        """A running container that has done nothing yet."""
        self.bawn("containers", "delete", name)
        self.done("containers", "create", "--name", name, "--runtime", runtime, "--image", image, *further)
        self.done("containers", "start", name)
        return Container(self, name, runtime)

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("containers", "get", name)
        return found

    def forget_keys(self, provider: str) -> None:
        for key in self.json("keys", "list"):
            if key["provider"] == provider:
                self.done("keys", "remove", key["id"])

    def causes(self, name: str) -> list[str]:
        """Why the last calls of a container were refused, newest first."""
        return [str(each["cause"]) for each in self.json("why", name)]


@dataclass(frozen=True, slots=True)
class Container:
    yard: Installation
    name: str
    runtime: str

    @property
    def token(self) -> str:
        return f"container-{self.name}"

    def bawn(self, *words: str, stdin: str = "", wait_s: float = 90.0) -> Said:
        """Runs a command inside."""
        return self.yard.bawn("exec", self.name, "--", *words, stdin=stdin, wait_s=wait_s)

    def sh(self, line: str) -> Said:
        return self.bawn("sh", "-c", line)

    def program(self, name: str, *words: str) -> Said:
        """Runs one of the programs of `inside`."""
        return self.bawn("python3", "-c", (INSIDE / f"{name}.py").read_text(), *words)

    def found(self, name: str, *words: str) -> Any:
        """What a program of `inside` found, which it prints as JSON."""
        said = self.program(name, *words)
        assert said.code == 0, f"{name} ended with {said.code}:\n{said.out[-2000:]}{said.err[-4000:]}"
        return json.loads(said.out.splitlines()[-1])

    def ask(
        self, text: str = "hello", *, token: str = "", model: str = "scripted/echo", show: bool = True
    ) -> tuple[int, str]:
        """Status and answer of one call. Without `show` the program inside prints no answer: it may hold a key."""
        said = self.found("ask", text, token, model, "show" if show else "hide")
        return int(said["status"]), str(said["text"])

    def leave(self, name: str, *words: str) -> None:
        """Starts a program of `inside` that outlives the command; what it prints goes to /tmp/<name>."""
        line = f'exec setsid -f python3 -c "$@" </dev/null >/tmp/{name} 2>&1'
        said = self.bawn("sh", "-c", line, "leave", (INSIDE / f"{name}.py").read_text(), *words)
        assert said.code == 0, said

    def left(self, name: str) -> list[Any]:
        """What a program that was left has printed so far, a JSON value a line."""
        lines = self.bawn("cat", f"/tmp/{name}").out.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def first_process(self) -> str:
        """By which a container that was started anew is told from one that goes on."""
        return self.sh("cut -d ' ' -f 22 /proc/1/stat; stat -Lc %i /proc/1/ns/net 2>/dev/null || true").out


def until(true: Callable[[], object], what: str, wait_s: float = WAIT_S) -> None:
    end = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < end, f"after {wait_s:g} s still not: {what}"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process does anything; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
