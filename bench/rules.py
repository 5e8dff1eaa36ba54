"""What rules cost: deciding by itself, and plain calls while a hundred of them hold.

python -m bench.rules                 the decisions alone
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, Mitm
from bench import nginx
from bench.installation import Installation
from bench.load import pressed
from bench.report import Findings

_TEXT = ("The walls of a bawn kept cattle safe at night, and people when it had to be. " * 60)[:4096]
_ROUNDS = 20_000
_CONNECTIONS = 64
_TURNS = 3


def written(count: int) -> list[dict[str, object]]:
    """Rules with an expression each, of which none fires on what the bench says."""
    return [
        {
            "id": f"rule-{at}",
            "trigger": {"event": "chat.message", "contentMatch": f"(?i)deploy.*stage{at}|drop table t{at}\\b"},
            "action": {"type": "notification", "title": "seen"},
        }
        for at in range(count)
    ]


def decisions(findings: Findings) -> None:
    """Deciding on a message of 4 KB."""
    for count in (1, 100, 1000):
        rules = RuleSet(Mitm.model_validate({"rules": written(count)}).rules)
        happened = Happening(EventName.CHAT_MESSAGE, "s", "dev", "default", text=_TEXT, role="user")
        times = _times(partial(rules.fired, happened))
        findings.put(f"rules{count}.p50_us", statistics.median(times))
        if count == 100:
            findings.put("rules100.p99_us", statistics.quantiles(times, n=100)[98])


def lane(findings: Findings, home: Path, ports: nginx.Ports, bawn: Installation, seconds: int) -> None:
    """Plain calls with a hundred rules, by turns with nginx."""
    decisions(findings)
    place = home / "hoody.json"
    place.write_text(json.dumps({"mitm": {"rules": written(100)}}))
    place.chmod(0o644)
    bawn.commands("config", "reload")
    try:
        url = f"http://127.0.0.1:{ports.proxy}/v1/chat/completions"
        pressed(bawn.url, connections=8, seconds=1, pid=bawn.inside)
        ratios = []
        for _ in range(_TURNS):
            theirs = pressed(url, connections=_CONNECTIONS, seconds=max(1, seconds // 2))
            ours = pressed(bawn.url, connections=_CONNECTIONS, seconds=max(1, seconds // 2), pid=bawn.inside)
            ratios.append(ours.rps / theirs.rps)
        findings.put("rules.ratio_nginx", statistics.median(ratios))
    finally:
        place.unlink()
        bawn.commands("config", "reload")


def _times(act: Callable[[], object]) -> list[float]:
    """Microseconds of each round."""
    for _ in range(_ROUNDS // 10):
        act()
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1e6)
    return found


if __name__ == "__main__":
    found = Findings()
    decisions(found)
    sys.stdout.write(found.table() + "\n")
