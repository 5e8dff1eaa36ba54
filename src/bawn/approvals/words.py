"""A ticket as others are told of it: the record, a notice, and the operators' clients.

The record gets digest and size, never what is asked about. People see everything, as it is: what cannot be seen is
written out where it is shown (`terms/visible.py`).
"""

from __future__ import annotations

import hashlib
import json

from bawn.approvals.question import Kind
from bawn.approvals.ticket import Ticket
from bawn.errors import quoted
from bawn.notify.notice import Action, Notice, Priority
from bawn.sdk import shapes
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
