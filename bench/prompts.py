"""Prompts of a megabyte, and small streams beside them.

    python -m bench.prompts send --url …     one after another, a pause between; one line of JSON at the end
    python -m bench.prompts watch --url …    small streams whose every token is timed

Two programs, so that sending does not delay what is timed, both run inside a container's network namespace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from typing import cast
from urllib.parse import urlsplit

from bench import processes
from bench.installation import Installation
from bench.load import LaneError, inside
from bench.report import ROOT, Findings

PROMPT_BYTES = 2**20
_PAUSE_S = 0.1
_PERIOD_S = 0.02
_STREAMS = 16
_TOKEN = re.compile(rb'"t(\d+) "')


def lane(findings: Findings, bawn: Installation, seconds: int) -> None:
    """What a large prompt costs the gateway, and what a small stream beside it feels of that."""
    before = processes.cpu_seconds(bawn.gateway)
    sent = _told("send", bawn, seconds)
    findings.put("prompt1mb.gateway_ms", 1000 * (processes.cpu_seconds(bawn.gateway) - before) / sent["calls"])
    alone = _told("watch", bawn, seconds)
    with subprocess.Popen(_argv("send", bawn, seconds + 4), cwd=ROOT, stdout=subprocess.DEVNULL) as sending:
        beside = _told("watch", bawn, seconds)
        sending.wait(30)
    if sending.returncode:
        raise LaneError("the large prompts beside the streams failed")
    findings.put("prompt1mb.alone_p99_ms", alone["late_p99_ms"])
    findings.put("prompt1mb.neighbour_p99_ms", beside["late_p99_ms"])


def _argv(what: str, bawn: Installation, seconds: int) -> list[str]:
    argv = [sys.executable, "-m", "bench.prompts", what, "--url", bawn.url, "--seconds", str(seconds)]
    return inside(bawn.inside, argv)


def _told(what: str, bawn: Installation, seconds: int) -> dict[str, float]:
    argv = _argv(what, bawn, seconds)
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise LaneError(done.stderr.strip()[-300:])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _request(url: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer container-bench\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _prompt() -> bytes:
    """A conversation of a thousand messages, as agents send when they have worked for a while."""
    text = "The wall is of stone; it keeps out who comes by night, and keeps in what is ours. " * 12
    messages = [{"role": "user" if each % 2 == 0 else "assistant", "content": text} for each in range(1041)]
    return json.dumps({"model": "mock/mock", "messages": messages}).encode()


def _send(url: str, seconds: int) -> dict[str, float]:
    parts, request = urlsplit(url), _request(url, _prompt())
    calls, until = 0, time.monotonic() + seconds
    with socket.create_connection((cast("str", parts.hostname), parts.port or 80)) as link:
        while time.monotonic() < until:
            link.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
                answer += link.recv(65536) or b"\r\n\r\n}"
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"a large prompt was answered with {answer[:200]!r}")
            calls += 1
            time.sleep(_PAUSE_S)
    return {"calls": calls, "bytes": len(request)}


async def _watch(url: str, seconds: int) -> dict[str, float]:
    late: list[float] = []
    until = time.monotonic() + seconds
    await asyncio.gather(*(_streams(url, until, late, number * _PERIOD_S / _STREAMS) for number in range(_STREAMS)))
    late.sort()
    return {"frames": len(late), "late_p99_ms": 1000 * late[int(len(late) * 0.99)]}


async def _streams(url: str, until: float, late: list[float], start_s: float) -> None:
    """One stream after another; each token's lateness against the source's steady pace."""
    body = json.dumps(
        {"model": "scripted/bench-stream-short", "stream": True, "messages": [{"role": "user", "content": "go"}]}
    ).encode()
    parts = urlsplit(url)
    await asyncio.sleep(start_s)
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(cast("str", parts.hostname), parts.port or 80)
        writer.write(_request(url, body))
        seen: list[tuple[int, float]] = []
        while b"[DONE]" not in (data := await reader.read(65536)):
            if not data:
                raise SystemExit("a small stream was cut")
            now = time.perf_counter()
            seen += [(int(number), now) for number in _TOKEN.findall(data)]
        begun = min(at - number * _PERIOD_S for number, at in seen)
        late += [at - number * _PERIOD_S - begun for number, at in seen]
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.prompts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("send", "watch"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    if options.what == "send":
        print(json.dumps(_send(options.url, options.seconds)))
    else:
        print(json.dumps(asyncio.run(_watch(options.url, options.seconds))))


if __name__ == "__main__":
    main()
