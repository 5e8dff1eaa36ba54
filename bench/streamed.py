"""Streams held at an address, counted by `bench.streams`, and the scripted provider that they are asked of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import LaneError, inside
from bench.report import ROOT


def streamed(url: str, streams: int, tokens: int, pid: int | None = None) -> dict[str, float]:
    """What came of that many streams at once, from the network namespace of `pid`. LaneError when none came whole."""
    model = "scripted/bench-stream" if tokens == 500 else "scripted/bench-stream-short"
    argv = [sys.executable, "-m", "bench.streams", "--url", url, "--streams", str(streams)]
    argv += ["--tokens", str(tokens), "--model", model]
    done = subprocess.run(inside(pid, argv), cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise LaneError(done.stderr.strip()[-300:])
    held: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if not held["held"]:
        raise LaneError(f"no stream came whole; {held['frames']} tokens came in all")
    return held


@contextmanager
def scripted() -> Iterator[str]:
    """The scripted provider alone, without Bawn: where its chat completions are asked."""
    argv = [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().removeprefix("ready ").strip()
            if not address:
                raise LaneError("the scripted provider did not start")
            yield f"http://{address}/v1/chat/completions"
        finally:
            process.terminate()
