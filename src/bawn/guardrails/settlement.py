"""What is left of a call when it is over: one settlement each, and one refusal for each that was refused."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from bawn.terms.exchange import Endpoint, Usage, WireName

Outcome = Literal["ok", "refused", "upstream_error", "cut", "client_left", "revoked"]


class Settlement(Struct, frozen=True):
    call: str
    time: datetime
    """When it was over."""
    container_uuid: str
    container_number: int
    session: str
    """The conversation as the client names it; empty when it does not."""
    wire: WireName
    endpoint: Endpoint
    provider: str
    model_requested: str
    """As the client wrote it."""
    model: str
    """As the provider answered, or as it was called when no answer named one."""
    usage: Usage | None
    """None: not known."""
    usage_estimated: bool
    cost_usd: Decimal | None
    """None: not known. Never zero for want of a price."""
    first_byte_ms: int | None
    total_ms: int
    status: int
    outcome: Outcome
    code: str
    """Of the fault; empty when there was none."""


class Refusal(Struct, frozen=True):
    """A no, as `bawn why` tells it."""

    time: datetime
    container_uuid: str
    call: str
    code: str
    sentence: str
    cause: str
    """For the operator only."""
    remedy: str
    method: str = ""
    endpoint: str = ""
    """The path, as far as it is known what was asked for."""
    model: str = ""
    """As the client wrote it."""
