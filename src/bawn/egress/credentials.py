"""Values that a container uses without holding them.

A value is bound to one container, one host, one place (a header or a query parameter) and a number of uses. The container
sends a placeholder, which is no secret; the value stands in its stead only on the way to that host, over TLS that was
verified, in that place. Seen anywhere else the placeholder refuses the request: it went astray, or somebody tries where it
might be exchanged. A request to the host that brings a value of its own in that place is refused where `require` says so,
because a container without keys has no business with one.

Pure: heads come in, heads go out; who records and who sends is elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import Struct

from bawn.egress.hosts import BadHostError, normal_host
from bawn.egress.reasons import Denied
from bawn.egress.scrub import SHORTEST
from bawn.errors import Fault

MARK = b"bawn-cred-"
"""How every placeholder begins; one that is nobody's here is refused as well."""
_LONGEST = 2048

Headers = Sequence[tuple[bytes, bytes]]


def placeholder(container_uuid: str, name: str) -> str:
    """What this container sends instead of the value. Not secret; another container's is worth nothing."""
    return f"bawn-cred-{name}-{hashlib.sha256(f'{container_uuid} {name}'.encode()).hexdigest()[:16]}"


class Brokered(Struct, frozen=True):
    """One value, as the gateway entrusts it."""

    name: str
    value: str
    host: str
    header: str | None = None
    query: str | None = None
    uses: int | None = None
    require: bool = True
    placeholder: str = ""

    def __repr__(self) -> str:
        return f"Brokered({self.name!r}, for {self.host!r})"

    @property
    def secret(self) -> bytes:
        return self.value.encode("ascii")


class Uses:
    """How often each value was put in, for as long as this process lives."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def take(self, credential: Brokered) -> None:
        """One more. Denied `egress.credential_used_up` past its number."""
        count = self._count.get(credential.name, 0)
        if credential.uses is not None and count >= credential.uses:
            raise Denied(
                "egress.credential_used_up", f"The credential {credential.name} has been used as often as it may."
            )
        self._count[credential.name] = count + 1


def brokered(container_uuid: str, said: object) -> tuple[Brokered, ...]:
    """The values of a container as the gateway said them. Fault `egress.policy_invalid`, never with a value in it."""
    try:
        told = msgspec.convert(said, tuple[Brokered, ...])
    except (msgspec.ValidationError, TypeError):
        raise Fault("egress.policy_invalid", "The credentials of a container cannot be read.") from None
    found = []
    for each in told:
        # Visible ASCII: anything else could not stand in a header, or would end it.
        if not SHORTEST <= len(each.value) <= _LONGEST or not all("!" <= letter <= "~" for letter in each.value):
            sentence = f"The value of credential {each.name} must be {SHORTEST} to {_LONGEST} visible ASCII characters."
            raise Fault("egress.policy_invalid", sentence)
        if (each.header is None) == (each.query is None):
            raise Fault("egress.policy_invalid", f"The credential {each.name} must have one place.")
        if MARK.decode() in each.value:
            raise Fault("egress.policy_invalid", f"The value of credential {each.name} is a placeholder.")
        mark = placeholder(container_uuid, each.name)
        try:
            host = normal_host(each.host)
        except BadHostError as error:
            raise Fault("egress.policy_invalid", f"The credential {each.name} is for no proper host.") from error
        found.append(msgspec.structs.replace(each, host=host, placeholder=mark))
    return tuple(found)


class Astray:
    """Looks for placeholders in the pieces of a body, also where one is cut in two."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Denied `egress.credential_misplaced` when one stands there."""
        seen = self._tail + data
        if MARK in seen:
            raise _misplaced("the body")
        self._tail = seen[-(len(MARK) - 1) :]


def put_in(
    credentials: Iterable[Brokered], host: str, target: bytes, headers: Headers
) -> tuple[bytes, list[tuple[bytes, bytes]], tuple[Brokered, ...]]:
    """Target and headers with the values of `host` in their places, and which were used. Denied for what is astray.

    `host` is empty on a way that is not encrypted: no value goes there.
    """
    here = [each for each in credentials if each.host == host]
    used: list[Brokered] = []
    changed = [(name, _header(here, name, value, used)) for name, value in headers]
    for each in here:
        if each.header is not None and sum(name.lower() == each.header.lower().encode() for name, _ in headers) > 1:
            raise _misplaced("a header that comes twice")
    target = _target(here, target, used)
    return target, changed, tuple(used)


def _header(here: list[Brokered], name: bytes, value: bytes, used: list[Brokered]) -> bytes:
    if MARK in name.lower():
        raise _misplaced("the name of a header")
    own = next(
        (each for each in here if each.header is not None and each.header.lower().encode() == name.lower()), None
    )
    if own is None:
        if MARK in value or MARK in _basic(value):
            raise _misplaced(f"the header {name.decode('ascii', 'replace')}")
        return value
    mark = own.placeholder.encode()
    basic = _basic(value)
    if basic.count(mark) == 1 and basic.count(MARK) == 1:
        used.append(own)
        return b"Basic " + base64.b64encode(basic.replace(mark, own.secret))
    if value.count(mark) == 1 and value.count(MARK) == 1:
        used.append(own)
        return value.replace(mark, own.secret)
    if MARK in value or MARK in basic:
        raise _misplaced("a place that is another's")
    if own.require:
        raise _own_value(own)
    return value


def _target(here: list[Brokered], target: bytes, used: list[Brokered]) -> bytes:
    path, question, query = target.partition(b"?")
    if _marked(path):
        raise _misplaced("the path")
    if not question:
        return target
    by_field = {each.query.encode(): each for each in here if each.query is not None}
    seen: set[bytes] = set()
    parts = []
    for part in query.split(b"&"):
        field, equals, value = part.partition(b"=")
        own = by_field.get(_plain(field))
        if own is None:
            if _marked(part):
                raise _misplaced("the query")
            parts.append(part)
            continue
        if own.name.encode() in seen:
            raise _misplaced("a parameter that comes twice")
        seen.add(own.name.encode())
        if _plain(value) == own.placeholder.encode():
            used.append(own)
            value = quote(own.value, safe="").encode()
        elif _marked(value):
            raise _misplaced("a place that is another's")
        elif own.require:
            raise _own_value(own)
        parts.append(field + equals + value)
    return path + question + b"&".join(parts)


def _plain(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _marked(text: bytes) -> bool:
    """Also where it is percent-encoded, once or twice."""
    once = unquote_to_bytes(text)
    return any(MARK in each.lower() for each in (text, once, unquote_to_bytes(once)))


def _basic(value: bytes) -> bytes:
    """What `Basic` authentication says; nothing for any other value."""
    scheme, _, said = value.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(said.strip(), validate=True)
    except binascii.Error:
        return b""


def _misplaced(where: str) -> Denied:
    return Denied(
        "egress.credential_misplaced", f"A placeholder of a credential stands in {where}, where it is not for."
    )


def _own_value(credential: Brokered) -> Denied:
    sentence = (
        f"The place of credential {credential.name} holds a value of the container's own instead of the placeholder."
    )
    return Denied("egress.credential_misplaced", sentence)
