"""Which key proves the next call, and how it is put on: the one place that opens secrets of providers.

Of several keys of a provider each gets its share by weight, in the smoothest order (smooth weighted round robin: what
each is owed grows by its weight, who is owed most is taken and gives the sum back). A key that was refused or has had
too many calls *rests*: it is left out until then, unless all rest; then the one whose rest ends first is used, because
a call that may fail is better than one that must. What is known of a key holds until it is rotated.

How a key is put on is the kind's habit: as a header that is written once, as a signature over the exact request, or as
a token that it was exchanged for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.habits import HABITS, Proof
from bawn.gateway.pace import asked_wait
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Address
from bawn.gateway.sigv4 import AwsKey, ToSign, aws_key, signed
from bawn.gateway.tokens import Tokens
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.vault.secret import Secret
from bawn.vault.vault import OpenKey

ABOUT_KEYS = frozenset((401, 403, 429))
"""Statuses after which a key rests."""
REFUSED_REST = 600.0
LONGEST_REST, USUAL_REST = 60.0, 5.0
"""Seconds after 429: at most what `retry-after` says, and without one."""
NONE_BARRED: frozenset[str] = frozenset()
_SERVICE = "bedrock"
_CONTENT_TYPE = re.compile(rb"\r\ncontent-type: ([^\r\n]*)")


class Secrets(Protocol):
    def keys_for(self, provider: str) -> tuple[OpenKey, ...]:
        """The provider's keys, the same object until one changes. Fault `vault.unreadable`."""


class Key:
    """One key of a provider, ready to be put on requests."""

    fetched = False
    """Whether `ready` has to be awaited before each use."""

    def __init__(self, held: OpenKey, secret: str) -> None:
        self.held = held
        self.label = held.label
        self.owed = 0
        self.rests_until = 0.0
        """Monotonic seconds."""
        self.secret = secret.encode("ascii")
        """What is sent of it and must not come back to a client."""

    async def ready(self) -> None:
        """Nothing is waited for."""

    def put_on(self, lines: list[bytes], method: str, path: str, body: bytes | AsyncIterator[bytes]) -> None:
        """Adds the proof to the lines of a head, over what else is sent. This kind of key adds nothing."""

    def refused(self) -> None:
        """The provider did not accept it."""


NO_KEY = Key(OpenKey("", "", 1, Secret("")), "")
"""For a provider that wants none."""


class SentKey(Key):
    """It is sent as it stands, in a line that is written once."""

    def __init__(self, address: Address, held: OpenKey) -> None:
        super().__init__(held, held.secret.reveal())
        self._line = b"%b: %b" % address.key_header(held.secret.reveal())

    def put_on(self, lines: list[bytes], method: str, path: str, body: bytes | AsyncIterator[bytes]) -> None:
        lines.append(self._line)


class SigningKey(Key):
    """A key of AWS: it signs and stays here."""

    def __init__(self, address: Address, held: OpenKey, key: AwsKey, clock: Clock) -> None:
        super().__init__(held, key.session or key.id)
        self._key = key
        self._address = address
        self._clock = clock

    def put_on(self, lines: list[bytes], method: str, path: str, body: bytes | AsyncIterator[bytes]) -> None:
        if not isinstance(body, bytes):
            raise Fault("request.wire_mismatch", "This provider takes no requests in parts: each is signed whole.")
        path, _, query = path.partition("?")
        headers = [("host", self._address.origin.authority)]
        if found := _CONTENT_TYPE.search(b"\r\n".join(lines)):
            headers.append(("content-type", found[1].decode("ascii")))
        request = ToSign(method, path, query, tuple(headers), body)
        added = signed(request, self._key, self._address.region, _SERVICE, self._clock.now())
        lines += [f"{name}: {value}".encode("ascii") for name, value in added]


class TokenKey(Key):
    """A key of a service account: it is exchanged for tokens and stays here."""

    fetched = True

    def __init__(self, address: Address, held: OpenKey, tokens: Tokens) -> None:
        super().__init__(held, "")
        self._address = address
        self._tokens = tokens
        self._token = ""
        self._line = b""

    async def ready(self) -> None:
        await self._tokens.ready()
        if self._tokens.token != self._token:
            self._token = self._tokens.token
            self.secret = self._token.encode("ascii")
            self._line = b"%b: %b" % self._address.key_header(self._token)

    def put_on(self, lines: list[bytes], method: str, path: str, body: bytes | AsyncIterator[bytes]) -> None:
        lines.append(self._line)

    def refused(self) -> None:
        self._tokens.forget()


class _Ring:
    """The keys of one provider, in turn."""

    __slots__ = ("address", "held", "keys", "only")

    def __init__(self, address: Address, held: tuple[OpenKey, ...], keys: list[Key]) -> None:
        self.address = address
        self.held = held
        self.keys = keys
        self.only = keys[0] if len(keys) == 1 else None

    def next(self, now: float, without: Key | None = None, barred: frozenset[str] = NONE_BARRED) -> Key | None:
        awake = [
            key for key in self.keys if key.rests_until <= now and key is not without and key.held.id not in barred
        ]
        if not awake:
            return None
        for key in awake:
            key.owed += key.held.weight
        chosen = max(awake, key=_owed)
        chosen.owed -= sum(key.held.weight for key in awake)
        return chosen


