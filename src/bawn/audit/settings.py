"""What the operator may say about the record."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from bawn.config.section import Section


class Durability(StrEnum):
    STRICT = "strict"
    RELAXED = "relaxed"


class Audit(Section):
    """How surely an event is on the disk before it takes effect."""

    durability: Durability = Field(
        default=Durability.STRICT,
        description=(
            "`strict`: nothing takes effect before its record is on the disk. `relaxed`: before it is on its way to "
            "the writer; a power cut may lose the last tenth of a second."
        ),
    )
    rotate_bytes: int = Field(
        default=256 * 2**20, ge=2**20, le=2**40, description="Size at which a file of the log is closed."
    )
