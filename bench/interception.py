"""Calls that are looked at: rules for tools, then a script before them, then quotas and alerts as well, then a cache.

An installation of its own, since what is measured elsewhere is Bawn as it comes.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from bench import installation, nginx
from bench.load import pressed
from bench.report import Findings
from bench.streamed import scripted, streamed

TURNS = 5
_PATH = "/v1/chat/completions"
_RULES = "".join(
    f'      - {{name: rule{each}, tools: ["tool{each}_*"], when: {{command: "re:rm +-rf /srv/{each}"}}, action: deny}}\n'
    for each in range(20)
)
_PIPELINE = f"""\
transforms:
  tools:
    rules:
{_RULES}\
"""
_STEPS = """\
  quota: {customers: {all: {containers: ["*"], tokens_per_day: 1000000000000}}}
  alert: {rules: [{tokens: 1000000000}]}
"""
_CACHE = "  cache: {any_temperature: true}\n"
_SCRIPT = "async def handle(req, res, ctx):\n    return await ctx.upstream(req)\n"
_EXEC = "http://127.0.0.10/api/v1/chat/completions"
_HOST = {"Host": "exec-1.bawn.internal"}


def lane(findings: Findings, home: Path, ports: nginx.Ports, seconds: int) -> None:
    """All of it, in an installation of its own."""
    place = home / "intercepted"
    place.mkdir(mode=0o755)
    with installation.running(place, ports.mock, _PIPELINE) as bawn:
        _rate(findings, ports, bawn, max(1, seconds // 2), "interception")
        _streams(findings, bawn, 512 if seconds > 2 else 64)
        _script(findings, bawn, max(1, seconds // 2))
        _also(bawn, _STEPS)
        _rate(findings, ports, bawn, max(1, seconds // 4), "steps")
        _also(bawn, _CACHE)
        pressed(bawn.url, connections=1, seconds=1, pid=bawn.inside)
        findings.put("cache.hit_p50_ms", pressed(bawn.url, connections=1, seconds=seconds, pid=bawn.inside).p50_ms)


def _also(bawn: installation.Installation, more: str) -> None:
    bawn.config.write_text(bawn.config.read_text() + more)
    bawn.commands("config", "reload")


def _rate(findings: Findings, ports: nginx.Ports, bawn: installation.Installation, seconds: int, name: str) -> None:
    """By turns with nginx, as the lane without all this."""
    pressed(bawn.url, connections=8, seconds=1, pid=bawn.inside)
    ratios, rates = [], []
    for _ in range(TURNS):
        theirs = pressed(f"http://127.0.0.1:{ports.proxy}{_PATH}", connections=64, seconds=seconds)
        ours = pressed(bawn.url, connections=64, seconds=seconds, pid=bawn.inside)
        ratios.append(ours.rps / theirs.rps)
        rates.append(ours.rps)
    findings.put(f"{name}.rps", statistics.median(rates))
    findings.put(f"{name}.ratio_nginx", statistics.median(ratios))


def _streams(findings: Findings, bawn: installation.Installation, streams: int) -> None:
    added = []
    with scripted() as url:
        for _ in range(TURNS):
            direct = streamed(url, 64, 100)
            through = streamed(bawn.url, 64, 100, bawn.inside)
            added.append(through["ttft_p50_ms"] - direct["ttft_p50_ms"])
    findings.put("interception.added_ttft_ms", statistics.median(added))
    findings.put("interception.streams_held", streamed(bawn.url, streams, 500, bawn.inside)["held"])


def _script(findings: Findings, bawn: installation.Installation, seconds: int) -> None:
    file = "default/1/api/v1/[...path].py"
    bawn.commands("scripts", "write", file, "-", said=_SCRIPT.encode())
    pressed(_EXEC, connections=1, seconds=1, pid=bawn.inside, headers=_HOST)
    added = []
    for _ in range(TURNS):
        without = pressed(bawn.url, connections=1, seconds=seconds, pid=bawn.inside)
        scripted = pressed(_EXEC, connections=1, seconds=seconds, pid=bawn.inside, headers=_HOST)
        added.append(scripted.p50_ms - without.p50_ms)
    findings.put("script.added_p50_ms", statistics.median(added))
