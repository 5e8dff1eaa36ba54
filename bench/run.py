"""`python -m bench.run`: every lane one after another, on one machine, in one run.

    python -m bench.run                 all lanes
    python -m bench.run --quick         short ones, to see that they run
    PEERS=1 python -m bench.run --docs  with LiteLLM and Portkey, and the page in the documentation rewritten

A container's door is a loopback socket in the container's own network namespace, answered by the gateway on
the host; wrk is started inside that namespace. nginx and the mock are reached by the loopback of the host,
which costs the same. There is no listener for models on the host, hence no lane for one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import egress, installation, interception, nginx, peers, processes, prompts, rules, sandbox, snapshot
from bench.load import LaneError, Load, pressed
from bench.report import Findings
from bench.streamed import scripted, streamed

CONNECTIONS = 64
TURNS = 5
_PATH = "/v1/chat/completions"


def main() -> int:
    options = _options()
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="bawn-bench-") as name:
        home = Path(name)
        # The gateway runs as a user of its own and must reach what lies in here.
        home.chmod(0o755)
        try:
            with nginx.both(home) as ports:
                first_token_ms = None
                with _lane(findings, "streams without Bawn"):
                    first_token_ms = _streams_directly(findings, options.streams, options.tokens)
                with _lane(findings, "Bawn"), installation.running(home, ports.mock) as bawn:
                    _identity(findings, ports, bawn, options.seconds)
                    with _lane(findings, "rules"):
                        rules.lane(findings, home, ports, bawn, options.seconds)
                    with _lane(findings, "streams"):
                        _streams(findings, bawn, options.streams, options.tokens, first_token_ms)
                    with _lane(findings, "large prompts"):
                        prompts.lane(findings, bawn, options.seconds)
                    with _lane(findings, "snapshots"):
                        snapshot.measure(findings, str(home / "bawn" / "run" / "bawn.sock"))
                    with _lane(findings, "memory"):
                        _memory(findings, bawn, options.calls)
                    with _lane(findings, "sandboxes"):
                        sandbox.lane(findings, home / "bawn/run/bawn.sock", bawn.gateway, options.sandboxes)
                with _lane(findings, "interception"):
                    interception.lane(findings, home, ports, options.seconds)
                with _lane(findings, "egress"):
                    egress.lane(findings, options.seconds)
                if os.environ.get("PEERS") == "1":
                    _peers(findings, home, ports.mock, options.seconds)
        except LaneError as reason:
            findings.left_out["everything after"] = str(reason)
    print(findings.table())
    print(f"\nWritten to {findings.write().name}")
    if options.docs:
        print(f"Written to {findings.document().name}")
    return 0 if "identity.rps" in findings.metrics else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="What Bawn costs, beside its peers.")
    parser.add_argument("--seconds", type=int, default=8, help="length of each lane")
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--calls", type=int, default=200_000, help="calls over which memory is watched")
    parser.add_argument("--quick", action="store_true", help="2 s, 64 streams for 2 s, 10,000 calls")
    parser.add_argument("--docs", action="store_true", help="rewrite the table in docs/benchmarks.md")
    options = parser.parse_args()
    options.tokens, options.sandboxes = 500, 100
    if options.quick:
        options.seconds, options.streams, options.calls, options.tokens = 2, 64, 10_000, 100
        options.sandboxes = 20
    return options


@contextmanager
def _lane(findings: Findings, name: str) -> Iterator[None]:
    try:
        yield
    except (LaneError, OSError, subprocess.SubprocessError) as reason:
        findings.left_out[name] = str(reason)


def _both_loads(
    url: str, seconds: int, pid: int | None = None, headers: Mapping[str, str] | None = None
) -> tuple[Load, Load]:
    """Under pressure, and one call at a time; a short warm-up before, not counted."""
    pressed(url, connections=8, seconds=1, pid=pid, headers=headers)
    return (
        pressed(url, connections=CONNECTIONS, seconds=seconds, pid=pid, headers=headers),
        pressed(url, connections=1, seconds=seconds, pid=pid, headers=headers),
    )


def _identity(findings: Findings, ports: nginx.Ports, bawn: installation.Installation, seconds: int) -> None:
    """By turns with nginx and with the mock alone: a machine that is slower for a while is so for all three."""
    lanes: dict[str, tuple[str, int | None]] = {
        "direct": (f"http://127.0.0.1:{ports.mock}{_PATH}", None),
        "nginx": (f"http://127.0.0.1:{ports.proxy}{_PATH}", None),
        "identity": (bawn.url, bawn.inside),
        "translate": (bawn.url, bawn.inside),
    }
    many: dict[str, list[Load]] = {name: [] for name in lanes}
    one: dict[str, list[Load]] = {name: [] for name in lanes if name != "translate"}
    models = {"translate": "other/mock"}
    for name, (url, pid) in lanes.items():
        pressed(url, connections=8, seconds=1, pid=pid, model=models.get(name))
    turn = max(1, seconds // 2)
    for _ in range(TURNS):
        for name, (url, pid) in lanes.items():
            load = pressed(url, connections=CONNECTIONS, seconds=turn, pid=pid, model=models.get(name))
            many[name].append(load)
        for name, alone in one.items():
            url, pid = lanes[name]
            alone.append(pressed(url, connections=1, seconds=turn, pid=pid))
    for name in lanes:
        findings.put(f"{name}.rps", statistics.median(load.rps for load in many[name]))
    for name, alone in one.items():
        findings.put(f"{name}.p50_ms", statistics.median(load.p50_ms for load in alone))
        findings.put(f"{name}.p99_ms", statistics.median(load.p99_ms for load in alone))
    for name in ("identity", "translate"):
        ratios = [ours.rps / theirs.rps for ours, theirs in zip(many[name], many["nginx"], strict=True)]
        findings.put(f"{name}.ratio_nginx", statistics.median(ratios))
    pairs = list(zip(one["identity"], one["direct"], strict=True))
    findings.put("identity.added_p50_ms", statistics.median(ours.p50_ms - theirs.p50_ms for ours, theirs in pairs))
    findings.put("identity.added_p99_ms", statistics.median(ours.p99_ms - theirs.p99_ms for ours, theirs in pairs))


def _streams_directly(findings: Findings, streams: int, tokens: int) -> float:
    """The scripted provider alone: what is late here is not the gateway's doing. Gives its time to first token."""
    with scripted() as url:
        held = streamed(url, streams, tokens)
    findings.put("streams.direct_held", held["held"])
    return held["ttft_p99_ms"]


