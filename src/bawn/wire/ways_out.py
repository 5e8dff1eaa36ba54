"""Where a request would make the provider act outside the wall: tables, and one sweep over the content.

A way out is a tool that the provider runs, a URL that it would fetch, an object that it keeps, or a field
that this version does not know and that could be any of these. Finding them is done here; whether they are
allowed is decided by the gateway's permissions.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bawn.errors import Fault
from bawn.terms.exchange import Fetch
from bawn.wire.json_text import MAX_DEPTH

URL_KEYS = frozenset(("url", "uri", "file_url", "image_url", "document_url", "audio_url", "video_url", "server_url"))
RESOURCE_KEYS = frozenset(("file_id", "container_id", "vector_store_id", "response_id", "batch_id"))
NOT_CONTENT = frozenset(("input", "input_schema", "parameters", "arguments", "citations", "annotations", "metadata"))
"""Keys under which anything may stand without being fetched: tool arguments and schemas, sources of an answer."""
ANSWERED_BLOCKS = frozenset(("web_search_tool_result", "web_fetch_tool_result"))
"""Blocks by which a provider's earlier search comes back with the conversation; their URLs are not fetched again."""


class Found(Struct):
    """What a sweep found."""

    fetches: list[Fetch] = []
    resources: list[str] = []


def sweep(value: Any, path: str, found: Found) -> None:
    """Look through content, at most `MAX_DEPTH` deep, for URLs and for objects kept at the provider."""
    pending: list[tuple[Any, str, int]] = [(value, path, 0)]
    while pending:
        each, where, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Fault("request.malformed_json", f"The body is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(each, list):
            pending.extend((item, f"{where}[{index}]", depth + 1) for index, item in enumerate(each))
        elif isinstance(each, dict):
            if each.get("type") in ANSWERED_BLOCKS:
                continue
            for key, item in each.items():
                if isinstance(item, str):
                    if _is_url_key(key) and not item.startswith("data:"):
                        found.fetches.append(Fetch(f"{where}.{key}", item))
                    elif key in RESOURCE_KEYS:
                        found.resources.append(item)
                elif isinstance(item, list | dict) and key not in NOT_CONTENT:
                    pending.append((item, f"{where}.{key}", depth + 1))


def _is_url_key(key: str) -> bool:
    return key in URL_KEYS or key.endswith(("_url", "_uri"))


def too_deep(value: Any) -> bool:
    """Whether a value is nested over the limit anywhere, also where the sweep does not look."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def unknown_fields(body: dict[str, Any], known: frozenset[str]) -> list[str]:
    """Fields that no documentation of the wire names and that hold more than a number or a switch.

    New sampling parameters are numbers and switches; what carries text or structure could name another
    model, another host or a tool.
    """
    return [
        f"field:{name}"
        for name, value in body.items()
        if name not in known and value is not None and not isinstance(value, bool | int | float)
    ]
