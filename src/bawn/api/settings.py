"""What the operator may say about where the management API listens."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from bawn.config.section import Section

PORT = 7420

PublicHost = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$")]
"""As it stands in the Host header: small letters, with a port unless it is the usual one."""


class Api(Section):
    """The management API. It is always on the unix socket of this installation, too."""

    host: str = Field(default="127.0.0.1", description="A loopback address; anything else is refused at start.")
    port: int | None = Field(
        default=PORT, ge=1, le=65535, description="For personal tokens; null: the unix socket alone."
    )

    public_hosts: list[PublicHost] = Field(
        default_factory=list,
        description="Hosts of your own tunnel under which links to containers' ports are answered.",
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
