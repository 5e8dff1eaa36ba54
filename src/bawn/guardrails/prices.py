"""What a call cost, by the price list that comes with `genai-prices`; nothing is fetched.

A model without a price costs None, never zero: unknown is a value. What the configuration says of a model goes first.
Then the list is asked for who sells it: the owner of the address, where a provider is called at its own, else whoever
has the provider's configured name. One that the list does not know (an own gateway, a local server) has no prices
here, because the same model may cost something else there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as Counted
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelPrice, Provider

from bawn.guardrails.settings import Price
from bawn.terms.exchange import Usage

_MILLION = Decimal(1_000_000)
_KEPT = 1024
"""Clients choose the names of models and the numbers of tokens; what is remembered about them is bounded."""


class Prices:
    """The list, and what a configuration says beside it."""

    def __init__(self) -> None:
        self._said: dict[str, list[tuple[str, Price]]] = {}
        self._sellers: dict[str, str] = {}

    def hold(self, said: Mapping[str, Mapping[str, Price]], sellers: Mapping[str, str]) -> None:
        """From now on: prices by provider and model, where a trailing `*` is any ending, and sellers by provider."""
        self._said = {
            provider: sorted(models.items(), key=lambda pair: (pair[0].endswith("*"), -len(pair[0])))
            for provider, models in said.items()
            if models
        }
        self._sellers = dict(sellers)

    def cost(self, provider: str, model: str, usage: Usage | None, at: datetime, called: str = "") -> Decimal | None:
        """US dollars, or None when usage or price is not known. `called`: the model by the name it was called by."""
        if usage is None:
            return None
        for pattern, price in self._said.get(provider, ()):
            if _fits(pattern, called or model) or _fits(pattern, model):
                return _by(price, usage)
        seller = self._sellers.get(provider, provider)
        if _seller(seller) is None:
            return None
        return _cost(seller, model, usage, at.replace(minute=0, second=0, microsecond=0))


def _fits(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


def _by(price: Price, usage: Usage) -> Decimal | None:
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    if plain < 0:  # counts that contradict each other
        return None
    cached = price.input if price.cached is None else price.cached
    written = price.input if price.cache_write is None else price.cache_write
    total = plain * price.input + usage.output_tokens * price.output
    return (total + usage.cached_tokens * cached + usage.cache_write_tokens * written) / _MILLION


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
