"""Who calls, read from the door a connection came in by.

The listening socket is the evidence: it stands in the namespace of one container and nothing else can
reach it. No address, header or token is looked at here.
"""

from __future__ import annotations

from typing import Protocol

from bawn.errors import Fault
from bawn.identity.registry import Standing
from bawn.terms.door import Door
from bawn.terms.principal import Container


class Standings(Protocol):
    def standing(self, uuid: str) -> Standing | None:
        """What holds for a container at this moment."""


def principal_of(door: Door, registry: Standings) -> Container:
    """The container whose door it is; Fault `auth.refused` when there is none any more."""
    standing = registry.standing(door.container_uuid)
    if standing is None:
        raise Fault("auth.refused", "This call is not authorised.", cause="the door belongs to no container")
    if standing.state == "deleted":
        raise Fault("auth.refused", "This call is not authorised.", cause="the container was deleted")
    return standing.container
