"""Bawn itself for the bench: a whole installation in a directory of its own, and one container in it.

It is started as its user starts it, by `bawn up` and `bawn run`; nothing is switched off but the wait for
the disk (`audit.durability: relaxed`), which the peers do not have either.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.load import LaneError

_NAP = "98761"
"""Seconds for which the container's command sleeps; an odd number, so that it is found among all processes."""

_CONFIG = """\
providers:
  mock: {{kind: openai-compatible, base_url: "http://127.0.0.1:{mock}/v1", models: [mock]}}
  other: {{kind: anthropic, base_url: "http://127.0.0.1:{mock}/v1", models: [mock], key: none}}
  scripted: {{kind: scripted, models: [bench-stream, bench-stream-short]}}
models: {{default: mock/mock}}
allow: {{models: ["mock/*", "other/*", "scripted/*"]}}
guardrails: {{concurrent_calls: 4096}}
audit: {{durability: relaxed}}
"""


@dataclass(frozen=True, slots=True)
class Installation:
    gateway: int
    """Process id of the gateway."""
    inside: int
    """Process id of a process in the container's network namespace."""
    commands: Commands
    config: Path

    @property
    def url(self) -> str:
        return "http://127.0.0.2/api/v1/chat/completions"


@contextmanager
def running(home: Path, mock: int, more: str = "") -> Iterator[Installation]:
    """`more` is added to the configuration."""
    program = Path(sys.executable).with_name("bawn")
    if not program.exists():
        raise LaneError("`bawn` is not installed in this environment")
    config = home / "bawn.yaml"
    config.write_text(_CONFIG.format(mock=mock) + more)
    bawn = Commands(program, os.environ | {"BAWN_HOME": str(home / "bawn"), "BAWN_CONFIG": str(config)})
    try:
        bawn("up", "--detach")
        # The mock asks for no key, but the way of a key into a call is part of what is measured.
        bawn("keys", "add", "mock", said=b"sk-bench-0123456789\n")
        box = ("--runtime", "bubblewrap", "--image", "host")
        bawn("run", "--detach", "--name", "bench", *box, "--", "sleep", _NAP)
        yield Installation(bawn.gateway(), _inside(), bawn, config)
    except LaneError as reason:
        raise LaneError(f"{reason} {_last_words(home / 'bawn' / 'bawn.log')}") from reason
    finally:
        for verb in (("containers", "delete", "bench"), ("down",)):
            with contextlib.suppress(LaneError):
                bawn(*verb)


@dataclass(frozen=True, slots=True)
class Commands:
    """The command line of the installation; a command that fails ends the lane."""

    program: Path
    environment: Mapping[str, str]

    def __call__(self, *words: str, said: bytes = b"") -> str:
        argv = [str(self.program), *words]
        done = subprocess.run(argv, env=self.environment, input=said, capture_output=True, timeout=180, check=False)
        if done.returncode:
            raise LaneError(
                f"`bawn {' '.join(words[:2])}` failed: {done.stderr.decode(errors='replace').strip()[-400:]}"
            )
        return done.stdout.decode(errors="replace")

    def gateway(self) -> int:
        for process in json.loads(self("status", "-o", "json"))["processes"]:
            if process["name"] == "gateway":
                return int(process["pid"])
        raise LaneError("`bawn status` names no gateway")


def _last_words(log: Path) -> str:
    """The end of Bawn's own log, which goes away with the bench."""
    return " ".join(log.read_text(errors="replace").split())[-300:] if log.exists() else ""


def _inside() -> int:
    own, until = processes.network(os.getpid()), time.monotonic() + 30
    while time.monotonic() < until:
        for pid in processes.pids():
            if processes.argv(pid)[-2:] == ["sleep", _NAP] and processes.network(pid) not in {"", own}:
                return pid
        time.sleep(0.1)
    raise LaneError("the container's command was not found")
