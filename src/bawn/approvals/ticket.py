"""A question to a person, from asking to the one use of a good answer: a state machine and nothing else.

`MOVES` is the whole of it; what is not in the table cannot happen. A good answer is used once, and it must be used while
it holds; after that, and after every other answer, nothing moves any more. Time comes in as an argument.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import structs

from bawn.approvals.question import Question
from bawn.errors import Fault
from bawn.terms.value import Value


class State(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    EDITED = "edited"
    """Approved with other arguments."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody answered in time, or the good answer was not used in time."""
    WITHDRAWN = "withdrawn"
    """The container is gone, or may not call models any more."""


class Act(StrEnum):
    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    USE = "use"


GOOD = (State.APPROVED, State.EDITED)

MOVES: dict[tuple[State, Act], State] = {
    (State.OPEN, Act.APPROVE): State.APPROVED,
    (State.OPEN, Act.EDIT): State.EDITED,
    (State.OPEN, Act.REJECT): State.REJECTED,
    (State.OPEN, Act.EXPIRE): State.EXPIRED,
    (State.OPEN, Act.WITHDRAW): State.WITHDRAWN,
    (State.APPROVED, Act.USE): State.APPROVED,
    (State.APPROVED, Act.EXPIRE): State.EXPIRED,
    (State.APPROVED, Act.WITHDRAW): State.WITHDRAWN,
    (State.EDITED, Act.USE): State.EDITED,
    (State.EDITED, Act.EXPIRE): State.EXPIRED,
    (State.EDITED, Act.WITHDRAW): State.WITHDRAWN,
}
"""State and act → the state after it. A ticket that was used moves no more, whatever stands here."""

_DONE = {
    State.OPEN: "is open",
    State.APPROVED: "was approved",
    State.EDITED: "was approved with other arguments",
    State.REJECTED: "was rejected",
    State.EXPIRED: "has expired",
    State.WITHDRAWN: "was withdrawn",
}


class Ticket(Value, frozen=True):
    id: str
    question: Question
    digest: str
    asked: datetime
    expires: datetime
    """When an open one, or a good answer that was not used, comes to nothing; until when a rejection stands."""
    see: str = ""
    """What a link carries to show it; it decides nothing."""
    state: State = State.OPEN
    answered: datetime | None = None
    by: str = ""
    """The person who answered."""
    reason: str = ""
    edited: str | None = None
    """The arguments that the person put in their place."""
    used: datetime | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.used is not None or not any(state is self.state for state, _ in MOVES)

    @property
    def usable(self) -> bool:
        return self.state in GOOD and self.used is None

    def told(self) -> str:
        """What became of it, in words."""
        by = f" by {self.by}" if self.by and self.state is not State.OPEN else ""
        at = f" at {self.answered:%Y-%m-%d %H:%M:%S}Z" if self.answered is not None else ""
        used = " and used" if self.used is not None else ""
        return f"{_DONE[self.state]}{by}{at}{used}"


def moved(
    ticket: Ticket,
    act: Act,
    at: datetime,
    *,
    by: str = "",
    reason: str = "",
    edited: str | None = None,
    expires: datetime | None = None,
) -> Ticket:
    """The ticket after `act`. Fault `approval.answered` when that cannot happen to it any more."""
    after = MOVES.get((ticket.state, act))
    if after is None or ticket.used is not None:
        raise Fault("approval.answered", f"The question {ticket.id} {ticket.told()}.")
    if act is Act.USE:
        return structs.replace(ticket, used=at)
    if act in (Act.EXPIRE, Act.WITHDRAW):
        # Who answered stays readable on an approval that nobody used.
        return structs.replace(ticket, state=after)
    if (act is Act.EDIT) != (edited is not None):
        raise ValueError("other arguments belong to an edit, and to nothing else")
    return structs.replace(
        ticket, state=after, answered=at, by=by, reason=reason, edited=edited, expires=expires or ticket.expires
    )
