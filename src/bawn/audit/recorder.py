"""The gateway's end of the record: events in, ids out, nothing forgotten while this process lives.

An event is redacted, encoded and numbered at once; lines leave in batches, one a turn of the loop. What is
not acknowledged stays here, in order, bounded, and is sent again to a writer that was started anew
(`packets` tells how). In strict durability `record` returns when its line is on the disk; in relaxed
durability when it stands in this bounded queue and the writer is well.

It fails closed: while the writer is gone, silent or cannot write, `record` raises at once and every caller
who waits is told. Lines of such callers stay in the queue and are written when that is possible again: the
record then tells of attempts that were not let through, never the other way round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque

import structlog

from bawn.audit import packets
from bawn.audit.packets import TailRequest
from bawn.audit.records import LINE_LIMIT, changed, fitting, record_at, texts_of, whole
from bawn.audit.redact import Redactor
from bawn.audit.settings import Durability
from bawn.errors import Fault
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.stamp import Stamps

QUEUE_RECORDS = 65_536
QUEUE_BYTES = 32 * 2**20
ACK_TIMEOUT_S = 10.0
RETRY_S = 1.0
RELAXED_LINGER_S = 0.002
"""How long relaxed lines gather before they are sent: waking the writer for each would cost more than the rest."""

log = structlog.get_logger(__name__)


class Recorder:
    """Serves one event loop. `start` it there, `close` it there."""

    def __init__(
        self,
        sock: socket.socket,
        redactor: Redactor,
        clock: Clock,
        *,
        durability: Durability = Durability.STRICT,
        rotate_bytes: int = 0,
        queue_records: int = QUEUE_RECORDS,
        queue_bytes: int = QUEUE_BYTES,
        ack_timeout_s: float = ACK_TIMEOUT_S,
    ) -> None:
        self.durability = durability
        """May be changed at any time; holds for the next event."""
        self.rotate_bytes = rotate_bytes
        """Told to the writer with the next hello."""
        self._sock: socket.socket | None = sock
        self._redactor = redactor
        self._clock = clock
        self._stamps = Stamps()
        self._queue_records = queue_records
        self._queue_bytes = queue_bytes
        self._ack_timeout_s = ack_timeout_s

        self._run = os.urandom(8)
        self._prefix = f"rec_{self._run.hex()}"
        self._last = 0
        self._acked = 0
        self._unsent: deque[bytes] = deque()
        self._unacked: deque[bytes] = deque()
        self._bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._asked: dict[int, tuple[list[bytes], asyncio.Future[list[bytes]]]] = {}
        self._asks = 0
        self._questions: deque[bytes] = deque()

        self._trouble = "the audit writer has not answered yet"
        self._nonce = b""
        self._attached = False
        """Whether the writer answered our hello on this socket."""
        self._blocked = False
        self._flush_handle: asyncio.Handle | None = None
        self._retry_handle: asyncio.TimerHandle | None = None
        self._watch_handle: asyncio.TimerHandle | None = None
        self._progress = 0.0
        self._last_gap = (-1, 0.0)
        self._closed = False
        self._heard = {
            packets.ACK: self._on_ack,
            packets.ERROR: self._on_error,
            packets.GAP: self._on_gap,
            packets.HELLO: self._on_hello,
            packets.WOKE: self._on_woke,
            packets.TAIL: self._on_told,
        }

    # what the gateway calls

    async def start(self) -> None:
        """Says hello and returns when the writer answered. Fault `audit.unavailable` when it does not."""
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._watch()
        if self._sock is not None:
            self.reattach(self._sock)
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                await self._answered
        except TimeoutError:
            raise self._fault() from None

    async def record(self, event: Event) -> str:
        """Its id, once it is as durable as configured. Fault `audit.unavailable` when it is not."""
        if self._trouble:
            raise self._fault()
        id_ = self._put(event)
        if self.durability is Durability.STRICT:
            written = self._loop.create_future()
            self._waiters.append((self._last, written))
            await written
        return id_

    def note(self, event: Event) -> None:
        """As `record`, without waiting, also while the writer is away. Raises when the queue is full."""
        self._put(event)

    def reattach(self, sock: socket.socket) -> None:
        """Goes on with another socket to the writer, or a writer begun anew. What is not acknowledged is sent again."""
        if self._sock is not None and self._sock is not sock:
            self._leave_socket()
        self._sock = sock
        sock.setblocking(False)
        self._attached = False
        self._loop.add_reader(sock.fileno(), self._readable)
        self._say_hello()

    @property
    def unavailable(self) -> str:
        """Why nothing can be recorded now; empty when all is well. For `bawn status`."""
        return self._trouble

    @property
    def pending(self) -> int:
        """Lines that are not on the disk yet."""
        return len(self._unsent) + len(self._unacked)

    async def tail(self, request: TailRequest) -> list[bytes]:
        """The last lines that fit, oldest first, from the writer, who alone can read the log."""
        if not self._attached:
            raise self._fault()
        self._asks = number = (self._asks + 1) % 2**32
        answer: asyncio.Future[list[bytes]] = self._loop.create_future()
        self._asked[number] = ([], answer)
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                self._questions.append(packets.ask(number, request))
                self._flush()
                return await answer
        except TimeoutError:
            raise Fault("audit.unavailable", "The audit writer does not answer.") from None
        finally:
            del self._asked[number]

    async def close(self, timeout_s: float = 5.0) -> None:
        """Waits until everything is on the disk, at most `timeout_s`, and lets go of the socket."""
        self._flush()
        if self.pending and self._attached:
            drained = self._loop.create_future()
            self._waiters.append((self._last, drained))
            with contextlib.suppress(TimeoutError, Fault):
                async with asyncio.timeout(timeout_s):
                    await drained
        self._closed = True
        self._fail("this process is ending")
        for handle in (self._flush_handle, self._retry_handle, self._watch_handle):
            if handle is not None:
                handle.cancel()
        self._leave_socket()
        if self.pending:
            log.error("audit.lost", records=self.pending)

    # into the queue and out of it

    def _put(self, event: Event) -> str:
        pending = len(self._unsent) + len(self._unacked)
        if pending >= self._queue_records or self._bytes >= self._queue_bytes:
            raise Fault("audit.unavailable", "The queue of events to be recorded is full.", cause=self._trouble)
        if self._closed:
            raise self._fault()
        number = self._last + 1
        id_ = f"{self._prefix}{number:08x}"
        record = record_at(event, id_, self._stamps.milliseconds(self._clock.now()))
        if not self._redactor.clean(texts_of(event)):
            record = changed(record, self._redactor.text)
        # Cut last: half a secret is not recognised any more.
        line = whole(record)
        if len(line) > LINE_LIMIT:
            line = fitting(record, line)
        if not pending:
            self._progress = self._loop.time()
        self._last = number
        self._unsent.append(line)
        self._bytes += len(line)
        if self._flush_handle is None and self._attached:
            if self.durability is Durability.STRICT:
                self._flush_handle = self._loop.call_soon(self._flush)
            else:
                self._flush_handle = self._loop.call_later(RELAXED_LINGER_S, self._flush)
        return id_

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        while self._questions and self._may_send:
            if self._send(self._questions[0]):
                self._questions.popleft()
        while self._unsent and self._may_send:
            lines: list[bytes] = []
            size = packets.BATCH_HEAD
            for line in self._unsent:
                size += len(line) + 1
                if lines and size > packets.PACKET_LIMIT:
                    break
                lines.append(line)
            first = self._acked + len(self._unacked) + 1
            packet = packets.batch(self._run, first, lines, commit_now=self.durability is Durability.STRICT)
            if not self._send(packet):
                return
            for line in lines:
                self._unsent.popleft()
                self._unacked.append(line)

    @property
    def _may_send(self) -> bool:
        return self._attached and not self._blocked

    def _send(self, packet: bytes) -> bool:
        if self._sock is None:
            return False
        try:
            self._sock.send(packet)
        except BlockingIOError:
            self._blocked = True
            self._loop.add_writer(self._sock.fileno(), self._writable)
            return False
        except OSError as error:
            self._gone(f"the audit writer cannot be reached ({error.strerror})")
            return False
        return True

    def _writable(self) -> None:
        if self._sock is not None:
            self._loop.remove_writer(self._sock.fileno())
        self._blocked = False
        if self._attached:
            self._flush()
        else:
            self._say_hello()

    # what the writer says

    def _readable(self) -> None:
        while self._sock is not None:
            try:
                packet = self._sock.recv(packets.RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._gone(f"the audit writer has gone ({error.strerror})")
                return
            if not packet:
                self._gone("the audit writer has gone")
                return
            # What this version does not know, it ignores.
            self._heard.get(packet[:1], _ignore)(packet)

    def _on_ack(self, packet: bytes) -> None:
        said = packets.read_place(packet)
        if said.run == self._run and self._attached:
            self._advance(said.last)

    def _on_error(self, packet: bytes) -> None:
        said = packets.read_place(packet)
        if said.run == self._run and self._attached:
            self._advance(said.last)
            self._fail(said.sentence)
            if self._retry_handle is None:
                self._retry_handle = self._loop.call_later(RETRY_S, self._retry)

    def _on_gap(self, packet: bytes) -> None:
        said, now = packets.read_place(packet), self._loop.time()
        if said.run != self._run or not self._attached or (said.last == self._last_gap[0] and now < self._last_gap[1]):
            return
        self._last_gap = (said.last, now + RETRY_S)
        self._advance(said.last)
        self._retry()

    def _on_hello(self, packet: bytes) -> None:
        answer = packets.read_hello(packet)
        if answer.nonce == self._nonce and answer.run == self._run:
            self._welcome(answer.number)

    def _on_woke(self, _packet: bytes) -> None:
        self._attached = False
        self._say_hello()

    def _on_told(self, packet: bytes) -> None:
        number, more, lines = packets.read_told(packet)
        if number not in self._asked:
            return
        told, answer = self._asked[number]
        told.extend(lines)
        if not more and not answer.done():
            answer.set_result(told)

    def _advance(self, last: int) -> None:
        count = last - self._acked
        if count <= 0 or count > len(self._unacked):
            return
        for _ in range(count):
            self._bytes -= len(self._unacked.popleft())
        self._acked = last
        self._progress = self._loop.time()
        if self._trouble:
            self._recover()
        while self._waiters and self._waiters[0][0] <= last:
            _, written = self._waiters.popleft()
            if not written.done():
                written.set_result(None)

    def _say_hello(self) -> None:
        self._nonce = os.urandom(8)
        self._send(packets.hello(self._nonce, self._run, self.rotate_bytes))

    def _welcome(self, last: int) -> None:
        self._attached = True
        self._rewind()
        # The writer may have more than it could still tell us; never more than was sent.
        for _ in range(min(last - self._acked, len(self._unsent))):
            self._unacked.append(self._unsent.popleft())
        self._advance(last)
        self._recover()
        if not self._answered.done():
            self._answered.set_result(None)
        self._flush()

    def _rewind(self) -> None:
        self._unsent.extendleft(reversed(self._unacked))
        self._unacked.clear()

    def _retry(self) -> None:
        if self._retry_handle is not None:
            self._retry_handle.cancel()
            self._retry_handle = None
        self._rewind()
        self._flush()

    # trouble

    def _gone(self, why: str) -> None:
        self._leave_socket()
        self._questions.clear()
        self._fail(why)
        if not self._answered.done():
            self._answered.set_exception(self._fault())

    def _leave_socket(self) -> None:
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self._attached = self._blocked = False

    def _fail(self, why: str) -> None:
        if not self._trouble and not self._closed:
            log.error("audit.unavailable", why=why)
        self._trouble = why
        waiters, self._waiters = self._waiters, deque()
        for _, written in waiters:
            if not written.done():
                written.set_exception(self._fault())
        for _, answer in self._asked.values():
            if not answer.done() and not self._attached:
                answer.set_exception(self._fault())

    def _recover(self) -> None:
        if self._trouble and self._last:
            log.info("audit.available")
        self._trouble = ""

    def _watch(self) -> None:
        silent = self._loop.time() - self._progress
        # Also between a writer's first word and its answer to our hello: that one may never come.
        if self.pending and silent > self._ack_timeout_s and not self._trouble:
            self._fail("the audit writer does not answer")
        self._watch_handle = self._loop.call_later(min(1.0, self._ack_timeout_s / 4), self._watch)

    def _fault(self) -> Fault:
        return Fault("audit.unavailable", "This cannot be recorded now, so it does not happen.", cause=self._trouble)


def _ignore(_packet: bytes) -> None:
    pass
