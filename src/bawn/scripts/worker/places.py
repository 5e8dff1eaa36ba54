"""What the worker is told when it starts, and where things stand in its box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Places:
    scripts: str = "/scripts"
    """The project's folder; the files of this exec id in the folder of its name."""
    data: str = "/data"
    modules: str = "/modules"
    door: str = "/run/bawn/door/door.sock"
    egress: str = "/run/bawn/egress"


@dataclass(frozen=True, slots=True)
class About:
    """Whose worker this is."""

    project: str
    exec_id: str
    env: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    """Of one process; 0: no limit of its own."""
    pids: int = 0
    open_files: int = 0
    places: Places = field(default_factory=Places)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> About:
        rest = {name: value for name, value in said.items() if name != "places"}
        return cls(**rest, places=Places(**said.get("places", {})))
