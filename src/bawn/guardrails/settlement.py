"""What is known of a call when it is over: one settlement for each that was sent, one refusal for each that was not."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from bawn.terms.exchange import Endpoint, Usage, WireName

Outcome = Literal["ok", "refused", "upstream_error", "cut", "client_left", "revoked"]


class Settlement(Struct, frozen=True):
    """The one record of a call that was opened, for usage and cost."""

    call: str
    time: datetime
    container_uuid: str
    container_number: int
    session: str
    """The conversation as the client named it; empty when it did not."""
    wire: WireName
    endpoint: Endpoint
    provider: str
    model_requested: str
    """As the client wrote it."""
    model: str
    """As the provider named it in its answer, else as it was asked for."""
    usage: Usage | None
    """None: unknown, which is not zero."""
    usage_estimated: bool
    cost_usd: Decimal | None
    """None: the price of this model, or what was used, is not known."""
    first_byte_ms: int | None
    total_ms: int
    status: int
    outcome: Outcome
    code: str


class Refusal(Struct, frozen=True):
    """A call that was refused or cut, as `bawn why` tells it."""

    time: datetime
    container_uuid: str
    call: str
    code: str
    sentence: str
    cause: str
    """For the operator only."""
    remedy: str
