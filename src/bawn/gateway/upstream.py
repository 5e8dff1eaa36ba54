"""Calling a provider: the only place where a key is put on a request.

`send` takes an `Opened` and nothing else, so that nothing unrecorded can be sent. The head that goes out
is built here from an allow-list; nothing of the client's head passes by default. One retry is made by
itself, and only when a kept connection turned out closed before a single byte came back.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache

from bawn import __version__
from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.connection import PIECE, ProviderConnection
from bawn.gateway.credentials import ABOUT_KEYS, NONE_BARRED, Key, Keyring
from bawn.gateway.habits import HABITS
from bawn.gateway.opening import Opened
from bawn.gateway.passage import Passage, accepted, passage
from bawn.gateway.pipeline import Prepared
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Address, Serving
from bawn.gateway.settings import Timeouts
from bawn.guardrails.ledger import Ledger
from bawn.terms.exchange import Endpoint, Exchange, Usage, WireName
from bawn.terms.value import Value
from bawn.translation.thoughts import KeptThoughts
from bawn.wire import wire
from bawn.wire.anthropic_betas import passed_betas
from bawn.wire.fields import with_fields
from bawn.wire.multipart import content_type_of
from bawn.wire.objects import ENDPOINTS
from bawn.wire.openai_sound import SOUND

_PASSED = frozenset((b"anthropic-version", b"anthropic-beta", b"idempotency-key", b"x-stainless-helper-method"))

_JSON = b"content-type: application/json"


@lru_cache(256)
def _start(address: Address, path: str, accepted: bytes) -> bytes:
    """The part of a head that is the same for all calls of a kind."""
    return b"\r\n".join(
        (
            b"POST %b HTTP/1.1" % path.encode("ascii"),
            b"host: %b" % address.origin.authority.encode("ascii"),
            b"accept: %b" % accepted,
            # Streams must be read on the way; a compressed one could not be.
            b"accept-encoding: identity",
            b"user-agent: bawn/%b" % __version__.encode("ascii"),
        )
    )


class Request(Value, frozen=True):
    """What goes out to a provider."""

    address: Address
    head: bytes
    body: bytes | AsyncIterator[bytes]
    """Whole, or in parts as they come from the client."""
    key: Key
    usage_added: bool


class _ClosedWhileKept(Exception):
    """A kept connection was closed by the provider before it could read the request."""


class Upstream:
    def __init__(
        self,
        addresses: Mapping[str, Address],
        keys: Keyring,
        pool: Pool,
        ledger: Ledger,
        timeouts: Timeouts,
        clock: Callable[[], float],
        running: set[Answer],
        thoughts: KeptThoughts | None = None,
    ) -> None:
        self.addresses = addresses
        self._keys = keys
        self._pool = pool
        self._ledger = ledger
        self._timeouts = timeouts
        self._clock = clock
        # Shared with the Upstream of the configuration before, so that a reload forgets no timeout.
        self._running = running
        self._thoughts = thoughts if thoughts is not None else KeptThoughts()

    def passage(self, prepared: Prepared) -> Passage:
        """How the call will reach its provider, or the Fault that says why it cannot."""
        return passage(prepared, self.addresses[prepared.target.provider], self._thoughts)

    def keepers(self, speaks: WireName) -> tuple[str, ...]:
        """The providers that keep objects by this wire."""
        return tuple(name for name, address in self.addresses.items() if speaks in HABITS[address.kind].keeps)

    def usable(self, provider: str, barred: frozenset[str]) -> bool:
        """Whether one of its keys neither rests nor is barred. Faults `upstream.no_key`, `vault.unreadable`."""
        return self._keys.usable(self.addresses[provider], barred)

    def spare_key(self, provider: str, barred: frozenset[str]) -> bool:
        """Whether there is such a key beside one that has just been told to rest."""
        address = self.addresses[provider]
        try:
            return address.needs_key and self._keys.usable(address, barred)
        except Fault:  # the keys were taken away meanwhile
            return False

    async def send(self, opened: Opened, way: Passage, barred: frozenset[str] = NONE_BARRED) -> Answer:
        """The provider's answer once its head is there, rather not with a key whose id is barred. Faults of `upstream.*`;
        cancelling leaves the provider."""
        prepared = opened.prepared
        address = self.addresses[prepared.target.provider]
        served = way.serving
        if way.carriage is not None:
            body, usage_added = way.carriage.request(), False
        else:
            body, usage_added = self._body(opened)
        if served.fields:
            body = with_fields(body, served.fields)
        key = self._keys.take(address, barred)
        try:
            answer = await self._with_key(opened, address, served, body, usage_added, key)
        except Fault as fault:
            # Refused where it is exchanged for a token: then this provider has not been asked yet.
            other = self._keys.told(address, key, 401, ()) if fault.code == "upstream.key_refused" else None
            if other is None:
                raise
            key, answer = other, await self._with_key(opened, address, served, body, usage_added, other)
        if answer.status not in ABOUT_KEYS:
            if key.rests_until:
                self._keys.served(key)
            return answer
        status, other = answer.status, self._keys.told(address, key, answer.status, answer.headers)
        if other is None:
            return answer
        answer.leave()
        self.settle(answer, None)
        answer = await self._with_key(opened, address, served, body, usage_added, other)
        if answer.status in ABOUT_KEYS:
            self._keys.told(address, other, answer.status, answer.headers)
        elif status == 403:
            self._keys.refused(address, key)
        return answer

    async def _with_key(
        self, opened: Opened, address: Address, served: Serving, body: bytes, usage_added: bool, key: Key
    ) -> Answer:
        if key.fetched:
            await key.ready()
        request = Request(address, self._head(opened, address, served, body, key), body, key, usage_added)
        container = opened.prepared.admitted.container.uuid
        # Each attempt is reserved and settled by itself: a retry is a call to the provider as well.
        try:
            return await self._attempt(request, container, fresh=False)
        except _ClosedWhileKept:
            return await self._attempt(request, container, fresh=True)

    async def forward(
        self, opened: Opened, method: str, path: str, content_type: bytes, body: bytes | AsyncIterator[bytes]
    ) -> Answer:
        """As `send`, for a call about an object that the provider keeps; `path` stands behind the provider's own.

        Nothing but a reading is tried twice: what a call did to an object that was cut, nobody knows.
        """
        prepared = opened.prepared
        address = self.addresses[prepared.target.provider]
        key = self._keys.take(address)
        if key.fetched:
            await key.ready()
        path = f"{address.prefix}/{path}"
        lines = [
            b"%b %b HTTP/1.1" % (method.encode("ascii"), path.encode("ascii")),
            b"host: %b" % address.origin.authority.encode("ascii"),
            b"accept-encoding: identity",
            b"user-agent: bawn/%b" % __version__.encode("ascii"),
        ]
        if content_type:
            lines.append(b"content-type: %b" % content_type)
        if not isinstance(body, bytes):
            lines.append(b"transfer-encoding: chunked")
        elif body or method == "POST":
            lines.append(b"content-length: %d" % len(body))
        self._finish_head(lines, opened, prepared.exchange.wire)
        key.put_on(lines, method, path, body)
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        request = Request(address, head, body, key, usage_added=False)
        container = prepared.admitted.container.uuid
        try:
            answer = await self._attempt(request, container, fresh=method != "GET")
        except _ClosedWhileKept:
            answer = await self._attempt(request, container, fresh=True)
        if answer.status in ABOUT_KEYS:
            self._keys.told(address, key, answer.status, answer.headers)
        return answer

    async def _attempt(self, request: Request, container: str, *, fresh: bool) -> Answer:
        reservation = self._ledger.reserve(container)
        try:
            connection = await self._pool.take(request.address.origin, fresh=fresh)
            kept = connection.used > 0
            answer = Answer(
                connection,
                self._timeouts,
                self._clock,
                self._done,
                secret=request.key.secret,
                usage_added=request.usage_added,
            )
            self._running.add(answer)
            try:
                if isinstance(request.body, bytes) and len(request.body) <= PIECE:
                    connection.send(request.head, request.body, answer)
                elif isinstance(request.body, bytes):
                    connection.send(request.head, b"", answer)
                    await connection.send_long(request.body)
                else:
                    connection.send(request.head, b"", answer)
                    await _sent_in_parts(request.body, connection, answer)
                await answer.head_arrived()
            except Fault as fault:
                answer.leave()
                if kept and not connection.answered and fault.code == "upstream.broken":
                    raise _ClosedWhileKept from fault
                raise
            except BaseException:
                answer.leave()
                raise
        except BaseException:
            self._ledger.settle(reservation, None)
            raise
        answer.origin = request.address.origin
        answer.reservation = reservation
        answer.key_id, answer.key_label = request.key.held.id, request.key.label
        return answer

    def settle(self, answer: Answer, usage: Usage | None) -> None:
        """Give back what was reserved for an answer, against what it used."""
        if answer.reservation is not None:
            self._ledger.settle(answer.reservation, usage)
            answer.reservation = None

    def sweep(self) -> None:
        """Let the timeouts of running answers fire; called every few hundredths of a second."""
        now = self._clock()
        for answer in [answer for answer in self._running if answer.deadline <= now]:
            answer.expire()

    def _done(self, answer: Answer) -> None:
        self._running.discard(answer)
        if answer.whole and answer.origin is not None:
            # Once, though an answer that has ended is also left: given back twice, it would serve two calls at a time.
            origin, answer.origin = answer.origin, None
            self._pool.give(origin, answer.connection)

    def _body(self, opened: Opened) -> tuple[bytes, bool]:
        """The client's bytes, with another model name where ours differs and with usage asked for on streams."""
        exchange, target = opened.prepared.exchange, opened.prepared.target
        speaks = wire(exchange.wire)
        body = exchange.body
        if exchange.model != target.model:
            body = speaks.with_model(body, target.model)
        if exchange.wire is WireName.RESPONSES:
            return speaks.unkept(body), False
        if exchange.stream and exchange.wire is WireName.OPENAI:
            with_usage = speaks.with_usage(body)
            return with_usage, with_usage != body
        return body, False

    def _head(self, opened: Opened, address: Address, served: Serving, body: bytes, key: Key) -> bytes:
        exchange = opened.prepared.exchange
        wanted, kind = accepted(served.wire, stream=exchange.stream), _JSON
        if exchange.endpoint in SOUND:
            wanted = b"*/*"
            if exchange.endpoint is Endpoint.TRANSCRIPTIONS:
                kind = b"content-type: %b" % content_type_of(exchange.body)
        lines = [_start(address, served.path, wanted), kind, b"content-length: %d" % len(body)]
        self._finish_head(lines, opened, served.wire)
        key.put_on(lines, "POST", served.path, body)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @staticmethod
    def _finish_head(lines: list[bytes], opened: Opened, speaks: WireName) -> None:
        """What of the client's head passes to a provider of the wire that it speaks."""
        exchange = opened.prepared.exchange
        versioned = False
        for name, value in opened.prepared.admitted.raw.headers:
            if name not in _PASSED or (speaks is not WireName.ANTHROPIC and name.startswith(b"anthropic-")):
                continue
            if name == b"anthropic-beta":
                value = passed_betas(
                    value, exchange.hosted_tools, kept=bool(exchange.resources) or _is_about_objects(exchange)
                )
            if name == b"idempotency-key":
                # The account is that of all containers: a key of one must not bring it the answer of another.
                container = opened.prepared.admitted.container.uuid.encode("ascii")
                value = hashlib.sha256(container + b"\n" + value).hexdigest().encode("ascii")
            if value:
                lines.append(b"%b: %b" % (name, value))
                versioned = versioned or name == b"anthropic-version"
        if speaks is WireName.ANTHROPIC and not versioned:
            lines.append(b"anthropic-version: 2023-06-01")


def _is_about_objects(exchange: Exchange) -> bool:
    return exchange.endpoint in ENDPOINTS.values()


async def _sent_in_parts(parts: AsyncIterator[bytes], connection: ProviderConnection, answer: Answer) -> None:
    """Send a body as it comes, until its end or until the provider has answered without waiting for it."""
    async for part in parts:
        if not answer.sending():
            connection.reusable = False
            return
        await connection.send_part(part)
    answer.sending()
    connection.send_end()
