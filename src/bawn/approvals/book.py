"""Tickets in the store, so that a restart forgets neither a question nor an answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from bawn.approvals.question import Question
from bawn.approvals.tables import tickets
from bawn.approvals.ticket import State, Ticket
from bawn.store.engine import Store

KEPT = timedelta(days=30)
"""How long a settled ticket can still be looked at; the record tells of it for ever."""


class Book:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def living(self, now: datetime) -> Sequence[Ticket]:
        """Those that something may still happen to, and rejections that still stand; oldest first."""
        may_move = (State.OPEN, State.APPROVED, State.EDITED)
        query = sa.select(tickets).where(
            sa.or_(
                sa.and_(tickets.c.state.in_(may_move), tickets.c.used.is_(None)),
                sa.and_(tickets.c.state == State.REJECTED, tickets.c.expires > now),
            )
        )
        return await self._read(query.order_by(tickets.c.asked, tickets.c.id))

    async def get(self, id_: str) -> Ticket | None:
        found = await self._read(sa.select(tickets).where(tickets.c.id == id_))
        return found[0] if found else None

    async def last(self, state: str | None, container_uuid: str | None, limit: int) -> Sequence[Ticket]:
        """The newest first."""
        query = sa.select(tickets)
        if state is not None:
            query = query.where(tickets.c.state == state)
        if container_uuid is not None:
            query = query.where(tickets.c.container_uuid == container_uuid)
        return await self._read(query.order_by(tickets.c.asked.desc(), tickets.c.id).limit(limit))

    async def put(self, ticket: Ticket) -> None:
        """As it is now, new or in place of what it was."""
        row = {
            "id": ticket.id,
            "digest": ticket.digest,
            "container_uuid": ticket.question.container_uuid,
            "question": msgspec.json.encode(ticket.question).decode(),
            "see": ticket.see,
            "state": ticket.state.value,
            "asked": ticket.asked,
            "expires": ticket.expires,
            "answered": ticket.answered,
            "person": ticket.by,
            "reason": ticket.reason,
            "edited": ticket.edited,
            "used": ticket.used,
        }

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.delete(tickets).where(tickets.c.id == ticket.id))
            connection.execute(sa.insert(tickets).values(row))

        await self._store.run(write)

    async def purge(self, now: datetime) -> None:
        """Forgets what was settled long ago."""
        old = sa.delete(tickets).where(tickets.c.expires < now - KEPT, tickets.c.state != State.OPEN)
        await self._store.run(lambda connection: connection.execute(old).close())

    async def _read(self, query: sa.Select[tuple[object, ...]]) -> Sequence[Ticket]:
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [ticket_of(row) for row in rows]


def ticket_of(row: sa.RowMapping) -> Ticket:
    return Ticket(
        id=row["id"],
        question=msgspec.json.decode(row["question"], type=Question),
        digest=row["digest"],
        asked=row["asked"],
        expires=row["expires"],
        see=row["see"],
        state=State(row["state"]),
        answered=row["answered"],
        by=row["person"],
        reason=row["reason"],
        edited=row["edited"],
        used=row["used"],
    )
