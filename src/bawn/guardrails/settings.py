"""What the operator may say about limits."""

from __future__ import annotations

from pydantic import Field

from bawn.config.section import Section


class Guardrails(Section):
    concurrent_calls: int = Field(
        default=64, ge=1, le=100_000, description="Calls to models that one container may have running at once."
    )
