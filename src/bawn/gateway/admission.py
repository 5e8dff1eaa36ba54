"""Who may call at all, decided from the door and nothing else.

The container of a call is the one whose door it came in by; the token a client sends is a claim that is
compared with it, never evidence. All refusals read the same to the client, so that nothing can be learnt
by trying; the cause goes to the record and to `bawn why`.

Every step reads the registry's memory as it is now. Nothing is cached, so no revocation comes late.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.call import RawCall
from bawn.identity.registry import Standing
from bawn.terms.clock import Clock
from bawn.terms.door import Door
from bawn.terms.principal import Container
from bawn.terms.value import Value

_CLAIM = "container-"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
CLAIM_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")


class Standings(Protocol):
    def standing(self, uuid: str) -> Standing | None:
        """What holds for a container at this moment."""


class Admitted(Value, frozen=True):
    """A call whose container is known and may use models. Built here alone."""

    raw: RawCall
    container: Container
    depth: int = 0
    """How deep the call nests: 0 for one of the agent itself, more for one that Bawn makes on its behalf."""


class Admission:
    def __init__(self, standings: Standings, clock: Clock) -> None:
        self._standings = standings
        self._clock = clock

    def admit(self, raw: RawCall) -> Admitted:
        """The call with its container, or Fault `auth.refused`."""
        return Admitted(raw, self.check(raw.door, raw.claim), raw.way.depth if raw.way is not None else 0)

    def check(self, door: Door, claim: str) -> Container:
        """The container that may call now, or Fault `auth.refused`.

        (1) one claim, or equal ones: `claim` has seen to it   (2) the door's container is known
        (3) the claim names it   (4) it lives and has not expired   (5) AI is enabled for it
        """
        standing = self._standings.standing(door.container_uuid)
        if standing is None:
            raise refused("the door belongs to no container")
        container = standing.container
        named = claim[len(_CLAIM) :]
        if not claim.startswith(_CLAIM) or (named != container.name and named != str(container.number)):
            raise refused(f"the token does not name the container of this door, which is {container.name!r}")
        # The time matters only where there is one after which it is over.
        cause = self.withdrawn(standing, self._clock.now() if standing.expires is not None else _ANY_TIME)
        if cause:
            raise refused(cause)
        return container

    @staticmethod
    def claim(headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The one token that the headers claim."""
        found: set[bytes] = set()
        for name, value in headers:
            if name in CLAIM_HEADERS:
                scheme, _, rest = value.partition(b" ")
                found.add(rest.strip() if scheme.lower() == b"bearer" and rest else value.strip())
        if not found:
            raise refused("no token was sent")
        if len(found) > 1:
            raise refused("two different tokens were sent")
        return found.pop().decode("latin-1")

    @staticmethod
    def withdrawn(standing: Standing, now: datetime) -> str:
        """Why a container may not use models now; empty when it may."""
        if standing.state != "running":
            return f"the container is {standing.state}"
        if standing.expires is not None and standing.expires <= now:
            return f"the container expired at {standing.expires:%Y-%m-%d %H:%M} UTC"
        if not standing.ai:
            return "AI is disabled for the container"
        return ""


def refused(cause: str) -> Fault:
    """The one refusal of identity; `cause` is for the operator."""
    return Fault("auth.refused", "This call is not authorised.", cause=cause)
