"""A provider's answer while it comes in.

First the head is awaited; then the answer is either taken whole, or handed to a sink that is fed from the
read callback. Two clocks run: one between parts, one over all; the owner's sweep calls `expire` when the
nearer of them has passed, and the answer breaks with `upstream.timeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.connection import ProviderConnection, Sink
from bawn.gateway.providers import Origin
from bawn.gateway.settings import Timeouts
from bawn.guardrails.ledger import Reservation

# What may wait here between the head and the moment somebody takes the answer.
_HIGH_WATER = 256 * 1024


class Answer:
    """A `Sink` of one provider connection."""

    __slots__ = (
        "_clock",
        "_done",
        "_ended",
        "_fault",
        "_head",
        "_held",
        "_held_bytes",
        "_idle_seconds",
        "_limit",
        "_ours",
        "_paused",
        "_sink",
        "_total",
        "_whole",
        "connection",
        "deadline",
        "headers",
        "key_id",
        "key_label",
        "origin",
        "reservation",
        "secret",
        "status",
        "usage_added",
        "whole",
    )  # fmt: skip

    def __init__(
        self,
        connection: ProviderConnection,
        timeouts: Timeouts,
        clock: Callable[[], float],
        done: Callable[[Answer], None],
        *,
        secret: bytes,
        usage_added: bool,
        ours: bool = False,
    ) -> None:
        self.connection = connection
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.secret = secret
        """The key this call was made with: whatever the provider answers, it does not pass."""
        self.key_label = ""
        """Which of the provider's keys that was, where they have labels."""
        self.key_id = ""
        self._ours = ours
        """Whether a process of ours answers, whose `x-bawn-…` headers count."""
        self.usage_added = usage_added
        """Whether the usage of a stream was asked for by us and not by the client."""
        self.origin: Origin | None = None
        self.reservation: Reservation | None = None
        """What was reserved for this attempt, until it is settled."""
        self.whole = False
        """Whether the answer came to its end as HTTP; only then may the connection be used again."""
        now = clock()
        self._clock = clock
        self._idle_seconds = timeouts.idle_seconds
        self._total = now + timeouts.total_seconds
        self.deadline = min(now + timeouts.first_byte_seconds, self._total)
        """Monotonic seconds after which the sweep breaks the answer."""
        self._done = done
        self._head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._whole: asyncio.Future[None] | None = None
        self._limit = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._sink: Sink | None = None
        self._fault: Fault | None = None
        self._ended = False
        self._paused = False

    # while the request is still on its way

    def sending(self) -> bool:
        """A part of a long request goes out: its time for an answer has not begun. False when it is pointless."""
        self.deadline = min(self._clock() + self._idle_seconds, self._total)
        return self._fault is None and not self.status

    # taking it

    async def head_arrived(self) -> None:
        """Until status and headers are there; the Fault if they never come."""
        await self._head
        if self._fault is not None and not self.status:
            raise self._fault

    async def body(self, limit: int) -> bytes:
        """The whole body. Fault `upstream.broken` when it is cut short or over `limit` bytes."""
        self._limit = limit
        if self._held_bytes > limit:
            if not self._ended:  # else it may serve another call already
                self.connection.abort()
            self._fault = self._fault or self._too_long()
        if not self._ended and self._fault is None:
            self._whole = asyncio.get_running_loop().create_future()
            if self._paused:
                self.resume()
            try:
                await self._whole
            except asyncio.CancelledError:
                self.leave()
                raise
        if self._fault is not None:
            raise self._fault
        return self._held[0] if len(self._held) == 1 else b"".join(self._held)

    def hand_to(self, sink: Sink) -> None:
        """Let everything, including what has come already, go to `sink`."""
        self._sink = sink
        held, self._held, self._held_bytes = self._held, [], 0
        for data in held:
            sink.on_data(data)
        if self._ended:
            sink.on_end()
        elif self._fault is not None:
            sink.on_broken(self._fault)
        elif self._paused:
            self.resume()

    def keep(self) -> None:
        """Whoever took it wants no more for now: what comes waits here until the next `hand_to`."""
        self._sink = None

    def pause(self) -> None:
        self._paused = True
        self.connection.pause()

    def resume(self) -> None:
        self._paused = False
        self.deadline = min(self._clock() + self._idle_seconds, self._total)
        self.connection.resume()

    def leave(self) -> None:
        """Stop: the provider's connection is closed, whatever it still had to say."""
        self._sink = None
        if not self._ended:
            self.connection.abort()
        self._done(self)

    def expire(self) -> None:
        self.connection.abort()
        self.on_broken(Fault("upstream.timeout", "The provider took too long to answer."))

    # what the connection calls

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._ours:
            # What Bawn says of a call beside its answer is said by Bawn alone.
            headers = [pair for pair in headers if not pair[0].startswith(b"x-bawn-")]
        self.status, self.headers = status, headers
        self.deadline = min(self._clock() + self._idle_seconds, self._total)
        if not self._head.done():
            self._head.set_result(None)

    def on_data(self, data: bytes) -> None:
        self.deadline = min(self._clock() + self._idle_seconds, self._total)
        if self._sink is not None:
            self._sink.on_data(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._whole is None:
            if self._held_bytes > _HIGH_WATER and not self._paused:
                self.pause()
        elif self._held_bytes > self._limit:
            self.connection.abort()
            self.on_broken(self._too_long())

    def _too_long(self) -> Fault:
        return Fault("upstream.broken", f"The provider's answer is over {self._limit} bytes.")

    def on_end(self) -> None:
        self._ended = self.whole = True
        self._done(self)
        if self._sink is not None:
            self._sink.on_end()
        elif self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    def on_broken(self, fault: Fault) -> None:
        if self._ended or self._fault is not None:
            return
        self._fault = fault
        self._done(self)
        if not self._head.done():
            self._head.set_result(None)
        if self._sink is not None:
            self._sink.on_broken(fault)
        elif self._whole is not None and not self._whole.done():
            self._whole.set_result(None)
