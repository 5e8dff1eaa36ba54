"""`GET /models`: what a container may use, in the format its client expects. Answered here, never forwarded."""

from __future__ import annotations

from datetime import datetime

from bawn.errors import Fault, quoted
from bawn.gateway.admission import Admitted
from bawn.gateway.permissions import Permissions
from bawn.terms.exchange import WireName
from bawn.wire import Route, wire
from bawn.wire.interface import ModelEntry


def model_list(permissions: Permissions, admitted: Admitted, route: Route, now: datetime) -> bytes:
    """The list, or one model when the path named one. Where it is the same path for all, a header tells the client."""
    speaks = route.wire or _spoken(admitted)
    entries = [
        ModelEntry(id=target.name, provider=target.provider) for target in permissions.visible(admitted.container)
    ]
    if not route.model:
        return wire(speaks).models_list(entries, now)
    for entry in entries:
        if entry.id == route.model:
            return wire(speaks).model(entry, now)
    raise Fault("request.unknown_model", f"There is no model {quoted(route.model)} here.")


def _spoken(admitted: Admitted) -> WireName:
    if admitted.raw.header(b"anthropic-version"):
        return WireName.ANTHROPIC
    return WireName.GEMINI if admitted.raw.header(b"x-goog-api-key") else WireName.OPENAI
