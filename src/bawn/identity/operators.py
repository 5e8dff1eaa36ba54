"""The named people who run this installation, and how each is known.

On the unix socket a person is the user id that the kernel reports for the peer. On 127.0.0.1 a person is a
personal token, `bawn_pat_<id>_<secret>`: shown once, kept as SHA-256, compared in constant time, with an
expiry and a revocation that hold from the next request on. The secret is 256 random bits, so a plain hash
is enough; there is nothing to guess. Nothing else makes an Operator.

There is always an admin: the last one can be neither removed nor made less.
"""

from __future__ import annotations

import hashlib
import hmac
import pwd
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct, structs

from bawn.errors import Fault, quoted
from bawn.identity.record import ahead
from bawn.identity.registry import Keeper
from bawn.identity.tables import operator_tokens, operators
from bawn.identity.turn import Turn
from bawn.terms.clock import Clock
from bawn.terms.principal import Operator, Role

PERSON = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
TOKEN = re.compile(r"bawn_pat_([0-9a-f]{16})_([0-9a-f]{64})")

DEFAULT_LIFETIME = timedelta(days=90)
USE_NOTED_EVERY = timedelta(minutes=1)
"""How exact `last_used` is: one write a minute and token is enough to see that one is in use."""


class OperatorRecord(Struct, frozen=True):
    person: str
    roles: frozenset[Role]
    uid: int | None
    """None: known by token only."""
    created: datetime

    @property
    def operator(self) -> Operator:
        return Operator(self.person, self.roles)


class TokenRecord(Struct, frozen=True):
    id: str
    person: str
    label: str
    digest: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None = None
    revoked: datetime | None = None


