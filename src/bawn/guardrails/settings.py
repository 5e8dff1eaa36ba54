"""What the operator may say about the limits of containers and the prices of models."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from bawn.config.section import Section

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class Price(Section):
    """What tokens of a model cost, where the price list does not know it or is wrong: US dollars for a million."""

    input: Dollars = Field(description="US dollars for a million input tokens.")
    output: Dollars = Field(description="The same for output.")
    cached: Dollars | None = Field(default=None, description="For input from the cache; empty: as `input`.")
    cache_write: Dollars | None = Field(default=None, description="For input kept in the cache; empty: as `input`.")


class Guardrails(Section):
    """Limits that hold for every container."""

    concurrent_calls: int = Field(
        default=64, ge=1, le=100_000, description="Calls of one container that may run at the same time."
    )
