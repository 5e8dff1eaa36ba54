"""The desk: where questions are put to people, wait, and are answered.

What grants something is on record and in the store before it takes effect: the question, the good answer, its one use.
What takes something away, an expiry or a withdrawal, holds in memory at once and is written after, since a full disk must
never keep a right alive. Changes are made one after another, so of two people who answer at once the first one counts and
the other is told by whom.

Whoever waits looks again each time something changed: the first to look after a good answer uses it up, the newest
waiter before the older ones, since a client that retries has given up on those. The others ask anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from msgspec import structs

from bawn.approvals.book import Book
from bawn.approvals.edits import MAX_CHARACTERS, sound
from bawn.approvals.question import Question, digest_of
from bawn.approvals.settings import Approvals
from bawn.approvals.ticket import Act, State, Ticket, moved
from bawn.approvals.waiting import Waiting
from bawn.approvals.words import SAID_NO, facts, notice_of, pending, polled, said_no
from bawn.errors import Fault, quoted
from bawn.identity.turn import Turn
from bawn.notify.notice import Notice
from bawn.stages.judging import Denied, Granted
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Container, Operator, Role, label

_log = structlog.get_logger("bawn.approvals")

SWEEP_S = 1.0
REASON = 1000
"""Characters of what a person says beside the answer."""


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """Returns when the event is in the record; Fault `audit.unavailable` when it cannot be."""


class Notices(Protocol):
    async def send(self, notice: Notice, container: Container | None = None, by: str = "") -> str: ...


class Desk:
    """`may`: whether a container of this uuid still may ask."""

    def __init__(
        self,
        settings: Approvals,
        book: Book,
        recorder: Recorder,
        notices: Notices,
        clock: Clock,
        may: Callable[[str], bool],
    ) -> None:
        self.settings = settings
        """May be exchanged at any time; holds for the next question."""
        self._book = book
        self._recorder = recorder
        self._notices = notices
        self._clock = clock
        self._may = may
        self._turn = Turn()
        self._held: dict[str, Ticket] = {}
        """By id: all that may still move, and those that moved last until their time is over."""
        self._newest: dict[str, str] = {}
        """The newest held ticket of a digest."""
        self._waiting = Waiting()
        self._tasks: set[asyncio.Task[None]] = set()
        self._took: list[float] = []
        """Seconds until an answer, of the last ones."""

    async def load(self) -> None:
        """What was open, and answers that were not used, before a restart."""
        now = self._clock.now()
        await self._book.purge(now)
        for ticket in await self._book.living(now):
            self._hold(ticket)

    async def run(self) -> None:
        """Lets time pass for open questions, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    async def close(self) -> None:
        """Ends what waits and what watches; open questions stay open in the store."""
        self._waiting.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # asking

    async def ask(self, question: Question, container: Container, *, wait_s: float | None) -> Granted | Denied:
        """Waits for an answer. `wait_s`: at most so long, then Denied `approval.pending`; None: until it expires.

        An equal question joins the ticket that is open, and uses up a good answer that nobody used.
        """
        if len(question.arguments) > MAX_CHARACTERS:
            return Denied("approval.too_large", f"The question has more than {MAX_CHARACTERS} characters.")
        try:
            digest_of(question)
        except ValueError:
            return Denied("approval.rejected", "What is asked about is no text that a person could read.")
        loop = asyncio.get_running_loop()
        until = None if wait_s is None else loop.time() + wait_s
        while True:
            found = await self._turn.take(lambda: self._join(question, container))
            if not isinstance(found, Ticket):
                return found
            ticket = self._held.get(found.id, found)
            if ticket.state is State.OPEN and not await self._waiting.changed(ticket.id, until):
                waits = self.pending(ticket.id)
                return Denied("approval.pending", waits["message"], ticket.id, waits["estimatedWait"])
            ticket = await self.get(found.id)
            if ticket.state in SAID_NO:
                return said_no(ticket)

    def pending(self, ticket_id: str) -> dict[str, str]:
        """What somebody is told who does not wait any more."""
        return pending(ticket_id, self._took, self.settings.expiry_seconds)

    async def poll(self, container_uuid: str, ticket_id: str) -> dict[str, str]:
        """What became of a ticket of this container. Fault `resource.not_found` for those of others as for unknown ones."""
        ticket = self._held.get(ticket_id) or await self._book.get(ticket_id)
        if ticket is None or ticket.question.container_uuid != container_uuid:
            raise Fault("resource.not_found", "This container has no such approval.")
        if ticket.state is State.OPEN:
            return self.pending(ticket.id)
        return polled(ticket)

    # answering

    async def approve(
        self, ref: str, digest: str, by: Operator, *, reason: str = "", arguments: str | None = None
    ) -> Ticket:
        """`digest`: of what the person was shown. `arguments`: others, that take their place.

        Faults: `api.forbidden`, `api.not_found`, `api.invalid`, `approval.changed`, `approval.answered`.
        """
        return await self._turn.take(lambda: self._answer(ref, digest, by, reason, arguments, approve=True))

    async def reject(self, ref: str, digest: str, by: Operator, *, reason: str = "") -> Ticket:
        """Says no, to retries as well while it stands. Faults as `approve`."""
        return await self._turn.take(lambda: self._answer(ref, digest, by, reason, None, approve=False))

    def withdraw(self, container_uuid: str) -> None:
        """The container is gone or may not call models: its questions and unused answers come to nothing, at once."""
        for ticket in list(self._held.values()):
            if ticket.question.container_uuid == container_uuid and not ticket.settled:
                self._take_away(ticket, Act.WITHDRAW)

    def changed(self, container_uuid: str) -> None:
        """Something about a container changed; a watcher of the registry."""
        if not self._may(container_uuid):
            self.withdraw(container_uuid)

    def sweep(self) -> None:
        """What is over now ends, and is forgotten here."""
        now = self._clock.now()
        for ticket in [each for each in self._held.values() if each.expires <= now]:
            if ticket.settled:
                self._forget(ticket)
            else:
                self._take_away(ticket, Act.EXPIRE)
        for uuid in {each.question.container_uuid for each in self._held.values()}:
            self.changed(uuid)

    # looking

    async def get(self, ref: str) -> Ticket:
        """By its id, or the beginning of one that is live; Fault `api.not_found`."""
        found = self._held.get(ref) or await self._book.get(ref)
        if found is None:
            begun = [each for id_, each in self._held.items() if len(ref) >= 8 and id_.startswith(ref)]
            found = begun[0] if len(begun) == 1 else None
        if found is None:
            raise Fault(
                "api.not_found", f"There is no approval {quoted(ref)}.", remedy="Look at `bawn approvals list`."
            )
        return found

    async def seen(self, ticket_id: str, see: str) -> Ticket | None:
        """What a link shows; None when it is no good link."""
        found = self._held.get(ticket_id) or await self._book.get(ticket_id)
        # Compared also where there is nothing, so that the time says nothing about which ids exist.
        same = hmac.compare_digest(
            found.see.encode() if found is not None else bytes(32), see.encode("utf-8", "replace")
        )
        return found if found is not None and same and see else None

    async def list(self, state: str | None, container_uuid: str | None, limit: int) -> Sequence[Ticket]:
        """The newest first."""
        return await self._book.last(state, container_uuid, limit)

    def open(self) -> Sequence[Ticket]:
        """Oldest first."""
        return [ticket for ticket in self._held.values() if ticket.state is State.OPEN]

    def watch(self) -> AsyncIterator[Ticket]:
        """Those that are open, then every one that changes. Ends when the reader is far behind: it looks anew."""
        return self._waiting.watch(self.open())

    # each of these in its turn

    async def _join(self, question: Question, container: Container) -> Ticket | Granted | Denied:
        """A good answer, used; a rejection that stands; or the open ticket, new or joined."""
        question = self._in_its_conversation(question)
        digest = digest_of(question)
        ticket = self._held.get(self._newest.get(digest, ""))
        now = self._clock.now()
        if ticket is not None and ticket.expires <= now:
            if not ticket.settled:
                self._take_away(ticket, Act.EXPIRE)
            ticket = None
        if not self._may(container.uuid):
            return Denied("approval.withdrawn", "This container may not ask any more.")
        if ticket is None or ticket.used is not None or ticket.state in (State.EXPIRED, State.WITHDRAWN):
            return await self._open(question, digest, container, now)
        if ticket.usable:
            used = moved(ticket, Act.USE, now)
            await self._recorded("used", used, label(container))
            if not await self._through(ticket, used):
                return Denied("approval.withdrawn", "It was withdrawn meanwhile.", ticket.id)
            return Granted(f"operator:{used.by}", used.edited, used.id)
        return ticket if ticket.state is State.OPEN else said_no(ticket)

    async def _open(self, question: Question, digest: str, container: Container, now: datetime) -> Ticket | Denied:
        open_now = sum(each.question.container_uuid == container.uuid for each in self.open())
        if open_now >= self.settings.open_per_container:
            return Denied("approval.too_many", f"This container has {open_now} open questions already.")
        ticket = Ticket(
            id=f"apr_{secrets.token_hex(16)}",
            question=question,
            digest=digest,
            asked=now,
            expires=now + timedelta(seconds=self.settings.expiry_seconds),
            see=secrets.token_urlsafe(24),
        )
        await self._recorded("asked", ticket, label(container))
        await self._book.put(ticket)
        self._hold(ticket)
        self.changed(container.uuid)  # it may have lost the right while this was written
        if self._held[ticket.id] is ticket:
            self._waiting.tell(ticket)
            self._later(self._announce(ticket, container))
        return ticket

    async def _answer(
        self, ref: str, digest: str, by: Operator, reason: str, arguments: str | None, *, approve: bool
    ) -> Ticket:
        if not by.may(Role.APPROVER):
            raise Fault("api.forbidden", f"This needs the role 'approver', which {by.person!r} has not.")
        if len(reason) > REASON:
            raise Fault("api.invalid", f"The reason has more than {REASON} characters.")
        ticket = await self.get(ref)
        now = self._clock.now()
        if not ticket.settled and ticket.expires <= now:
            ticket = self._take_away(ticket, Act.EXPIRE)
        act = (Act.EDIT if arguments is not None else Act.APPROVE) if approve else Act.REJECT
        if arguments is not None:
            sound(ticket.question, arguments)
        expires = now + timedelta(seconds=self.settings.use_seconds) if approve else None
        # First whether it is open at all: who comes second learns who was first, whatever they were shown.
        after = moved(ticket, act, now, by=by.person, reason=reason, edited=arguments, expires=expires)
        if digest != ticket.digest:
            raise Fault("approval.changed", "What was shown is not what is asked.")
        await self._recorded(after.state.value, after, label(by))
        if not await self._through(ticket, after):
            raise Fault("approval.answered", f"The question {ticket.id} {self._held[ticket.id].told()}.")
        self._took = [*self._took[-19:], (now - ticket.asked).total_seconds()]
        return after

    async def _through(self, before: Ticket, after: Ticket) -> bool:
        """Written, and then in memory; False when it was taken away while that lasted."""
        if self._held.get(before.id) is not before:
            return False
        await self._book.put(after)
        if self._held.get(before.id) is not before:
            return False
        self._hold(after)
        self._waiting.tell(after)
        return True

    def _take_away(self, ticket: Ticket, act: Act) -> Ticket:
        """Holds at once; written after, behind whatever is being written now."""
        gone = moved(ticket, act, self._clock.now())
        self._hold(gone)
        self._waiting.tell(gone)
        self._later(self._turn.take(lambda: self._write_gone(gone)))
        return gone

    async def _write_gone(self, gone: Ticket) -> None:
        # When it cannot be written, the next start finds it open, and takes it away again for the same reason.
        with contextlib.suppress(Fault):
            await self._recorded(gone.state.value, gone, "bawn")
        await self._book.put(gone)

    # inside

    def _in_its_conversation(self, question: Question) -> Question:
        """A request that is made again is in the conversation of the first, also after a restart."""
        for ticket in self._held.values():
            before = ticket.question
            if question.request == before.request and question.container_uuid == before.container_uuid:
                return structs.replace(question, session=before.session) if question.request else question
        return question

    def _hold(self, ticket: Ticket) -> None:
        self._held[ticket.id] = ticket
        self._newest[ticket.digest] = ticket.id

    def _forget(self, ticket: Ticket) -> None:
        del self._held[ticket.id]
        if self._newest.get(ticket.digest) == ticket.id:
            del self._newest[ticket.digest]

    async def _recorded(self, happened: str, ticket: Ticket, principal: str) -> None:
        uuid = ticket.question.container_uuid
        event = Event(f"approval.{happened}", principal=principal, container=uuid, detail=facts(ticket))
        await self._recorder.record(event)

    async def _announce(self, ticket: Ticket, container: Container) -> None:
        await self._notices.send(notice_of(ticket), container, label(container))

    def _later(self, act: Coroutine[Any, Any, object]) -> None:
        async def guarded() -> None:
            try:
                await act
            except Fault as fault:
                _log.warning("approval.not_done", code=fault.code, sentence=fault.sentence)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
