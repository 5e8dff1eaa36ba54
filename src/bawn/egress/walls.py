"""What this process knows of each container: its policy, its entrusted values, what it used, and what stands open.

A container without a policy reaches nothing. Policies are exchanged whole; whatever stands open is judged anew by the new
one, and what it would not open is cut. Revoking cuts everything at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from bawn.egress.authority import Authority
from bawn.egress.channel import Channel
from bawn.egress.credentials import Brokered, Uses, brokered
from bawn.egress.dial import LOOKUPS, Way
from bawn.egress.meter import Spent
from bawn.egress.policy import Policy
from bawn.egress.recorder import Recorder, Thinned
from bawn.egress.scrub import Search
from bawn.errors import Fault


@dataclass(frozen=True, slots=True)
class Limits:
    connections: int = 256
    """Of one container at once."""
    connections_in_all: int = 4096
    head_s: float = 10.0
    """For a request's head, and for a ClientHello."""
    opening_s: float = 30.0
    """For everything between a head and an open connection."""
    idle_s: float = 300.0
    """Without a byte in either direction, or between two requests."""
    total_s: float = 6 * 3600.0
    """Of one connection, where no rule says less."""


class Standing(Protocol):
    """Something that stands open for a container."""

    def judge(self, policy: Policy | None) -> None:
        """Another policy holds: cut what it would not open."""

    def look(self, now: float) -> None:
        """Time went by: cut what is overdue."""

    def cut(self) -> None: ...


@dataclass(slots=True)
class Walled:
    """One container."""

    uuid: str
    refusals: Thinned
    policy: Policy | None = None
    credentials: tuple[Brokered, ...] = ()
    search: Search = field(default_factory=Search)
    """Their values, as they are looked for in answers."""
    lookups: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKUPS))
    uses: Uses = field(default_factory=Uses)
    spent: dict[str, Spent] = field(default_factory=dict)
    standing: set[Standing] = field(default_factory=set)

    def spent_on(self, pattern: str) -> Spent:
        """By the pattern of the rule: below `*.name` there are as many names as anybody likes."""
        return self.spent.setdefault(pattern, Spent())


class Walls:
    def __init__(
        self,
        recorder: Recorder,
        authority: Authority,
        way: Way,
        monotonic: Callable[[], float],
        limits: Limits | None = None,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.recorder = recorder
        self.authority = authority
        self.way = way
        self.monotonic = monotonic
        self.limits = limits or Limits()
        self.trust = trust or ssl.create_default_context()
        """By which upstreams have to prove who they are, where TLS ends here: the host's own trust store."""
        self.trust.set_alpn_protocols(["http/1.1"])
        self._walled: dict[str, Walled] = {}
        self._leaving: dict[Channel, float] = {}
        """Connections that are closed here and still have something to deliver, and until when they may."""
        self.connections = 0
        """Of all containers at once."""

    def of(self, uuid: str) -> Walled:
        walled = self._walled.get(uuid)
        if walled is None:
            walled = self._walled[uuid] = Walled(uuid, Thinned(self.monotonic))
        return walled

    def crowded(self, walled: Walled) -> bool:
        """Whether one more connection would be too many."""
        limits = self.limits
        return len(walled.standing) >= limits.connections or self.connections >= limits.connections_in_all

    # what the gateway says

    def rule(self, uuid: str, said: object) -> None:
        """Another policy for a container, whole; none takes everything back. Fault `egress.policy_invalid`."""
        policy = None
        if said is not None:
            try:
                policy = msgspec.convert(said, Policy)
            except (msgspec.ValidationError, ValueError, TypeError) as error:
                raise Fault(
                    "egress.policy_invalid", "The policy cannot be read; the one before it holds.", cause=str(error)
                ) from error
            if policy.uuid != uuid:
                raise Fault("egress.policy_invalid", "The policy is another container's; the one before it holds.")
        walled = self.of(uuid)
        walled.policy = policy
        for each in tuple(walled.standing):
            each.judge(policy)

    def revoke(self, uuid: str) -> None:
        """Nothing passes any more, and what passes ends now."""
        walled = self._walled.get(uuid)
        if walled is not None:
            walled.policy = None
            walled.credentials, walled.search = (), Search()
            for each in tuple(walled.standing):
                each.cut()

    def entrust(self, uuid: str, said: object) -> None:
        """The values of a container, all of them. Fault `egress.policy_invalid`."""
        walled = self.of(uuid)
        credentials = brokered(uuid, said)
        if credentials != walled.credentials:  # said with every policy, and a search costs milliseconds to make
            walled.credentials = credentials
            walled.search = Search(each.secret for each in credentials)

    def remove(self, uuid: str) -> None:
        self.revoke(uuid)
        self._walled.pop(uuid, None)

    # the life of this process

    def forget(self) -> None:
        """The gateway is gone: nothing that it said opens anything from now on."""
        for walled in self._walled.values():
            walled.policy = None
            walled.credentials, walled.search = (), Search()

    def cut_unspoken(self) -> None:
        """Cut what stands open for containers of which no gateway has spoken since."""
        for walled in tuple(self._walled.values()):
            if walled.policy is None:
                for each in tuple(walled.standing):
                    each.cut()

    def terminated(self) -> Iterable[str]:
        """Hosts whose TLS ends here for some container."""
        for walled in self._walled.values():
            if walled.policy is not None:
                yield from (rule.host for rule in walled.policy.rules if rule.terminated)
            yield from (each.host for each in walled.credentials)

    def leave(self, channel: Channel, within_s: float) -> None:
        """Nobody watches it any more: what it does not take in time is given up."""
        self._leaving[channel] = self.monotonic() + within_s

    def sweep(self) -> None:
        now = self.monotonic()
        for channel, until in tuple(self._leaving.items()):
            if channel.lost or now >= until:
                del self._leaving[channel]
                channel.abort()
        for walled in tuple(self._walled.values()):
            for each in tuple(walled.standing):
                each.look(now)
