"""What a call cost, by the price list that ships with `genai-prices`. Offline: the list is as old as the package.

Unknown is None and never zero: a model without a price, or a call whose usage nobody counted.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import genai_prices

from bawn.terms.exchange import Usage

_UNKNOWN_KEPT = 4096


class Prices:
    """Looks prices up; remembers which models have none, since that search is the slow one."""

    def __init__(self) -> None:
        self._unknown: set[tuple[str, str]] = set()

    def cost(self, provider: str, model: str, usage: Usage | None, at: datetime) -> Decimal | None:
        """In US dollars. `provider` is the name in the configuration; one that the list does not know has no prices."""
        if usage is None or (provider, model) in self._unknown:
            return None
        used = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens or None,
            cache_write_tokens=usage.cache_write_tokens or None,
        )
        try:
            found = genai_prices.calc_price(used, model, provider_id=provider, genai_request_timestamp=at)
        except (LookupError, ValueError):
            # ValueError: counts that contradict each other, such as more cached than sent; no price is right then.
            if len(self._unknown) < _UNKNOWN_KEPT:
                self._unknown.add((provider, model))
            return None
        return found.total_price
