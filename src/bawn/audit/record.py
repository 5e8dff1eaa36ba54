"""The fields of a record; what they are by law says `records.py`."""

from __future__ import annotations

from msgspec import Struct


class Record(Struct, omit_defaults=True):
    timestamp: str
    """RFC 3339 in UTC, with milliseconds."""
    event: str
    endpoint: str
    method: str
    api_key_name: str
    tokens_in: int | None
    tokens_out: int | None
    model: str
    latency_ms: int | None
    status: int | None
    id: str
    """Known to whoever acts on the record: a released tool call, an injected credential carries it."""
    principal: str = ""
    container: str = ""
    call: str = ""
    code: str = ""
    cause: str = ""
    provider: str = ""
    detail: dict[str, str] = {}
    sequence: int | None = None
