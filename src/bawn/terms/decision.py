"""The answer to "may this happen?": never a bare boolean.

Effects are ordered: deny beats asking a person, which beats asking a planner, which beats allow.
Combining is therefore the minimum, order never matters, and combining nothing denies.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from msgspec import Struct


class Effect(IntEnum):
    DENY = 0
    ASK_PERSON = 1
    ASK_PLANNER = 2
    ALLOW = 3


class Decision(Struct, frozen=True):
    effect: Effect
    code: str
    """A stable name of the reason, e.g. `tool.allowed_by_default`."""
    because: str
    """The reason in words, for a person."""
    facts: tuple[tuple[str, str], ...] = ()
    """What the decision rested on, as name and value."""


NOTHING_DECIDED = Decision(Effect.DENY, "decision.nothing_allows", "nothing that was configured allows it")


def combine(decisions: Iterable[Decision]) -> Decision:
    """The strictest of the decisions; with none at all, deny."""
    return min(decisions, key=lambda decision: decision.effect, default=NOTHING_DECIDED)
