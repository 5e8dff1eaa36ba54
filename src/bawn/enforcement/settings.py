"""What the operator may say about how rules work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from bawn.config.patterns import sound
from bawn.config.section import Section

_User = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_.-]{0,31})?$")]
_Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


class Rules(Section):
    """How rules (`mitm`) work here; see [rules.md](rules.md)."""

    container_tags: dict[str, tuple[_Tag, ...]] = Field(
        default_factory=dict, description="Tags that all sessions of a container carry, by its name or a glob."
    )
    private_webhooks: tuple[str, ...] = Field(
        default=(), description="Names of hosts that webhooks may reach although their addresses are not public."
    )
    webhook_attempts: int = Field(default=4, ge=1, le=20, description="How often a webhook is tried.")
    webhook_seconds: float = Field(default=10, gt=0, le=120, description="For one attempt.")
    command_bytes: int = Field(
        default=65536, ge=0, le=10 * 2**20, description="What a command may print before it is ended."
    )
    host_user: _User = Field(
        default="",
        description="As whom commands with `host: true` run on this host; empty: they are refused. Holds from the next start on.",
    )

    @field_validator("container_tags")
    @classmethod
    def _names(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in value:
            sound(name)
        return value
