"""What the operator may say about tasks: which agents run them, for how long, how many, and who may be told."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator

from bawn.config.section import Section

Mode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Words = Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=4096)], ...], Field(max_length=64)]

PROMPT = "{prompt}"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")


def _agents() -> dict[str, tuple[str, ...]]:
    # After `--` nothing of a prompt can be an option, whatever it begins with.
    plan = ("opencode", "run", "--agent", "plan", "--", PROMPT)
    return {"code": ("opencode", "run", "--", PROMPT), "ask": plan, "plan": plan}


class Tasks(Section):
    """Prompts for agents in fresh containers of their own."""

    commands: dict[Mode, Words] = Field(
        default_factory=_agents,
        description="Mode → the words of the agent's command, of which one is `{prompt}`. `{model}` and `{base_url}` may "
        "stand in any word.",
    )
    image: str | None = Field(default=None, description="Of the fresh containers; none: as `boxes.image`.")
    runtime: Literal["podman", "bubblewrap", "runsc"] | None = Field(
        default=None, description="Of the fresh containers; none: as `boxes` says."
    )
    timeout_seconds: float = Field(default=1800, ge=1, le=86_400, description="How long a task may run.")
    output_bytes: int = Field(
        default=65_536, ge=1024, le=1 << 20, description="Of a longer output of an agent only the end is kept."
    )
    at_once: int = Field(default=8, ge=1, le=1000, description="Tasks that run at once.")
    at_once_per_container: int = Field(
        default=4, ge=0, le=1000, description="The same of those asked for in the name of one container; 0: none."
    )
    max_depth: int = Field(default=2, ge=1, le=8, description="How deep tasks may nest that ask for tasks.")
    callbacks: tuple[str, ...] = Field(
        default=(),
        description="Addresses outside that may be told of ends: a host such as `hooks.example.org`, with a port where it "
        "is not 443; `http://host:port` for one without TLS.",
    )
    callback_attempts: int = Field(default=5, ge=1, le=20, description="How often a callback is tried.")
    callback_timeout_seconds: float = Field(default=10, gt=0, le=120, description="For one attempt.")
    keep_days: int = Field(default=30, ge=1, le=3650, description="How long a task that is over can be looked at.")

    @field_validator("commands")
    @classmethod
    def _with_one_prompt(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for mode, words in value.items():
            # As a word of its own: in the middle of one, such as a line for a shell, a prompt could become a command.
            if words.count(PROMPT) != 1 or sum(PROMPT in word for word in words) != 1 or words[0] == PROMPT:
                raise ValueError(f"the command of {mode} needs {PROMPT} as one word of its own, behind the first")
        return value

    @field_validator("callbacks")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            address = each if "://" in each else f"https://{each}"
            if origin_of(address) is None or urlsplit(address).path or urlsplit(address).query:
                raise ValueError("expected a host, host:port or http://host:port, without a path")
        return value


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http(s) address of plain characters without a user; None for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    plain = url.isascii() and url.isprintable() and not set(' "<>\\^`{|}') & set(url)
    if (
        not plain
        or not _HOST.fullmatch(host)
        or "@" in parts.netloc
        or parts.fragment
        or parts.scheme not in ("http", "https")
    ):
        return None
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def allowed_origins(callbacks: tuple[str, ...]) -> frozenset[tuple[str, str, int]]:
    """What the setting means."""
    found = (origin_of(each if "://" in each else f"https://{each}") for each in callbacks)
    return frozenset(origin for origin in found if origin is not None)
