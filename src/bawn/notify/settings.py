"""What the operator may say about notices: where they go, and how many."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from bawn.config.section import Section

SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]


class SinkKind(StrEnum):
    FILE = "file"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class Sink(Section):
    """One place that notices go to."""

    kind: SinkKind = Field(
        description="`file`: one JSON object a line, in `state/notices-NAME.jsonl`; `webhook`: the same object, posted; "
        "`apprise`: in words, to one of the services that apprise knows."
    )
    url: str | None = Field(
        default=None,
        description=(
            "Of a webhook or apprise: where. Empty: the address is a secret, kept with `bawn keys add notify-NAME`."
        ),
    )

    @model_validator(mode="after")
    def _of_its_kind(self) -> Sink:
        if self.kind is SinkKind.FILE and self.url is not None:
            raise ValueError("a file has no `url`")
        if self.url is not None and not fits(self.kind, self.url):
            raise ValueError("expected an https address, http on this machine, or for apprise one of its addresses")
        return self


class Notify(Section):
    """Notices to the people who run this installation."""

    sinks: dict[SinkName, Sink] = Field(default_factory=dict, description="Where notices go; none: nowhere.")
    public_url: str | None = Field(
        default=None,
        description=(
            "The address under which your own tunnel brings people to `api.port`; links of notices begin with it. Empty: "
            "they work on this machine only."
        ),
    )
    per_minute: int = Field(default=60, ge=1, le=10_000, description="Notices of all containers and people.")
    container_per_minute: int = Field(default=10, ge=1, le=10_000, description="Notices of one container.")
    queue: int = Field(default=256, ge=1, le=10_000, description="Notices that may wait for one sink.")
    attempts: int = Field(default=5, ge=1, le=20, description="How often a notice is tried at one sink.")
    timeout_seconds: float = Field(default=10, gt=0, le=120, description="For one attempt.")

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if not web_address(value) or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://bawn.example.org, without a path")
        return value.rstrip("/")


def web_address(url: str) -> bool:
    """Whether it is https, or http on this machine; without a user, of plain characters."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc and "\\" not in url
    here = host in ("localhost", "::1") or host.startswith("127.")
    return plain and bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and here))


def fits(kind: SinkKind, url: str) -> bool:
    """Whether notices of a sink of this kind can go to this address."""
    if kind is SinkKind.APPRISE:
        return "://" in url and url.isascii() and url.isprintable() and " " not in url
    return web_address(url)