def _streams(
    findings: Findings, bawn: installation.Installation, streams: int, tokens: int, directly: float | None
) -> None:
    held = streamed(bawn.url, streams, tokens, bawn.inside)
    findings.put("streams.held", held["held"])
    findings.put("streams.lost", held["lost"])
    findings.put("streams.ttft_p99_ms", held["ttft_p99_ms"])
    findings.put("streams.late_p99_ms", held["late_p99_ms"])
    if directly is not None:
        findings.put("streams.added_ttft_p99_ms", held["ttft_p99_ms"] - directly)


def _memory(findings: Findings, bawn: installation.Installation, calls: int) -> None:
    """Resident memory after the first tenth of the calls and after all of them."""
    start, done = 0.0, 0
    while done < calls:
        done += pressed(bawn.url, connections=CONNECTIONS, seconds=2, pid=bawn.inside).requests
        start = start or processes.resident_mb(bawn.gateway)
    after = processes.resident_mb(bawn.gateway)
    findings.put("memory.start_mb", start)
    findings.put("memory.rss_mb", after)
    findings.put("memory.growth_mb", after - start)
    findings.put("memory.calls", done)


def _peers(findings: Findings, home: Path, mock: int, seconds: int) -> None:
    lanes: dict[str, Callable[[Path, int], AbstractContextManager[peers.Peer]]] = {
        "litellm": peers.litellm,
        "portkey": peers.portkey,
    }
    for name, started in lanes.items():
        with _lane(findings, name), started(home, mock) as peer:
            many, one = _both_loads(peer.url, seconds, headers=peer.headers)
            findings.put(f"{name}.rps", many.rps)
            findings.put(f"{name}.ratio_nginx", many.rps / findings.metrics["nginx.rps"])
            findings.put(f"{name}.p99_ms", one.p99_ms)


if __name__ == "__main__":
    sys.exit(main())
