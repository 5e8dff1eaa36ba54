"""What an agent's own hook tells, and what it is to do: one form for all agents."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from bawn.rules.model import EventName


class Report(Struct, frozen=True):
    """One thing that happened inside the agent, or is about to."""

    event: EventName
    session: str
    """As the agent names it, by which its model calls are known as well."""
    parent: str = ""
    """The session that began this one; empty where none did."""
    call: str = ""
    """The id of a tool call, as the model gave it."""
    tool: str = ""
    tool_input: str = ""
    """The arguments, as JSON."""
    tool_output: str = ""
    text: str = ""
    """The message of the user, or the system text."""
    title: str = ""
    directory: str = ""
    error: str = ""
    tags: tuple[str, ...] = ()
    """What the environment of the agent names; they only add."""


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Verdict(Struct, frozen=True):
    """What the agent is to do."""

    effect: Effect = Effect.ALLOW
    because: str = ""
    """For the model and the person at the terminal, when it is denied."""


class Dialect(Protocol):
    """How one agent says it. Pure."""

    def read(self, body: bytes) -> Report | None:
        """None: a hook that means nothing here, and is allowed. Faults `request.malformed_json`, `request.invalid`."""

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        """The answer in the agent's own form. What is allowed is not granted: the agent's own questions stay."""
