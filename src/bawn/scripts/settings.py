"""What the operator may say about scripts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from bawn.config.section import Section
from bawn.terms.principal import Container

ExecId = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50})$")]
Whose = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9-]{0,62}\*?|project:[a-z0-9][a-z0-9-]{0,62})$")]
Script = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}/(\*|[1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50})$")
]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]

_PROJECT = "project:"


class Pending(StrEnum):
    ERROR = "error"
    TEXT = "text"


class WorkerLimits(Section):
    """How much of the machine the worker of an exec may take."""

    memory_bytes: int = Field(default=512 << 20, ge=64 << 20, le=1 << 40, description="Memory of one worker.")
    cpus: float = Field(default=1.0, ge=0.05, le=1024, description="Processors' time of one worker.")
    timeout_seconds: float = Field(
        default=300, gt=0, le=3600, description="For one request, where `# @timeout` of the script says no less."
    )
    answer_bytes: int = Field(
        default=16 << 20, ge=1024, le=1 << 30, description="Size of one answer that is not a stream."
    )
    concurrent: int = Field(default=64, ge=1, le=10_000, description="Requests that one worker has at the same time.")


class Scripts(Section):
    """Python of the operator between agents and their models."""

    required: dict[Whose, tuple[ExecId, ...]] = Field(
        default_factory=dict,
        description="Container, by name or pattern with `*` at its end, or `project:NAME` → execs whose scripts every call "
        "of it passes, in this order, by whichever URL.",
    )
    limits: WorkerLimits = Field(default_factory=WorkerLimits)
    env: dict[Script, dict[Variable, SecretName]] = Field(
        default_factory=dict,
        description="`project/exec`, or `project/*` → variable of `ctx.env` → name of a value that `bawn scripts secret` keeps.",
    )
    pending: Pending = Field(
        default=Pending.ERROR,
        description="What an agent gets while a script waits for an approval: an `error` of its wire, or assistant `text`.",
    )

    def required_of(self, container: Container) -> tuple[str, ...]:
        """The execs that every call of a container passes: those of all lines that fit it, none twice."""
        found: dict[str, None] = {}
        for whose, execs in self.required.items():
            if _fits(whose, container):
                found.update(dict.fromkeys(execs))
        return tuple(found)

    def env_of(self, project: str, name: str) -> dict[str, str]:
        """Variable → name of the value, for the worker of one exec; its own line goes before that of the project."""
        return {**self.env.get(f"{project}/*", {}), **self.env.get(f"{project}/{name}", {})}


def _fits(whose: str, container: Container) -> bool:
    if whose.startswith(_PROJECT):
        return whose.removeprefix(_PROJECT) == container.project
    return container.name.startswith(whose[:-1]) if whose.endswith("*") else container.name == whose
