"""What the operator may say about questions to people."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from bawn.config.section import Section


class Mode(StrEnum):
    STALL = "stall"
    PENDING = "pending"


class Approvals(Section):
    """How a call waits for a person, and for how long."""

    mode: Mode = Field(
        default=Mode.STALL,
        description=(
            "`stall`: the call waits for the answer. `pending`: it is told the number of its ticket at once, and is made "
            "again after the answer."
        ),
    )
    wait_seconds: float = Field(
        default=240,
        ge=1,
        le=3600,
        description="How long a call that is no stream waits before it is told its ticket; streams wait until it expires.",
    )
    expiry_seconds: float = Field(
        default=3600, ge=1, le=604_800, description="How long a question stays open; how long a rejection stands."
    )
    use_seconds: float = Field(
        default=600, ge=1, le=86_400, description="How long an approval holds that nobody waited for any more."
    )
    open_per_container: int = Field(
        default=16, ge=1, le=1000, description="Open questions of one container; more are refused."
    )
