"""The doors of a container: loopback addresses inside its namespace that a host process answers.

One loopback address a door, so that the Host header never selects one and doors can belong to
different processes (`docs/architecture.md`, "The door"). Behind the exec door all scripts of the container's own project
stand together, and there the Host header says which of them is meant; whose container it is, it never says. Standard library
only: the supervisor, which runs as
root, reads this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DoorKind(StrEnum):
    AI = "ai"
    EGRESS = "egress"
    MCP = "mcp"
    PACKAGES = "packages"
    EXEC = "exec"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kind of door stands in every container, by which name, and which process answers it."""

    address: str
    port: int
    hostname: str
    owner: str
    further: tuple[str, ...] = ()
    """Other names of the same place."""


EXECS = 32
"""Numbers of execs that every container knows by name from its start, whether there are scripts behind them or not."""


def exec_host(name: str) -> str:
    return f"exec-{name}.bawn.internal"


PLACES: dict[DoorKind, Place] = {
    DoorKind.AI: Place("127.0.0.2", 80, "ai.bawn.internal", "gateway"),
    DoorKind.EGRESS: Place("127.0.0.3", 3128, "egress.bawn.internal", "egress"),
    DoorKind.MCP: Place("127.0.0.4", 80, "mcp.bawn.internal", "mcp"),
    DoorKind.PACKAGES: Place("127.0.0.5", 80, "packages.bawn.internal", "packages"),
    DoorKind.EXEC: Place(
        "127.0.0.10", 80, exec_host("1"), "gateway", tuple(exec_host(str(number)) for number in range(2, EXECS + 1))
    ),
}

OPEN_NOW: tuple[DoorKind, ...] = (DoorKind.AI, DoorKind.EGRESS, DoorKind.PACKAGES, DoorKind.EXEC)
"""The kinds opened for every container today; a new kind of door is added here and nowhere else."""


@dataclass(frozen=True, slots=True)
class Door:
    """One open door: a listening socket in the namespace of one container."""

    kind: DoorKind
    container_uuid: str
    address: str
    port: int
    owner: str
    """The process that accepts on it."""
