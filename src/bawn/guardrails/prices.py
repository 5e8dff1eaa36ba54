"""What a call cost, by the price list that comes with `genai-prices`; nothing is fetched.

A model without a price costs None, never zero: unknown is a value. The provider's configured name is looked
up first; one that the list does not know (an own gateway, a local server) has no prices here, because the same
model may cost something else there.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as Counted
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelPrice, Provider

from bawn.terms.exchange import Usage

_KEPT = 1024
"""Clients choose the names of models and the numbers of tokens; what is remembered about them is bounded."""


class Prices:
    def cost(self, provider: str, model: str, usage: Usage | None, at: datetime) -> Decimal | None:
        """US dollars, or None when usage or price is not known."""
        if usage is None or _seller(provider) is None:
            return None
        return _cost(provider, model, usage, at.replace(minute=0, second=0, microsecond=0))


@lru_cache(_KEPT)
def _cost(provider: str, model: str, usage: Usage, hour: datetime) -> Decimal | None:
    price = _price(provider, model, hour)
    if price is None:
        return None
    counted = Counted(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return price.calc_price(counted)["total_price"]
    except (ValueError, ArithmeticError):  # counts that contradict each other, e.g. more cached than given
        return None


@lru_cache(_KEPT)
def _price(provider: str, model: str, hour: datetime) -> ModelPrice | None:
    """Prices change by date, some by the hour of the day."""
    seller = _seller(provider)
    # Asked directly: the package's own look-up remembers every name it was ever asked for.
    found = seller.find_model(model, all_providers=get_snapshot().providers) if seller is not None else None
    return found.get_prices(hour) if found is not None else None


@lru_cache(_KEPT)
def _seller(provider: str) -> Provider | None:
    return find_provider_by_id(get_snapshot().providers, provider)
