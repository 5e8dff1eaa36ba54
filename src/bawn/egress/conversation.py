"""One connection of a container, from its first byte to its last.

It is judged by the policy that holds at each moment: at every request, and again whenever another policy comes. What is
refused is said in words and recorded; what is opened is recorded before, and when it ends, with how much went through it.
What is said on it is led by `talk`; nothing here decides: `policy` does, and `addresses`, `clienthello`, `head`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable

import structlog

from bawn.egress.addresses import Address
from bawn.egress.channel import Channel
from bawn.egress.meter import Meter
from bawn.egress.policy import TLS, Allowed, Asked, Policy, Rule, decide
from bawn.egress.reasons import Denied, answer
from bawn.egress.walls import Walled, Walls
from bawn.errors import Fault
from bawn.terms.event import Event

_log = structlog.get_logger("bawn.egress")

_FAREWELL_S = 30.0
"""For what was written last; after it a connection that takes nothing is given up."""
_HANDSHAKE_S = 10.0
_FOREVER = float("inf")

Facts = tuple[tuple[str, str], ...]


class Conversation:
    def __init__(self, walls: Walls, walled: Walled, talk: Callable[[Conversation], Awaitable[bool]]) -> None:
        """`talk` leads it, and says at the end whether the connection has to be closed; a tunnel goes on by itself."""
        self.walls = walls
        self.walled = walled
        self.id = f"egr_{os.urandom(8).hex()}"
        self.client = Channel(self._left, self._made)
        self.upstream_keeps = False
        """Whether the upstream takes another request on the connection that stands."""
        self.unseen = False
        """Whether it became a tunnel whose bytes are passed on unread."""
        self._upstream: Channel | None = None
        self._meter: Meter | None = None
        self._asked: Asked | None = None
        self._deadline = _FOREVER
        """Of what is waited for now."""
        self._ends = _FOREVER
        """Of the connection that is open."""
        self._talk = talk
        self._task: asyncio.Task[None] | None = None
        self._why_cut = ""
        self._crowded = walls.crowded(walled)
        walled.standing.add(self)
        walls.connections += 1

    # what its parts use

    def wait_at_most(self, seconds: float | None) -> None:
        """For whatever comes next; None when an open connection's own limits are enough."""
        self._deadline = _FOREVER if seconds is None else self.walls.monotonic() + seconds

    def decide(self, asked: Asked) -> Allowed:
        """What the policy of this moment says. Denied when it says no, and when there is none."""
        self._asked = asked
        return _judged(self.walled.policy, asked)

    async def open(self, asked: Asked, allowed: Allowed, *, encrypted: bool = False) -> None:
        """A connection to what is allowed, its record durable before it. Denied when there is none.

        `encrypted`: TLS of our own, in which the upstream proves to be `asked.host`.
        """
        self.shut()
        walls, rule = self.walls, allowed.rule
        self.wait_at_most(walls.limits.opening_s)
        spent = self.walled.spent_on(rule.host)
        if rule.bytes is not None and spent.bytes >= rule.bytes:
            raise _denied("egress.budget", f"What may be sent to {asked.host} is used up.", asked)
        if not walls.recorder.ready:
            raise _denied("egress.unavailable", "The gateway is not there, so nothing is opened.", asked)
        addresses = await walls.way.addresses(self.walled.lookups, asked.host, asked.port)
        shown = " ".join(map(str, addresses[:4]))
        await self.recorded("egress.opened", asked, (("addresses", shown), ("rule", rule.source)))
        self._upstream = await self._connected(addresses, asked, encrypted=encrypted)
        self._meter = Meter(spent, rule.bytes, walls.monotonic, lambda: self._cut("egress.budget"))
        self.upstream_keeps = True
        self._ends = walls.monotonic() + min(walls.limits.total_s, rule.seconds or _FOREVER)
        self.wait_at_most(None)

    async def keep_open(self, asked: Asked, allowed: Allowed) -> None:
        """The encrypted connection that stands, if it takes another request; else a new one."""
        if self._meter is not None and self.upstream_keeps and self.upstream.quiet:
            self._meter.bound(allowed.rule.bytes)
            self.wait_at_most(None)
        else:
            await self.open(asked, allowed, encrypted=True)

    def must_be_seen(self, asked: Asked, rule: Rule) -> bool:
        """Whether the requests of a tunnel have to be seen, so that its TLS ends here."""
        brokered = asked.port == TLS and any(each.host == asked.host for each in self.walled.credentials)
        return rule.terminated or brokered

    @property
    def upstream(self) -> Channel:
        if self._upstream is None:
            raise ConnectionAbortedError("nothing is open")
        return self._upstream

    @property
    def meter(self) -> Meter:
        if self._meter is None:
            raise ConnectionAbortedError("nothing is open")
        return self._meter

    def shut(self) -> None:
        """What was opened ends, and the record hears how much went through it."""
        upstream, self._upstream = self._upstream, None
        meter, self._meter = self._meter, None
        if upstream is not None and not upstream.lost:
            upstream.close()
            self.walls.leave(upstream, _FAREWELL_S)
        if meter is not None:
            facts = (("sent", str(meter.up)), ("received", str(meter.down)), ("seconds", f"{meter.seconds:.3f}"))
            self.walls.recorder.note(self._event("egress.closed", self._asked, facts, self._why_cut))

    async def recorded(self, event: str, asked: Asked, facts: Facts) -> str:
        """The id of a record that is durable. Denied when it cannot be."""
        try:
            return await self.walls.recorder.record(self._event(event, asked, facts))
        except Fault as fault:
            raise _denied("egress.unavailable", "This cannot be recorded now, so it is not done.", asked) from fault

    def refused(self, denied: Denied) -> None:
        """Tell the record, at a bounded rate."""
        left_out = self.walled.refusals.take()
        if left_out is None:
            return
        asked = Asked(denied.host, denied.port) if denied.host else self._asked
        facts = (("sentence", denied.sentence), *((("left_out", str(left_out)),) if left_out else ()))
        self.walls.recorder.note(self._event("egress.refused", asked, facts, denied.code))

    # what stands open (`walls.Standing`)

    def judge(self, policy: Policy | None) -> None:
        if self._asked is None:
            return
        try:
            rule = _judged(policy, self._asked).rule
        except Denied:
            self._cut("egress.revoked")
            return
        if self.unseen and self.must_be_seen(self._asked, rule):
            self._cut("egress.revoked")
        elif self._meter is not None:
            self._meter.bound(rule.bytes)
            self._ends = self._meter.began + min(self.walls.limits.total_s, rule.seconds or _FOREVER)

    def look(self, now: float) -> None:
        if now >= self._deadline:
            self._cut("egress.too_slow")
        elif self._meter is not None and now >= self._ends:
            self._cut("egress.time")
        elif self._meter is not None and now - self._meter.last >= self.walls.limits.idle_s:
            self._cut("egress.idle")

    def cut(self) -> None:
        self._cut("egress.revoked")

    # inside

    def _made(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.id)

    async def _run(self) -> None:
        try:
            if self._crowded:
                raise Denied("egress.busy", "This container has too many connections open.")
            if await self._talk(self):
                self._farewell(b"")
        except Denied as denied:
            self.refused(denied)
            self._farewell(answer(denied))
        except Fault as fault:
            unable = Denied(fault.code, fault.sentence)
            self.refused(unable)
            self._farewell(answer(unable))
        except ConnectionError:
            self.client.abort()
        except Exception:  # noqa: BLE001 - the outermost loop of a conversation; it is logged with its id
            _log.exception("egress.conversation_failed", call=self.id)
            self._cut("internal")

    def _farewell(self, words: bytes) -> None:
        self.client.write(words)
        self.client.close()
        self.wait_at_most(_FAREWELL_S)

    async def _connected(self, addresses: tuple[Address, ...], asked: Asked, *, encrypted: bool) -> Channel:
        connection = await self.walls.way.dial(addresses, asked.host, asked.port)
        loop = asyncio.get_running_loop()
        try:
            if encrypted:
                _, channel = await loop.create_connection(
                    Channel,
                    sock=connection,
                    ssl=self.walls.trust,
                    server_hostname=asked.host,
                    ssl_handshake_timeout=_HANDSHAKE_S,
                )
            else:
                _, channel = await loop.create_connection(Channel, sock=connection)
        except ssl.SSLError as error:
            connection.close()
            raise _denied("egress.upstream_broken", f"{asked.host} did not prove to be it by TLS.", asked) from error
        except OSError as error:
            connection.close()
            raise _denied("egress.unreachable", f"{asked.host} closed the connection at once.", asked) from error
        except BaseException:
            connection.close()
            raise
        return channel

    def _cut(self, why: str) -> None:
        self._why_cut = self._why_cut or why
        if self._upstream is not None:
            self._upstream.abort()
        self.client.abort()
        if self._task is not None:
            self._task.cancel()

    def _left(self) -> None:
        """The container's side is gone, in whatever way."""
        self.walled.standing.discard(self)
        self.walls.connections -= 1
        if self._task is not None:
            self._task.cancel()
        self.shut()

    def _event(self, event: str, asked: Asked | None, facts: Facts, code: str = "") -> Event:
        where: Facts = ()
        if asked is not None:
            where = (("host", asked.host), ("port", str(asked.port)))
        return Event(
            event,
            endpoint="" if asked is None else f"{asked.host}:{asked.port}",
            method="" if asked is None else asked.method or "CONNECT",
            container=self.walled.uuid,
            call=self.id,
            code=code,
            detail=(*where, *facts),
        )


def _judged(policy: Policy | None, asked: Asked) -> Allowed:
    if policy is None:
        sentence = "Nothing is allowed for this container now."
        raise _denied("egress.unavailable", sentence, asked)
    verdict = decide(policy, asked)
    if isinstance(verdict, Denied):
        raise verdict
    return verdict


def _denied(code: str, sentence: str, asked: Asked) -> Denied:
    return Denied(code, sentence, host=asked.host, port=asked.port)
