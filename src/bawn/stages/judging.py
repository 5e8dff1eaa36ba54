"""Who decides over a tool call that a model proposes, and what may be decided.

Judges are asked in their order, each about the call as those before it left it. The strictest decision holds (deny, then
ask a person, then allow), so their order matters for changes only.
"""

from __future__ import annotations

from typing import Protocol

from bawn.stages.asked import Asked
from bawn.terms.decision import Decision
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value


class Proposed(Value, frozen=True):
    """A whole tool call, before it is released."""

    asked: Asked
    call: ToolCall
    text: bool = False
    """Whether the tool takes a text instead of a JSON object."""


class Judgement(Value, frozen=True):
    decision: Decision
    name: str = ""
    """Another tool's name for the call; empty: as it is."""
    arguments: str | None = None
    """Other arguments, as text; None: as they are."""


class Judge(Protocol):
    name: str

    async def judge(self, proposed: Proposed) -> Judgement: ...


class Granted(Value, frozen=True):
    """A person allowed it."""

    by: str
    arguments: str | None = None
    """Other arguments that the person put in; None: as they were shown."""
    ticket: str = ""


class Denied(Value, frozen=True):
    """Nobody allowed it in time, or somebody said no."""

    code: str
    """`approval.rejected`, `approval.expired`, `approval.withdrawn`, `approval.pending`."""
    because: str
    ticket: str = ""
    estimate: str = ""
    """How long an answer may take, in words, while nobody has answered."""


class Approvers(Protocol):
    """Asks people."""

    async def ask(self, proposed: Proposed, because: str) -> Granted | Denied:
        """Waits for the answer as long as the desk is configured to wait; an equal question joins the ticket that is open."""
