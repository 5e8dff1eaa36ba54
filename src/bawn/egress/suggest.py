"""Rules that would have let through what was refused. A proposal for a person; nothing here applies it."""

from __future__ import annotations

from collections.abc import Iterable

from bawn.egress.hosts import BadHostError, normal_host
from bawn.egress.policy import METADATA_NAMES

SUGGESTABLE = frozenset({"egress.not_allowed"})
"""Everything else was refused for a reason that a rule would not change, or should not."""


def suggested(denials: Iterable[tuple[str, int, str]]) -> list[str]:
    """`name:port,port` for each name that no rule knew, by name; from (host, port, code)."""
    ports: dict[str, set[int]] = {}
    for host, port, code in denials:
        try:
            name = normal_host(host)
        except BadHostError:
            continue
        if code in SUGGESTABLE and 0 < port < 65536 and name not in METADATA_NAMES:
            ports.setdefault(name, set()).add(port)
    return [f"{name}:{','.join(map(str, sorted(found)))}" for name, found in sorted(ports.items())]
