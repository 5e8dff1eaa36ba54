"""What the operator may say about going on when a provider fails."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from bawn.config.section import Section

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class Backoff(Section):
    """How long is waited before a target is tried again: a random part of what doubles with each try."""

    base_seconds: float = Field(default=0.5, ge=0, le=60, description="The longest wait before the second try.")
    cap_seconds: float = Field(default=8, ge=0, le=600, description="The longest wait before any try.")

    @model_validator(mode="after")
    def _in_order(self) -> Backoff:
        if self.cap_seconds < self.base_seconds:
            raise ValueError("cap_seconds is less than base_seconds")
        return self


class Breaker(Section):
    """When a provider, or one of its keys, is left alone for a while."""

    failures: int = Field(
        default=5, ge=1, le=1000, description="Failures that open it, when they are half of all tries or more."
    )
    window_seconds: Seconds = Field(default=30, description="The time in which tries are counted.")
    open_seconds: Seconds = Field(default=30, description="How long it stays open; then one call tries.")


class Failover(Section):
    """Where a call goes on when its provider fails. Without chains, every call has one try and its answer passes."""

    chains: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict,
        description="Model → where to go on, in order. On the left an alias or `provider/model`, a trailing `*` being any "
        "ending; on the right the same without `*`. An empty list only has the model tried again.",
    )
    retries: int = Field(default=1, ge=0, le=10, description="How often one target is tried again.")
    backoff: Backoff = Field(default_factory=Backoff)
    retry_after_seconds: float = Field(
        default=20,
        ge=0,
        le=600,
        description="The longest `retry-after` that is waited for; one that asks for more sends the call on at once.",
    )
    breaker: Breaker = Field(default_factory=Breaker)
    first_token_seconds: Seconds = Field(
        default=120,
        description="How long a stream is waited for until its first visible part, where the call can still go on.",
    )
    answer_seconds: Seconds = Field(
        default=240, description="The same for a whole answer that is not a stream, where the call can still go on."
    )
    deadline_seconds: Seconds = Field(
        default=590,
        description="For all tries together, until the answer begins to go out. A client that says how long it waits "
        "(`x-stainless-timeout`) shortens it.",
    )
    hedge_ms: int | None = Field(
        default=None,
        ge=10,
        le=600_000,
        description="When nothing has come after this time, the next target is asked as well, and the first to answer "
        "holds: both may be billed. Empty: never.",
    )
    on_content_filter: Literal["stop", "next"] = Field(
        default="stop", description="`next`: what a provider's filter refuses is asked of the next target."
    )
    on_context_length: Literal["stop", "next"] = Field(
        default="stop", description="`next`: what is too long for a model is asked of the next target."
    )

    @model_validator(mode="after")
    def _plain_targets(self) -> Failover:
        for name, targets in self.chains.items():
            if "*" in name[:-1] or any("*" in target for target in targets):
                raise ValueError(
                    f"the chain of {name!r}: `*` stands at the end of a name on the left, and nowhere else"
                )
        return self
