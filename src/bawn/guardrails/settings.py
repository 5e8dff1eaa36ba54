"""What the operator may say about the limits of containers."""

from __future__ import annotations

from pydantic import Field

from bawn.config.section import Section


class Guardrails(Section):
    """Limits that hold for every container."""

    concurrent_calls: int = Field(
        default=64, ge=1, le=100_000, description="Calls of one container that may run at the same time."
    )
