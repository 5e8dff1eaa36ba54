"""Tickets for calls that Bawn itself makes on behalf of a container, by the same door as everybody.

A ticket names the container, how deep the call nests and which scripts of the operator it has passed, for as long as
the call that it was made for may take. The key is made when the process
starts and never leaves it, so a ticket is worth nothing elsewhere and nothing after a restart. The depth is
limited here: a script that calls a model that calls a script ends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import timedelta

import msgspec
from msgspec import Struct

from bawn.errors import Fault
from bawn.terms.clock import Clock
from bawn.terms.principal import Container, Internal
from bawn.terms.value import Value
from bawn.terms.way import NO_WAY, Way

LIFETIME = timedelta(minutes=10)
MAX_DEPTH = 4
PREFIX = "bawn_reentry_"


class _Claims(Struct, frozen=True, array_like=True):
    uuid: str
    number: int
    name: str
    project: str
    depth: int
    ends: float
    """Unix time."""
    nonce: str
    ahead: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    call: str = ""
    by_stage: bool = False
    role: str = ""
    tags: tuple[str, ...] = ()


class Reentered(Value, frozen=True):
    """Who acts by a ticket, and for which call."""

    principal: Internal
    way: Way
    call: str
    """The id of the call that the ticket was made for."""


class Reentry:
    def __init__(self, clock: Clock, max_depth: int = MAX_DEPTH) -> None:
        self._clock = clock
        self._max_depth = max_depth
        self._key = secrets.token_bytes(32)

    def mint(
        self,
        container: Container,
        depth: int,
        *,
        way: Way = NO_WAY,
        call: str = "",
        lifetime: timedelta = LIFETIME,
    ) -> str:
        """A ticket for a call at `depth` (1 is the first); Fault `limit.depth` when that is too deep."""
        if not 1 <= depth <= self._max_depth:
            raise Fault("limit.depth", f"Calls on behalf of a container nest at most {self._max_depth} deep.")
        ends = (self._clock.now() + lifetime).timestamp()
        claims = _Claims(
            container.uuid,
            container.number,
            container.name,
            container.project,
            depth,
            ends,
            secrets.token_hex(8),
            way.ahead,
            way.passed,
            call,
            way.by_stage,
            container.role,
            container.tags,
        )
        body = msgspec.json.encode(claims)
        return written(self._seal(body) + body)

    def read(self, ticket: str) -> Internal:
        """Who acts; Fault `auth.refused` for a ticket that we did not make or whose time is over."""
        return self.open(ticket).principal

    def open(self, ticket: str) -> Reentered:
        """As `read`, with what else the ticket says."""
        try:
            raw = base64.b64decode(ticket.removeprefix(PREFIX).encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise _refused("the re-entry ticket is not well formed") from None
        if ticket != written(raw):
            raise _refused("the re-entry ticket is not written as we write it")
        seal, body = raw[:32], raw[32:]
        if not hmac.compare_digest(seal, self._seal(body)):
            raise _refused("the re-entry ticket was not made by this process")
        claims = msgspec.json.decode(body, type=_Claims)
        if claims.ends <= self._clock.now().timestamp():
            raise _refused("the re-entry ticket has expired")
        container = Container(claims.uuid, claims.number, claims.name, claims.project, claims.role, claims.tags)
        way = Way(claims.ahead, claims.passed, claims.depth, claims.by_stage)
        return Reentered(Internal(container, claims.depth), way, claims.call)

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def written(raw: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(raw).decode("ascii")


def _refused(cause: str) -> Fault:
    return Fault("auth.refused", "This call is not authorised.", cause=cause)
