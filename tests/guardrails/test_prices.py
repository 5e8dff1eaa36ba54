"""A price that is known is counted; one that is not is None."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as Counted
from genai_prices import calc_price

from bawn.guardrails import prices
from bawn.guardrails.prices import Prices
from bawn.guardrails.settings import Price
from bawn.terms.exchange import Usage

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-haiku-4-5-20251001"), ("openai", "gpt-5-mini")],
)
def test_a_known_model_costs_what_the_price_list_says(provider: str, model: str) -> None:
    usage = Usage(10_000, 500, 2_000)
    listed = calc_price(
        Counted(input_tokens=10_000, output_tokens=500, cache_read_tokens=2_000),
        model,
        provider_id=provider,
        genai_request_timestamp=NOW,
    )
    cost = Prices().cost(provider, model, usage, NOW)
    assert cost == listed.total_price
    assert cost is not None
    assert cost > 0


@pytest.mark.parametrize(
    ("provider", "model"), [("anthropic", "no-such-model"), ("scripted", "echo"), ("my-own", "gpt-5"), ("", "")]
)
def test_what_is_not_on_the_list_costs_nothing_known(provider: str, model: str) -> None:
    assert Prices().cost(provider, model, Usage(1000, 1000), NOW) is None


def test_unknown_usage_costs_nothing_known() -> None:
    assert Prices().cost("openai", "gpt-5", None, NOW) is None


def test_usage_of_nothing_costs_zero() -> None:
    assert Prices().cost("openai", "gpt-5", Usage(), NOW) == Decimal(0)


def test_counts_that_contradict_each_other_cost_nothing_known() -> None:
    assert Prices().cost("openai", "gpt-5", Usage(10, 1, 20), NOW) is None


def test_what_the_configuration_says_of_a_model_goes_first() -> None:
    held = Prices()
    price = Price(input=Decimal(2), output=Decimal(8), cached=Decimal("0.5"))
    cheap = Price(input=Decimal(1), output=Decimal(1))
    held.hold({"openai": {"gpt-*": cheap, "gpt-5": price, "gpt-5*": cheap}, "local": {"*": cheap}}, {})
    usage = Usage(1_000_000, 500_000, 200_000, 100_000)
    assert held.cost("openai", "gpt-5", usage, NOW) == Decimal("0.7") * 2 + 4 + Decimal("0.1") + Decimal("0.2")
    assert held.cost("openai", "gpt-5-mini", usage, NOW) == Decimal("1.5")
    assert held.cost("local", "anything", usage, NOW) == Decimal("1.5")
    assert held.cost("azure", "gpt-5-2025", usage, NOW, "house") != Decimal("1.5")
    held.hold({"azure": {"house": cheap}}, {})
    assert held.cost("azure", "gpt-5-2025", usage, NOW, "house") == Decimal("1.5"), "by the name it was called by"
    assert held.cost("azure", "house", Usage(10, 1, 20), NOW) is None
    assert held.cost("azure", "house", None, NOW) is None


def test_who_sells_a_model_is_asked_whatever_the_provider_is_called_here() -> None:
    held = Prices()
    held.hold({}, {"work": "anthropic", "cloud": "aws"})
    listed = Prices().cost("anthropic", "claude-sonnet-4-5", Usage(1000, 10), NOW)
    assert held.cost("work", "claude-sonnet-4-5", Usage(1000, 10), NOW) == listed
    assert listed is not None
    assert held.cost("cloud", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Usage(1000, 10), NOW) is not None
    assert held.cost("home", "claude-sonnet-4-5", Usage(1000, 10), NOW) is None


def test_names_that_clients_make_up_are_not_remembered_without_bound() -> None:
    for number in range(3000):
        Prices().cost("openai", f"made-up-{number}", Usage(1, 1), NOW)
    assert prices._price.cache_info().currsize <= 1024
    assert prices._cost.cache_info().currsize <= 1024
