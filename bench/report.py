"""What a run found: a table for people, `build/bench.json` for programs, and the page in the documentation."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"

GOALS: dict[str, tuple[str, float]] = {
    "identity.ratio_nginx": (">=", 0.20),
    "identity.added_p99_ms": ("<", 0.5),
    "streams.held": (">=", 512),
    "memory.rss_mb": ("<", 120),
    "translate.ratio_nginx": (">=", 0.10),
    "rules1.p50_us": ("<=", 15),
    "rules100.p50_us": ("<=", 40),
    "rules100.p99_us": ("<=", 120),
    "rules1000.p50_us": ("<=", 200),
    "rules.ratio_nginx": (">=", 0.16),
    "prompt1mb.gateway_ms": ("<=", 15),
    "prompt1mb.neighbour_p99_ms": ("<=", 5),
    "interception.ratio_nginx": (">=", 0.18),
    "interception.added_ttft_ms": ("<=", 0.3),
    "interception.streams_held": (">=", 512),
    "script.added_p50_ms": ("<=", 2),
    "cache.hit_p50_ms": ("<=", 1),
    "sandbox.ready_p50_ms": ("<=", 150),
    "sandbox.ready_p99_ms": ("<=", 500),
    "sandbox.idle50_gateway_mb": ("<=", 20),
    "egress.connect_per_s": (">=", 1000),
    "egress.added_p50_ms": ("<", 2),
    "egress.tunnel_ratio_direct": (">=", 0.60),
    "snapshot.100mb_s": ("<=", 1.0),
}
"""What is promised, each with its direction."""

WORDS: dict[str, str] = {
    "nginx.rps": "nginx as a plain proxy, calls a second",
    "nginx.p50_ms": "nginx at concurrency 1, median",
    "nginx.p99_ms": "nginx at concurrency 1, 99th percentile",
    "direct.rps": "the mock without a proxy, calls a second",
    "direct.p50_ms": "the mock at concurrency 1, median",
    "direct.p99_ms": "the mock at concurrency 1, 99th percentile",
    "identity.rps": "Bawn through a container's door, calls a second",
    "identity.ratio_nginx": "Bawn's rate as a share of nginx's",
    "identity.p50_ms": "Bawn at concurrency 1, median",
    "identity.p99_ms": "Bawn at concurrency 1, 99th percentile",
    "identity.added_p50_ms": "added to the mock, median",
    "identity.added_p99_ms": "added to the mock, 99th percentile",
    "translate.rps": "chat completions translated to messages and back, calls a second",
    "translate.ratio_nginx": "that rate as a share of nginx's",
    "rules1.p50_us": "deciding which of 1 rule fires on a message of 4 KB, median, µs",
    "rules100.p50_us": "of 100 rules with expressions, median, µs",
    "rules100.p99_us": "of 100 rules with expressions, 99th percentile, µs",
    "rules1000.p50_us": "of 1,000 rules with expressions, median, µs",
    "rules.ratio_nginx": "plain calls a second with 100 rules, as a share of nginx's",
    "prompt1mb.gateway_ms": "processor time of the gateway for a prompt of 1 MB, ms",
    "prompt1mb.alone_p99_ms": "lateness of a token in 16 small streams, 99th percentile",
    "prompt1mb.neighbour_p99_ms": "the same beside ten such prompts a second",
    "streams.held": "streams of 50 tokens a second held whole, of 512",
    "streams.lost": "tokens lost in all streams",
    "streams.ttft_p99_ms": "first token through Bawn, 99th percentile",
    "streams.added_ttft_p99_ms": "first token, added by Bawn, 99th percentile",
    "streams.late_p99_ms": "lateness of a stream's end, 99th percentile",
    "interception.rps": "with rules for tools on, calls a second",
    "interception.ratio_nginx": "that rate as a share of nginx's",
    "steps.rps": "with quotas and alerts on every call as well, calls a second",
    "steps.ratio_nginx": "that rate as a share of nginx's",
    "interception.added_ttft_ms": "first token with rules for tools on, added by Bawn, median of 64 streams",
    "interception.streams_held": "streams of 50 tokens a second held whole with rules for tools on, of 512",
    "script.added_p50_ms": "a script that passes the call on, added to the same call without it, median",
    "cache.hit_p50_ms": "an answer from the cache, median",
    "streams.direct_held": "the same streams without Bawn, held whole",
    "memory.rss_mb": "resident memory of the gateway after all calls, MB",
    "memory.start_mb": "resident memory of the gateway after the first calls, MB",
    "memory.growth_mb": "growth between the two, MB",
    "memory.calls": "calls between the two",
    "sandbox.ready_p50_ms": "a new sandbox until its first command has ended, the slower runtime, median",
    "sandbox.ready_p99_ms": "the same, 99th percentile",
    "sandbox.podman.ready_p50_ms": "of these podman (crun), median",
    "sandbox.podman.ready_p99_ms": "of these podman (crun), 99th percentile",
    "sandbox.bubblewrap.ready_p50_ms": "of these bubblewrap, median",
    "sandbox.bubblewrap.ready_p99_ms": "of these bubblewrap, 99th percentile",
    "sandbox.idle50_gateway_mb": "the gateway's growth for 50 idle sandboxes, MB",
    "egress.connect_per_s": "tunnels opened through the egress door, a second",
    "egress.direct_p50_ms": "a new connection without it, up to the first byte, median",
    "egress.added_p50_ms": "added to that by the egress door, median",
    "egress.direct_mb_s": "one download by TLS without it, MB a second",
    "egress.tunnel_ratio_direct": "one download by TLS through a tunnel, as a share of that rate",
    "egress.bare_ratio_direct": "the same without TLS, where the ends have next to nothing to do",
    "snapshot.create_100mb_s": "a snapshot of a workspace of 100 MB in 1,000 files, seconds",
    "snapshot.restore_100mb_s": "restoring it, with the container ended and made anew, seconds",
    "snapshot.100mb_s": "the slower of the two, seconds",
    "snapshot.copy_s": "copying and removing the same files without Bawn, seconds",
    "litellm.rps": "LiteLLM proxy, calls a second",
    "litellm.ratio_nginx": "LiteLLM's rate as a share of nginx's",
    "litellm.p99_ms": "LiteLLM at concurrency 1, 99th percentile",
    "portkey.rps": "Portkey gateway, calls a second",
    "portkey.ratio_nginx": "Portkey's rate as a share of nginx's",
    "portkey.p99_ms": "Portkey at concurrency 1, 99th percentile",
}
"""Every figure under its one name; a name that is not here cannot be reported."""


@dataclass(slots=True)
class Findings:
    metrics: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Lanes that could not run, with the reason; they have no figure, never zero."""

    def put(self, name: str, value: float) -> None:
        if name not in WORDS:
            raise KeyError(name)
        self.metrics[name] = round(value, 4)

    def table(self) -> str:
        lines = ["| what | name | figure | goal |", "|---|---|---:|---|"]
        for name, words in WORDS.items():
            if name in self.metrics:
                lines.append(
                    f"| {words} | `{name}` | {_shown(self.metrics[name])} | {_judged(name, self.metrics[name])} |"
                )
        lines += [f"\nLeft out: {lane} ({reason})" for lane, reason in self.left_out.items()]
        return "\n".join(lines)

    def write(self) -> Path:
        """Figures of other benches in the same file stay."""
        path = ROOT / "build" / "bench.json"
        path.parent.mkdir(exist_ok=True)
        kept = json.loads(path.read_text())["metrics"] if path.exists() else {}
        kept = {name: value for name, value in kept.items() if name not in WORDS}
        path.write_text(json.dumps({"machine": machine(), "metrics": kept | self.metrics}, indent=2) + "\n")
        return path

    def document(self) -> Path:
        path = ROOT / "docs" / "benchmarks.md"
        text = path.read_text() if path.exists() else f"# Benchmarks\n\n{_BEGIN}\n{_END}\n"
        before, _, rest = text.partition(_BEGIN)
        after = rest.partition(_END)[2]
        path.write_text(f"{before}{_BEGIN}\nMachine: {machine()}.\n\n{self.table()}\n{_END}{after}")
        return path


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.3f}"


def _judged(name: str, value: float) -> str:
    if name not in GOALS:
        return ""
    sign, goal = GOALS[name]
    reached = value >= goal if sign == ">=" else value <= goal if sign == "<=" else value < goal
    return f"{sign} {goal:g} {'✓' if reached else '✗ missed'}"


def machine() -> str:
    """Processor, cores, memory, kernel and Python: what a figure means nothing without."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().partition("-")[0]
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {kernel}, Python {platform.python_version()}"
