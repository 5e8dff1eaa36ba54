"""Content within an address (RFC 2397), as OpenAI's formats have it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from bawn.wire import fields

_DATA = re.compile(r"data:([A-Za-z0-9.+/-]+)?(?:;[A-Za-z0-9_-]+=[^;,]*)*(;base64)?,(.*)", re.DOTALL)


def media_of(url: str, field: str) -> tuple[str, str]:
    """Type and content, in base64, of a data URL. Fault `request.invalid`."""
    found = _DATA.fullmatch(url)
    if found is None or not found[2]:
        raise fields.invalid(field, "a data URL with base64 in it")
    return found[1] or "application/octet-stream", unquote(found[3]) if "%" in found[3] else found[3]


def data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"
