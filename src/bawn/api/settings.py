"""What the operator may say about where the management API listens."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from bawn.config.section import Section

PORT = 7420


class Api(Section):
    """The management API. It is always on the unix socket of this installation, too."""

    host: str = Field(default="127.0.0.1", description="A loopback address; anything else is refused at start.")
    port: int | None = Field(
        default=PORT, ge=1, le=65535, description="For personal tokens; null: the unix socket alone."
    )

    @field_validator("host")
    @classmethod
    def _a_loopback_address(cls, value: str) -> str:
        try:
            loopback = ipaddress.ip_address("127.0.0.1" if value == "localhost" else value).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError("expected a loopback address; write 127.0.0.1 and use a tunnel of your own")
        return value
