"""A ticket as others are told of it: the record, a notice, the operators' clients, and whoever asked.

The record gets digest and size, never what is asked about. People see everything, as it is: what cannot be seen is
written out where it is shown (`terms/visible.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from bawn.approvals.question import Kind
from bawn.approvals.ticket import State, Ticket
from bawn.errors import quoted
from bawn.notify.notice import Action, Notice, Priority
from bawn.sdk import shapes
from bawn.stages.judging import Denied
from bawn.wire.json_text import NotPlain, read_plain


def facts(ticket: Ticket) -> tuple[tuple[str, str], ...]:
    """For the record."""
    question = ticket.question
    found = [
        ("approval", ticket.id),
        ("digest", ticket.digest),
        ("kind", question.kind.value),
        ("size", str(len(question.arguments.encode("utf-8", "surrogatepass")))),
    ]
    if question.tool:
        found.append(("tool", quoted(question.tool)))
    if ticket.by:
        found.append(("by", ticket.by))
    if ticket.edited is not None:
        edited = ticket.edited.encode("utf-8", "surrogatepass")
        found += [("edited_digest", hashlib.sha256(edited).hexdigest()), ("edited_size", str(len(edited)))]
    return tuple(found)


def notice_of(ticket: Ticket) -> Notice:
    """What people are told when somebody asks. The links show the question; they answer nothing by themselves."""
    question = ticket.question
    asks = question.title if question.kind is Kind.QUESTION else f"wants to call {question.tool}"
    return Notice(
        title=f"{question.container}: {asks}",
        message=question.because or "It waits for an answer.",
        priority=Priority.HIGH,
        icon="approval",
        actions=tuple(
            Action(label, f"/api/{act}?id={ticket.id}&see={ticket.see}")
            for label, act in (("Approve", "approve"), ("Reject", "reject"))
        ),
    )


def canonical_text(ticket: Ticket) -> str:
    """The arguments written in one way, for reading; as they are where they are no JSON."""
    try:
        value = read_plain(ticket.question.arguments.encode("utf-8", "surrogatepass"))
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    except (NotPlain, ValueError, RecursionError):
        return ticket.question.arguments


def shown(ticket: Ticket, *, whole: bool) -> shapes.Approval:
    """For operators; `whole`: with what is asked about, which lists leave out."""
    question = ticket.question
    return shapes.Approval(
        id=ticket.id,
        state=ticket.state.value,
        kind=question.kind.value,
        container=question.container,
        container_id=question.container_uuid,
        session=question.session,
        tool=question.tool,
        title=question.title,
        because=question.because,
        digest=ticket.digest,
        asked=ticket.asked,
        expires=ticket.expires,
        size=len(question.arguments),
        answered=ticket.answered,
        by=ticket.by,
        reason=ticket.reason,
        used=ticket.used,
        arguments=question.arguments if whole else None,
        canonical=canonical_text(ticket) if whole else None,
        edited=ticket.edited if whole else None,
        server=question.server,
        schema=question.schema,
        payload=question.payload,
        script=question.script,
        policy=question.policy,
    )


SAID_NO = {
    State.REJECTED: ("approval.rejected", "A person said no"),
    State.EXPIRED: ("approval.expired", "Nobody answered in time"),
    State.WITHDRAWN: ("approval.withdrawn", "The question was withdrawn"),
}
"""By which code and in which words whoever waited is told."""
_POLLED = {
    State.APPROVED: "It is approved, once: make the same call again.",
    State.EDITED: "It is approved with other arguments, once: make the same call again.",
    State.REJECTED: "A person said no.",
    State.EXPIRED: "Nobody answered in time, or the approval was not used in time.",
    State.WITHDRAWN: "It was withdrawn.",
}


def said_no(ticket: Ticket) -> Denied:
    code, words = SAID_NO[ticket.state]
    reason = f": {ticket.reason}" if ticket.reason else ""
    return Denied(code, f"{words}{reason}.", ticket.id)


def pending(ticket_id: str, took: Sequence[float], expiry_s: float) -> dict[str, str]:
    """While nobody has answered. `took`: seconds until the last answers."""
    estimate = f"about {_about(sorted(took)[len(took) // 2])}" if took else f"at most {_about(expiry_s)}"
    return {
        "status": "pending_approval",
        "requestId": ticket_id,
        "message": "A person was asked about this. Make the same call again when it is approved.",
        "estimatedWait": estimate,
    }


def polled(ticket: Ticket) -> dict[str, str]:
    """What became of it, for the container: not who answered."""
    used = ticket.used is not None
    told = {
        "status": "used" if used else ticket.state.value,
        "requestId": ticket.id,
        "message": "It was approved, and used." if used else _POLLED[ticket.state],
    }
    return told | ({"reason": ticket.reason} if ticket.reason else {})


def _about(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
