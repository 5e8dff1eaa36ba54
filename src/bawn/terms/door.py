"""The doors of a container: loopback addresses inside its namespace that a host process answers.

One loopback address a door, so that the Host header never selects one and doors can belong to
different processes (`docs/architecture.md`, "The door"). Standard library only: the supervisor, which runs as
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


PLACES: dict[DoorKind, Place] = {
    DoorKind.AI: Place("127.0.0.2", 80, "ai.bawn.internal", "gateway"),
    DoorKind.EGRESS: Place("127.0.0.3", 3128, "egress.bawn.internal", "egress"),
    DoorKind.MCP: Place("127.0.0.4", 80, "mcp.bawn.internal", "mcp"),
    DoorKind.PACKAGES: Place("127.0.0.5", 80, "packages.bawn.internal", "packages"),
}
"""Doors with a fixed place; `exec-<n>.bawn.internal` follow from 127.0.0.10 on."""

OPEN_NOW: tuple[DoorKind, ...] = (DoorKind.AI, DoorKind.EGRESS, DoorKind.PACKAGES)
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