class Operators:
    def __init__(self, store: Keeper, clock: Clock, uid_of: Callable[[str], int | None] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._uid_of = uid_of or login_uid
        self._people: dict[str, OperatorRecord] = {}
        self._tokens: dict[str, TokenRecord] = {}
        self._noted: dict[str, datetime] = {}
        self._turn = Turn()

    async def load(self) -> None:
        """Reads everybody; called once before anything is answered."""

        def read(connection: sa.Connection) -> tuple[Sequence[sa.RowMapping], Sequence[sa.RowMapping]]:
            return (
                connection.execute(sa.select(operators)).mappings().all(),
                connection.execute(sa.select(operator_tokens)).mappings().all(),
            )

        people, tokens = await self._store.run(read)
        self._people = {row["person"]: person_of(row) for row in people}
        self._tokens = {row["id"]: token_of(row) for row in tokens}

    async def ensure_first(self, *uids: int) -> None:
        """At the very first start, when nobody is known yet, root and the users of `uids` become admins."""
        if self._people:
            return
        for uid in dict.fromkeys((0, *uids)):
            await self.add(login_name(uid), frozenset({Role.ADMIN}), uid=uid)

    # who calls

    def by_uid(self, uid: int) -> Operator | None:
        """The person of a peer on the unix socket."""
        return next((record.operator for record in self._people.values() if record.uid == uid), None)

    def by_token(self, text: str) -> Operator | None:
        """The person whose token this is, if it holds now."""
        shape = TOKEN.fullmatch(text)
        token = self._tokens.get(shape[1]) if shape else None
        # Compared also when there is no such token, so that the time says nothing about which ids exist.
        same = hmac.compare_digest(digest_of(text), token.digest if token else "0" * 64)
        if token is None or not same or token.revoked is not None:
            return None
        if token.expires is not None and token.expires <= self._clock.now():
            return None
        record = self._people.get(token.person)
        return record.operator if record else None

    async def note_use(self, text: str) -> None:
        """Keeps when a token was last used, after `by_token` accepted it."""
        shape = TOKEN.fullmatch(text)
        token = self._tokens.get(shape[1]) if shape else None
        now = self._clock.now()
        if token is None or now - self._noted.get(token.id, token.created - USE_NOTED_EVERY) < USE_NOTED_EVERY:
            return
        self._noted[token.id] = now
        await self._turn.take(lambda: self._change_token(token.id, {"last_used": now}))

    # people

    def list(self) -> Sequence[OperatorRecord]:
        return tuple(sorted(self._people.values(), key=lambda record: record.person))

    async def add(self, person: str, roles: frozenset[Role], uid: int | None = None) -> OperatorRecord:
        """A new person. Without `uid`, the user id of the login of that name, if there is one."""
        if not PERSON.fullmatch(person):
            raise Fault(
                "api.invalid",
                f"{quoted(person)} cannot be the name of a person.",
                remedy="Use a login name: small letters, digits, dot, hyphen, underscore, at most 32.",
            )
        if not roles:
            raise Fault("api.invalid", "A person without a role could do nothing.", remedy="Give at least `viewer`.")
        record = OperatorRecord(person, roles, uid if uid is not None else self._uid_of(person), self._clock.now())
        await self._turn.take(lambda: self._add(record))
        return record

    async def remove(self, person: str) -> None:
        """The person and all their tokens, effective for the next request."""
        await self._turn.take(lambda: self._remove(person))

    # tokens

    def tokens(self, person: str) -> Sequence[TokenRecord]:
        self._known(person)
        return tuple(token for token in self._tokens.values() if token.person == person)

    async def issue(self, person: str, label: str = "", expires: datetime | None = None) -> tuple[TokenRecord, str]:
        """A new token and its text, which is kept nowhere."""
        now = self._clock.now()
        until = ahead(expires, now) if expires else now + DEFAULT_LIFETIME
        if len(label) > 100 or not label.isprintable():
            raise Fault("api.invalid", "The label is longer than 100 characters or not printable.")
        token_id = secrets.token_hex(8)
        text = f"bawn_pat_{token_id}_{secrets.token_hex(32)}"
        token = TokenRecord(token_id, person, label, digest_of(text), now, until)
        await self._turn.take(lambda: self._issue(token))
        return token, text

    async def revoke(self, person: str, token_id: str) -> None:
        token = self._tokens.get(token_id)
        if token is None or token.person != person:
            raise Fault("api.not_found", f"{quoted(person)} has no token {quoted(token_id)}.")
        if token.revoked is None:
            await self._turn.take(lambda: self._change_token(token_id, {"revoked": self._clock.now()}))

    # each of these in its turn

    async def _add(self, record: OperatorRecord) -> None:
        if record.person in self._people:
            raise Fault("api.conflict", f"{record.person!r} is an operator already.")
        if record.uid is not None and (other := self.by_uid(record.uid)):
            raise Fault("api.conflict", f"The user id {record.uid} belongs to {other.person!r} already.")
        values = structs.asdict(record) | {"roles": written(record.roles)}
        await self._store.run(lambda connection: connection.execute(sa.insert(operators).values(**values)).close())
        self._people[record.person] = record

    async def _remove(self, person: str) -> None:
        record = self._known(person)
        others = [other for other in self._people.values() if other.person != person]
        if record.operator.may(Role.ADMIN) and not any(other.operator.may(Role.ADMIN) for other in others):
            raise Fault("api.conflict", f"{person!r} is the last admin.", remedy="Add another admin first.")

        def delete(connection: sa.Connection) -> None:
            connection.execute(sa.delete(operator_tokens).where(operator_tokens.c.person == person))
            connection.execute(sa.delete(operators).where(operators.c.person == person))

        await self._store.run(delete)
        self._tokens = {key: token for key, token in self._tokens.items() if token.person != person}
        del self._people[person]

    async def _issue(self, token: TokenRecord) -> None:
        self._known(token.person)
        insert = sa.insert(operator_tokens).values(**structs.asdict(token))
        await self._store.run(lambda connection: connection.execute(insert).close())
        self._tokens[token.id] = token

    async def _change_token(self, token_id: str, changes: dict[str, datetime]) -> None:
        update = sa.update(operator_tokens).where(operator_tokens.c.id == token_id).values(**changes)
        await self._store.run(lambda connection: connection.execute(update).close())
        if token_id in self._tokens:
            self._tokens[token_id] = structs.replace(self._tokens[token_id], **changes)

    def _known(self, person: str) -> OperatorRecord:
        if person not in self._people:
            raise Fault("api.not_found", f"There is no operator {quoted(person)}.")
        return self._people[person]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def written(roles: frozenset[Role]) -> str:
    return ",".join(role for role in Role if role in roles)


def person_of(row: sa.RowMapping) -> OperatorRecord:
    roles = frozenset(Role(role) for role in row["roles"].split(","))
    return OperatorRecord(row["person"], roles, row["uid"], row["created"])


def token_of(row: sa.RowMapping) -> TokenRecord:
    return TokenRecord(**{field: row[field] for field in TokenRecord.__struct_fields__})


def login_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def login_uid(person: str) -> int | None:
    try:
        return pwd.getpwnam(person).pw_uid
    except KeyError:
        return None
