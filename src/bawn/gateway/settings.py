"""What the operator may say about providers, models and the limits of a door."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bawn.config.section import Section
from bawn.guardrails.settings import Price
from bawn.terms.exchange import Endpoint
from bawn.translation.features import Feature

Family = Literal["batches", "conversations", "files", "responses", "vector_stores"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ProviderKind(StrEnum):
    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    OPENAI_COMPATIBLE = "openai-compatible"
    GEMINI = "gemini"
    AZURE = "azure"
    BEDROCK = "bedrock"
    VERTEX = "vertex"
    SCRIPTED = "scripted"


class Provider(Section):
    """One place that models are called at."""

    kind: ProviderKind = Field(description="Which wires it speaks and how a key is sent.")
    base_url: str | None = Field(
        default=None,
        description="Where it listens; needed for `openai-compatible` and `azure`, else the provider's own address.",
    )
    region: str | None = Field(
        default=None,
        pattern="^[a-z][a-z0-9-]{1,31}$",
        description="Where models run; needed for `bedrock` and `vertex`.",
    )
    project: str | None = Field(
        default=None, pattern="^[a-z0-9][a-z0-9:.-]{2,62}$", description="Google Cloud project; needed for `vertex`."
    )
    key: Literal["vault", "none"] = Field(
        default="vault", description="`none` for a server that wants no key; else one is taken from `bawn keys`."
    )
    models: tuple[str, ...] = Field(default=(), description="Its models for `GET /models`; calls may name others too.")

    capabilities: dict[Endpoint, bool] = Field(
        default_factory=dict,
        description="Endpoint, such as `responses` → whether this provider has it, where that differs from its kind.",
    )

    lacks: tuple[Feature, ...] = Field(
        default=(),
        description="Features of translated conversations that its models do not take, e.g. `effort`; see docs/wires.md.",
    )
    prices: dict[str, Price] = Field(
        default_factory=dict,
        description="Model, a trailing `*` being any ending, → what it costs, where the price list is not to say it.",
    )

    @field_validator("base_url")
    @classmethod
    def _an_http_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://", "unix:/")):
            raise ValueError("expected an http(s) URL; write e.g. http://127.0.0.1:11434/v1")
        return value


class Models(Section):
    """How the names that clients use become `provider/model`."""

    default: str | None = Field(default=None, description="Used when a call names no model, or `default`.")
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Name → `provider/model`. A trailing `*` on the left stands for any ending, and on the right for it.",
    )


class Allow(Section):
    """What the calls of a container may ask for; everything not allowed is refused."""

    models: tuple[str, ...] = Field(
        default=(), description="Patterns of `provider/model`; a trailing `*` is any ending."
    )
    hosted_tools: tuple[str, ...] = Field(
        default=(), description="Types of tools that the provider runs itself, e.g. `web_search_20250305`: a way out."
    )
    url_fetches: bool = Field(
        default=False, description="Whether fields by which a provider fetches a URL pass: a way out."
    )
    objects: tuple[Family, ...] = Field(
        default=(),
        description="Families of objects kept at a provider that may be made, listed, read and deleted; "
        "see [objects.md](objects.md).",
    )
    paths: tuple[Annotated[str, Field(pattern=r"^(GET|POST) [a-z0-9_-]+(/[a-z0-9_-]+){0,4}$")], ...] = Field(
        default=(),
        description="Further documented paths of a provider, e.g. `POST responses/input_tokens`: a way out; "
        "see [wires.md](wires.md).",
    )


class Limits(Section):
    """What one door takes at most."""

    body_bytes: int = Field(default=32 * 2**20, ge=1024, le=2**30, description="Size of one request body.")
    bodies_bytes: int = Field(
        default=256 * 2**20, ge=1024, le=2**34, description="Size of all request bodies that a door holds at once."
    )
    header_bytes: int = Field(default=32 * 2**10, ge=1024, le=2**20, description="Size of all headers of a request.")
    header_count: int = Field(default=100, ge=8, le=1000, description="Number of headers of a request.")
    header_seconds: Seconds = Field(default=10, description="Time for the head of a request, from its first byte.")
    body_seconds: Seconds = Field(default=120, description="Time for the body of a request.")
    idle_seconds: Seconds = Field(default=75, description="Time a connection may stay open between requests.")
    connections: int = Field(default=1024, ge=1, le=100_000, description="Connections open at once, per door.")
    answer_bytes: int = Field(
        default=64 * 2**20, ge=1024, le=2**30, description="Size of one answer that is not a stream."
    )
    upload_bytes: int = Field(
        default=512 * 2**20, ge=1024, le=2**34, description="Size of one upload, which is passed on as it comes."
    )


class Withheld(StrEnum):
    FEEDBACK = "feedback"
    TEXT = "text"
    RENAME = "rename"


class Pending(StrEnum):
    TEXT = "text"
    ERROR = "error"


class Interception(Section):
    """What becomes of tool calls that are not released."""

    withheld: Withheld = Field(
        default=Withheld.FEEDBACK,
        description="`feedback`: the model is told and goes on, where all calls of its message are withheld, else `text`; "
        "`text`: the assistant says so; `rename`: the agent gets a call of another tool, with the reason.",
    )
    rename_to: str = Field(
        default="blocked_command", pattern="^[A-Za-z_][A-Za-z0-9_-]{0,63}$", description="Name of that other tool."
    )
    feedback_rounds: int = Field(
        default=3, ge=0, le=16, description="How often in one call a model is told of a refusal before the agent is."
    )
    pending: Pending = Field(
        default=Pending.TEXT,
        description="What a call gets that waits for a person no longer. `text`: the assistant tells the number of the "
        "ticket; `error`: an error of the wire (`approval.pending`).",
    )
    keep_alive_seconds: Seconds = Field(
        default=10, description="How often a stream that waits for a decision says that it is alive."
    )


class Timeouts(Section):
    """How long a provider is waited for."""

    connect_seconds: Seconds = Field(default=10, description="Until a connection, with TLS, stands.")
    first_byte_seconds: Seconds = Field(default=600, description="From the request to the head of the answer.")
    idle_seconds: Seconds = Field(default=120, description="Between two parts of an answer.")
    total_seconds: Seconds = Field(default=3600, description="For the whole answer.")
