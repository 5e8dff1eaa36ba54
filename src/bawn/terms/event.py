"""An event for the record.

The serialisation law: names keep their meaning for ever; fields are only added, never renamed, moved or
reused; a reader ignores what it does not know. The first ten are the audit fields that local-AI
deployments already parse (timestamp … status), with `container` beside the name of the key.
"""

from __future__ import annotations

from msgspec import Struct


class Event(Struct, frozen=True, omit_defaults=True):
    event: str
    """`source.action`, e.g. `call.opened`, `call.settled`, `call.refused`, `container.updated`, `tool.released`."""
    endpoint: str = ""
    method: str = ""
    api_key_name: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str = ""
    latency_ms: int | None = None
    status: int | None = None
    principal: str = ""
    """Who acted, as `terms.principal.label` writes it."""
    container: str = ""
    """The uuid of the container it is about."""
    call: str = ""
    """The id that joins all records of one call."""
    code: str = ""
    cause: str = ""
    provider: str = ""
    detail: tuple[tuple[str, str], ...] = ()
    """Further facts as name and value; never prompts or answers."""
