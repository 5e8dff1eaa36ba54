"""What a call made at a provider becomes the container's: written down and on record before the client learns of it."""

from __future__ import annotations

from datetime import datetime

import structlog

from bawn.gateway.opening import Opened, Recorder
from bawn.gateway.permissions import Permissions
from bawn.terms.event import Event
from bawn.terms.principal import label

_log = structlog.get_logger("bawn.gateway")


async def claim(
    opened: Opened, permissions: Permissions, recorder: Recorder, name: str, kind: str, now: datetime
) -> None:
    """Fault when it cannot be written down, or is the object of another; then the client must not be told of it."""
    prepared = opened.prepared
    container, target = prepared.admitted.container, prepared.target
    try:
        await permissions.made(container, target, name, kind, now)
    except BaseException:
        # It may be there, and nobody can name it: the log says which, so that the operator can remove it.
        _log.error("object.unclaimed", provider=target.provider, kind=kind, object=name[:255])
        raise
    await recorder.record(object_event("object.made", opened, name, kind))


def object_event(event: str, opened: Opened, name: str, kind: str) -> Event:
    """What became of an object, as the record tells it."""
    prepared = opened.prepared
    container = prepared.admitted.container
    return Event(
        event=event,
        endpoint=prepared.exchange.endpoint.value,
        api_key_name=f"container-{container.name}",
        provider=prepared.target.provider,
        principal=label(container),
        container=container.uuid,
        call=prepared.admitted.raw.id,
        detail=(("kind", kind.partition("+")[0]), ("object", name)),
    )