class Keyring:
    """All keys as calls need them; lives longer than a configuration, so that a reload wakes no key."""

    def __init__(
        self, secrets: Secrets, pool: Pool, clock: Clock, note: Callable[[Event], None] = lambda event: None
    ) -> None:
        self._secrets = secrets
        self._pool = pool
        self._clock = clock
        self._note = note
        self._rings: dict[str, _Ring] = {}

    def take(self, address: Address, barred: frozenset[str] = NONE_BARRED) -> Key:
        """The key for the next call, rather none of those whose ids are barred. Faults `upstream.no_key`,
        `vault.unreadable`."""
        if not address.needs_key:
            return NO_KEY
        ring = self._ring(address)
        if ring.only is not None:
            return ring.only
        return ring.next(self._clock.monotonic(), None, barred) or min(ring.keys, key=_rest)

    def usable(self, address: Address, barred: frozenset[str]) -> bool:
        """Whether a key neither rests nor is barred. Faults as of `take`."""
        if not address.needs_key:
            return True
        now = self._clock.monotonic()
        return any(key.rests_until <= now and key.held.id not in barred for key in self._ring(address).keys)

    def all(self, address: Address) -> Sequence[Key]:
        """Every key there is for it, or the one that stands for none."""
        return self._ring(address).keys if address.needs_key else (NO_KEY,)

    def told(self, address: Address, key: Key, status: int, headers: Sequence[tuple[bytes, bytes]]) -> Key | None:
        """The provider answered a status of `ABOUT_KEYS`: the key rests. Another one, if the call can be tried with it.

        After 403 it does not rest yet: providers also say it of a model or of what was asked, and a container must not
        put keys of others to rest by asking for what nobody may. It is `refused` once another key was not told the same.
        """
        if key is NO_KEY:
            return None
        if status == 401:
            key.refused()
        if status != 403:
            self._rest(address, key, status, REFUSED_REST if status == 401 else self._asked_rest(headers))
        if status == 429:
            return None
        try:
            return self._ring(address).next(self._clock.monotonic(), key)
        except Fault:  # the keys were taken away meanwhile; there is an answer already, which is not to be lost
            return None

    def refused(self, address: Address, key: Key) -> None:
        """The key was told 403 where another one was not: it is about the key."""
        self._rest(address, key, 403, REFUSED_REST)

    def served(self, key: Key) -> None:
        """The provider took the key: whatever was wrong with it is over."""
        key.rests_until = 0.0

    def _rest(self, address: Address, key: Key, status: int, rest: float) -> None:
        now = self._clock.monotonic()
        if key.rests_until <= now:
            facts = (("label", key.label), ("seconds", str(round(rest))))
            self._note(Event("key.rests", provider=address.name, status=status, detail=facts))
        key.rests_until = max(key.rests_until, now + rest)

    def resting(self, provider: str) -> dict[str, float]:
        """By the ids of keys, for how many seconds they rest."""
        ring, now = self._rings.get(provider), self._clock.monotonic()
        if ring is None:
            return {}
        return {key.held.id: key.rests_until - now for key in ring.keys if key.rests_until > now}

    def _asked_rest(self, headers: Sequence[tuple[bytes, bytes]]) -> float:
        seconds = asked_wait(headers, self._clock.now())
        return USUAL_REST if seconds is None else min(seconds, LONGEST_REST)

    def _ring(self, address: Address) -> _Ring:
        held = self._secrets.keys_for(address.name)
        ring = self._rings.get(address.name)
        if ring is not None and ring.held is held and ring.address is address:
            return ring
        if not held:
            raise Fault(
                "upstream.no_key",
                f"There is no key for the provider {address.name!r}.",
                remedy=f"Ask the operator to run `bawn keys add {address.name}`.",
            )
        # Where the address is the same, so is the key, with its rest and its token.
        before = {key.held: key for key in ring.keys} if ring is not None and ring.address == address else {}
        made = [before.get(each) or self._made(address, each) for each in held]
        for key in ring.keys if ring is not None and not before else ():
            for other in made:
                if other.held is key.held:
                    other.rests_until = key.rests_until
        ring = self._rings[address.name] = _Ring(address, held, made)
        return ring

    def _made(self, address: Address, held: OpenKey) -> Key:
        return _MAKERS[HABITS[address.kind].proof](address, held, self._pool, self._clock)


def _plain(address: Address, held: OpenKey, pool: Pool, clock: Clock) -> Key:
    return SentKey(address, held)


def _aws(address: Address, held: OpenKey, pool: Pool, clock: Clock) -> Key:
    key = aws_key(held.secret.reveal())
    return SigningKey(address, held, key, clock) if key is not None else SentKey(address, held)


def _token(address: Address, held: OpenKey, pool: Pool, clock: Clock) -> Key:
    return TokenKey(address, held, Tokens(held.secret.reveal(), pool, clock))


_MAKERS: dict[Proof, Callable[[Address, OpenKey, Pool, Clock], Key]] = {
    Proof.HEADER: _plain,
    Proof.AWS: _aws,
    Proof.SERVICE_ACCOUNT: _token,
}


def _owed(key: Key) -> int:
    return key.owed


def _rest(key: Key) -> float:
    return key.rests_until
