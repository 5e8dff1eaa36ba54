"""How much a customer, or each of its containers, may use in a day, and of which models.

A call reserves before it is sent what it may use at most as far as that can be told: its text at four bytes a token, and
the output it asks for. When it ends it counts with what it used. A call of which nobody knows what it used counts with
what it had reserved; one that no provider answered counts with nothing; nor does an answer from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from bawn.config.patterns import Pattern
from bawn.config.section import Section
from bawn.errors import Fault, quoted
from bawn.guardrails.settings import Dollars
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint, Usage
from bawn.terms.principal import Container
from bawn.transforms.cache import NOTE
from bawn.transforms.counts import Counts
from bawn.transforms.quota_book import Limit, QuotaBook
from bawn.transforms.tool_settings import PatternText

_BYTES_PER_TOKEN = 4
_BYTES_PER_TOKEN_OF_DATA = 64
"""Images and files in a body: a provider counts far fewer tokens for them than they have bytes."""
_LARGE = 64 * 2**10
_FREE = frozenset({Endpoint.COUNT_TOKENS, Endpoint.GEMINI_COUNT, Endpoint.MODELS, Endpoint.PROBE})
_OBJECTS = frozenset(
    {
        Endpoint.KEPT_RESPONSES,
        Endpoint.CONVERSATIONS,
        Endpoint.FILES,
        Endpoint.BATCHES,
        Endpoint.VECTOR_STORES,
        Endpoint.OTHER,
    }
)
"""Calls about what a provider keeps: they name no model, and what they use is known in the end."""
_NOTHING_USED = ("refused", "upstream_error")


class Customer(Section):
    """One quota."""

    containers: tuple[PatternText, ...] = Field(
        default=(), description="Names of containers whose calls count here: exact, with `*` and `?`, or `re:`."
    )
    projects: tuple[PatternText, ...] = Field(default=(), description="The same for projects, all containers of them.")
    each: bool = Field(default=False, description="Whether each container has this much, instead of all together.")
    tokens_per_day: int | None = Field(default=None, ge=0, description="Input and output tokens of a day (UTC).")
    usd_per_day: Dollars | None = Field(default=None, description="US dollars of a day (UTC).")
    models: tuple[PatternText, ...] = Field(
        default=(), description="Patterns of `provider/model` that may be called; empty: all."
    )
    default_model: str = Field(
        default="", description="Called instead of a model that may not be; empty: such a call is refused."
    )

    @model_validator(mode="after")
    def _about_somebody(self) -> Customer:
        if not self.containers and not self.projects:
            raise ValueError(
                "a quota counts for nobody without `containers` or `projects`; write e.g. containers: ['*']"
            )
        if self.tokens_per_day is None and self.usd_per_day is None and not self.models:
            raise ValueError("a quota needs `tokens_per_day`, `usd_per_day` or `models`")
        if self.default_model and not any(Pattern(each).fits(self.default_model) for each in self.models):
            raise ValueError("`default_model` is none of `models`")
        return self


class Quota(Section):
    """How much may be used, by whom."""

    customers: dict[str, Customer] = Field(
        min_length=1, description="Name → quota. A call counts for every customer that its container belongs to."
    )
    output_tokens: int = Field(
        default=4096, ge=0, description="Output tokens that are held for a running call that names no limit of its own."
    )
    unpriced: Literal["refuse", "allow"] = Field(
        default="refuse", description="What becomes of a model without a known price where `usd_per_day` holds."
    )


class _Compiled:
    def __init__(self, name: str, settings: Customer) -> None:
        self.name = name
        self.settings = settings
        self._containers = [Pattern(each) for each in settings.containers]
        self._projects = [Pattern(each) for each in settings.projects]
        self._models = [Pattern(each) for each in settings.models]

    def counts(self, container: Container) -> bool:
        return any(each.fits(container.name) for each in self._containers) or any(
            each.fits(container.project) for each in self._projects
        )

    def allows(self, model: str) -> bool:
        return not self._models or any(each.fits(model) for each in self._models)

    def limit(self, container: Container) -> Limit:
        # By the uuid: another container of the same name begins with a quota of its own.
        subject = f"{self.name}/{container.uuid}" if self.settings.each else self.name
        return Limit(subject, self.settings.tokens_per_day, self.settings.usd_per_day)


def _itself(container: Container) -> Container:
    return container


class QuotaStage:
    """Replaced on reload; what was used stays in the book. `works_for`: the container whose task another does.

    What the other uses counts for the one as well, or a container would get round its quota by asking for tasks.
    """

    name = "quota"

    def __init__(
        self,
        settings: Quota,
        book: QuotaBook,
        resolve: Callable[[str], str],
        cost: Callable[[str, Usage], Decimal | None],
        clock: Clock,
        counts: Counts,
        works_for: Callable[[Container], Container] = _itself,
    ) -> None:
        self._works_for = works_for
        self._settings = settings
        self._customers = [_Compiled(name, each) for name, each in settings.customers.items()]
        self._book = book
        self._resolve = resolve
        self._cost = cost
        self._clock = clock
        self.counts = counts

    async def request(self, asked: Asked) -> Given | None:
        container, asker = asked.container, self._works_for(asked.container)
        about = [each for each in self._customers if each.counts(asker) or each.counts(container)]
        if not about or asked.exchange.endpoint in _FREE:
            return None
        target = self._permitted(asked, about)
        limits = [each.limit(asker if each.counts(asker) else container) for each in about]
        limits = [limit for limit in limits if limit.tokens is not None or limit.usd is not None]
        if limits:
            usage = self._estimate(asked)
            try:
                usd = self._price(target, usage, limits)
                tokens = usage.input_tokens + usage.output_tokens
                self._book.reserve(asked.call, limits, tokens, usd, self._clock.now())
            except Fault:
                self.counts.add("refused")
                raise
        return None

    def view(self, asked: Asked) -> View | None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        usage = ending.usage
        if NOTE in asked.notes or (usage is None and ending.outcome in _NOTHING_USED):
            self._book.settle(asked.call, 0, Decimal(0))
            return
        tokens = usage.input_tokens + usage.output_tokens if usage is not None else None
        self._book.settle(asked.call, tokens, Decimal(str(ending.cost_usd)) if ending.cost_usd is not None else None)

    def _permitted(self, asked: Asked, about: Sequence[_Compiled]) -> str:
        """The resolved model, once all of them allow it; empty when there is none to be judged here."""
        if asked.exchange.endpoint in _OBJECTS:
            return ""
        wanted = asked.exchange.model
        target = self._resolved(wanted)
        for customer in about:
            if customer.allows(target):
                continue
            default = customer.settings.default_model
            document = asked.document if default else None
            if document is None:
                self.counts.add("refused")
                raise Fault(
                    "quota.model_refused",
                    f"The model {quoted(wanted)} is not among those of this container's quota.",
                    cause=f"the quota {customer.name}",
                )
            document.set_model(default)
            target = default
            asked.notes.append(("quota.model", default))
            self.counts.add("replaced")
        refusing = next((each for each in about if not each.allows(target)), None)
        if refusing is not None:  # what one replaced by its default, another does not allow
            raise Fault(
                "quota.model_refused",
                f"No model that was asked for or stands in for it is among those of all quotas: {quoted(target)} is not.",
                cause=f"the quota {refusing.name}",
            )
        return target

    def _resolved(self, model: str) -> str:
        try:
            return self._resolve(model)
        except Fault:  # no such model: replaced where there is a default, else refused by the permissions
            return ""

    def _price(self, target: str, usage: Usage, limits: Sequence[Limit]) -> Decimal | None:
        if all(limit.usd is None for limit in limits):
            return None
        usd = self._cost(target, usage) if target else Decimal(0)
        if usd is None and self._settings.unpriced == "refuse":
            raise Fault(
                "quota.model_refused",
                f"What {quoted(target)} costs is not known, and this container's quota is one of cost.",
                cause=f"no price for {target}; quota.unpriced is refuse",
            )
        return usd

    def _estimate(self, asked: Asked) -> Usage:
        exchange = asked.exchange
        if exchange.endpoint in _OBJECTS:
            return Usage()
        size = len(exchange.body)
        tokens = size // _BYTES_PER_TOKEN
        document = asked.document if size > _LARGE else None
        if document is not None:
            text = min(size, sum(len(spot.text) for spot in document.spots))
            tokens = text // _BYTES_PER_TOKEN + (size - text) // _BYTES_PER_TOKEN_OF_DATA
        wanted = exchange.max_output_tokens
        return Usage(tokens, self._settings.output_tokens if wanted is None else wanted)
