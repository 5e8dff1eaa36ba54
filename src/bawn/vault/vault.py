"""The vault: the keys of providers, kept sealed in the store and open in memory.

A provider may have several; a name of the operator's, its label, tells them apart. Reading for a call is a look
into memory. A change goes to the store first, then to memory. When the master key is lost or another one, the
keys sealed with the old one are *unreadable*: they are listed, using them is Fault `vault.unreadable`, and
`reset` forgets them, so that new ones can be added.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from msgspec import Struct, structs

from bawn.errors import Fault, quoted
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.vault.master import Master
from bawn.vault.seal import Seal
from bawn.vault.secret import Secret, in_one_line, parts
from bawn.vault.tables import keys

CREDENTIAL = "credential/"
"""Begins the name under which the value of a brokered credential is kept; no provider has it."""
SCRIPT = "script/"
"""Likewise of a value that scripts are given."""
PROVIDER = re.compile(rf"({CREDENTIAL}|{SCRIPT})?[a-z][a-z0-9-]{{0,62}}")
SHORTEST, LONGEST = 8, 8192
HEAVIEST = 1000

T = TypeVar("T")


class KeyInfo(Struct, frozen=True):
    """A key as it may be shown."""

    id: str
    provider: str
    name: str
    fingerprint: str
    created: datetime
    rotated: datetime | None
    readable: bool
    """False: it was sealed with another master key."""
    weight: int = 1


class OpenKey(Struct, frozen=True):
    """A key as a call needs it; another object once it was rotated."""

    id: str
    label: str
    weight: int
    secret: Secret


class Vault:
    """`learn` is given every secret that becomes known here, so that it is taken out of all that is written."""

    def __init__(
        self, store: Store, master: Master | None, clock: Clock, learn: Callable[[Iterable[str]], None]
    ) -> None:
        self._store = store
        self._seal = Seal(master) if master is not None else None
        self._clock = clock
        self._learn = learn
        self._known: dict[str, KeyInfo] = {}
        self._open: dict[str, OpenKey] = {}
        self._of: dict[str, tuple[OpenKey, ...]] = {}
        """By provider, in the order of their labels."""
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Reads and opens all keys; called once before anything is asked."""
        rows = await self._store.run(lambda connection: connection.execute(sa.select(keys)).all())
        for row in rows:
            secret = self._seal.open(row.id, row.provider, row.sealed) if self._seal is not None else None
            info = KeyInfo(
                row.id,
                row.provider,
                row.name,
                row.fingerprint,
                row.created,
                row.rotated,
                secret is not None,
                row.weight,
            )
            self._hold(info, secret)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Providers whose keys cannot be opened; for `bawn status`."""
        return tuple(dict.fromkeys(info.provider for info in self.list() if not info.readable))

    def list(self) -> Sequence[KeyInfo]:
        """All, by provider; also those that cannot be opened."""
        return tuple(sorted(self._known.values(), key=lambda info: (info.provider, info.name)))

    def keys_for(self, provider: str) -> tuple[OpenKey, ...]:
        """The provider's keys, the same object until one changes; those that cannot be opened are left out.

        Fault `vault.unreadable` when that leaves none.
        """
        found = self._of.get(provider, ())
        if not found and any(info.provider == provider for info in self._known.values()):
            raise Fault("vault.unreadable", f"The key of the provider {provider!r} cannot be opened.")
        return found

    def secret_for(self, provider: str) -> Secret | None:
        """The first of them; None when there is none."""
        found = self.keys_for(provider)
        return found[0].secret if found else None

    async def add(self, provider: str, secret: str, name: str = "", weight: int = 1) -> KeyInfo:
        """Keeps a key for a provider, which has none of that name."""
        if not PROVIDER.fullmatch(provider):
            raise Fault("api.invalid", f"{quoted(provider)} cannot be the name of a provider.")
        if len(name) > 100 or not name.isprintable():
            raise Fault("api.invalid", "The name of the key is longer than 100 characters or not printable.")
        if not 1 <= weight <= HEAVIEST:
            raise Fault("api.invalid", f"The weight of a key is 1 to {HEAVIEST}.")
        return await self._through(lambda: self._add(provider, checked(secret), name, weight))

    async def rotate(self, ref: str, secret: str) -> KeyInfo:
        """Another secret under the same id, used from the next call on. `ref`: id, provider, or `provider:label`."""
        return await self._through(lambda: self._rotate(ref, checked(secret)))

    async def remove(self, ref: str) -> KeyInfo:
        """Forgets the key that `ref` means, and tells which it was."""
        return await self._through(lambda: self._remove(ref))

    async def reset(self) -> Sequence[KeyInfo]:
        """Forgets the keys that cannot be opened, and tells which; the way on when the master key is lost."""
        return await self._through(self._reset)

    async def _add(self, provider: str, secret: str, name: str, weight: int) -> KeyInfo:
        if any((info.provider, info.name) == (provider, name) for info in self._known.values()):
            raise Fault(
                "api.conflict",
                f"There is already a key for {provider!r}" + (f" with the label {name!r}." if name else "."),
                remedy=f"Use `bawn keys rotate {provider}`, or give this one another --label.",
            )
        seal = self._sealing()
        key_id = f"key_{secrets.token_hex(8)}"
        info = KeyInfo(
            key_id, provider, name, seal.fingerprint(secret), self._clock.now(), None, readable=True, weight=weight
        )
        values = structs.asdict(info) | {"sealed": seal.close(key_id, provider, secret)}
        del values["readable"]
        # Learnt before anything can fail: from here on it must not be written anywhere.
        self._learn(parts(secret))
        await self._store.run(lambda connection: connection.execute(sa.insert(keys).values(**values)).close())
        return self._hold(info, Secret(secret))

    async def _rotate(self, ref: str, secret: str) -> KeyInfo:
        before = self._find(ref)
        seal = self._sealing()
        info = structs.replace(before, fingerprint=seal.fingerprint(secret), rotated=self._clock.now(), readable=True)
        sealed = seal.close(info.id, info.provider, secret)
        update = sa.update(keys).where(keys.c.id == info.id)
        values = {"fingerprint": info.fingerprint, "rotated": info.rotated, "sealed": sealed}
        self._learn(parts(secret))
        await self._store.run(lambda connection: connection.execute(update.values(**values)).close())
        return self._hold(info, Secret(secret))

    async def _remove(self, ref: str) -> KeyInfo:
        found = self._find(ref)
        await self._forget([found])
        return found

    async def _reset(self) -> Sequence[KeyInfo]:
        lost = [info for info in self.list() if not info.readable]
        await self._forget(lost)
        return lost

    async def _forget(self, infos: Sequence[KeyInfo]) -> None:
        ids = [info.id for info in infos]
        await self._store.run(lambda connection: connection.execute(sa.delete(keys).where(keys.c.id.in_(ids))).close())
        for info in infos:
            del self._known[info.id]
            self._open.pop(info.id, None)
            self._gather(info.provider)

    def _hold(self, info: KeyInfo, secret: Secret | None) -> KeyInfo:
        self._known[info.id] = info
        if secret is not None:
            self._learn(parts(secret.reveal()))
            self._open[info.id] = OpenKey(info.id, info.name, info.weight, secret)
        self._gather(info.provider)
        return info

    def _gather(self, provider: str) -> None:
        opened = (self._open.get(info.id) for info in self.list() if info.provider == provider)
        self._of[provider] = tuple(key for key in opened if key is not None)

    def _find(self, ref: str) -> KeyInfo:
        provider, colon, name = ref.partition(":")
        found = [
            info
            for info in self._known.values()
            if info.id == ref or (info.provider == provider and (not colon or info.name == name))
        ]
        if len(found) > 1:
            raise Fault(
                "api.conflict",
                f"{quoted(provider)} has {len(found)} keys.",
                remedy="Say which with --label, or by the id that `bawn keys list` shows.",
            )
        if not found:
            raise Fault("vault.unknown_key", f"There is no key {quoted(ref)}.")
        return found[0]

    def _sealing(self) -> Seal:
        if self._seal is None:
            raise Fault("vault.no_master_key", "There is no master key, so no key can be kept.")
        return self._seal

    async def _through(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One change after another, each carried through although whoever asked for it has gone."""

        async def in_turn() -> T:
            async with self._turn:
                return await change()

        return await asyncio.shield(asyncio.create_task(in_turn()))


def checked(secret: str) -> str:
    """The secret without the line end of a paste, a document of JSON in one line.

    Fault `api.invalid`, which does not quote it, when it is none.
    """
    secret = in_one_line(secret.strip())
    if not SHORTEST <= len(secret) <= LONGEST:
        raise Fault("api.invalid", f"A key has {SHORTEST} to {LONGEST} characters; this has {len(secret)}.")
    if not secret.isascii() or not secret.isprintable() or (" " in secret and secret[0] != "{"):
        raise Fault("api.invalid", "A key is printable ASCII without spaces: it has to stand in an HTTP header.")
    return secret
