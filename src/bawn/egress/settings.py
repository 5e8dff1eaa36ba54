"""What the operator may say about the ways out: rules, and values that are put in only at the door."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from bawn.config.section import Section

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
QueryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class EgressRule(Section):
    """One place that may be reached, in the long form."""

    host: str = Field(
        min_length=1, max_length=255, description="`example.org`, or `*.example.org` for what is below it."
    )
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(default=(443,), description="Ports there.")
    methods: tuple[Method, ...] = Field(default=(), description="HTTP methods; none named means all.")
    paths: tuple[str, ...] = Field(default=(), description="Beginnings of paths; none named means all.")
    bytes: int | None = Field(
        default=None, ge=1, description="Bytes that a container may send there while the proxy runs."
    )
    seconds: float | None = Field(default=None, gt=0, description="How long one connection may last.")
    credential: Name | None = Field(default=None, description="A value of `egress.credentials` that is put in here.")
    git: str | None = Field(
        default=None,
        description="`owner/name`: one repository of this forge, and nothing else there; fetching is free.",
    )
    push: tuple[str, ...] = Field(
        default=(),
        description="Branches of it that may be pushed to; `name/*` means all below, but no customary main branch.",
    )


class Credential(Section):
    """A value that containers use without holding it: they send a placeholder, the door puts the value in."""

    host: str = Field(min_length=1, max_length=255, description="The one host that it is for.")
    header: HeaderName | None = Field(default=None, description="The header in which it is sent.")
    query: QueryName | None = Field(default=None, description="The query parameter in which it is sent.")
    containers: tuple[str, ...] = Field(default=(), description="Names of the containers that may use it.")
    uses: int | None = Field(
        default=None, ge=1, description="Requests for which each container may use it while the proxy runs."
    )
    require: bool = Field(
        default=True, description="Whether a request there that brings a value of its own is refused."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.query is None):
            raise ValueError("name either `header` or `query`, the one place where the value is sent")
        return self


Rules = tuple[str | EgressRule, ...]


class Egress(Section):
    """What may leave the containers besides model calls. Nothing said means nothing leaves."""

    allow: Rules = Field(
        default=(), description="Rules for every container: `example.org:443`, `@pip`, or the long form."
    )
    containers: dict[Name, Rules] = Field(
        default_factory=dict, description="More rules for single containers, by name."
    )
    credentials: dict[Name, Credential] = Field(
        default_factory=dict, description="Values put in at the door; `bawn credentials add` keeps the secret itself."
    )
