"""Where a request would make the provider act outside the wall: tables, and one sweep over the content.

A way out is a tool that the provider runs, a URL that it would fetch, an object that it keeps, or a field
that this version does not know and that could be any of these. Finding them is done here; whether they are
allowed is decided by the gateway's permissions.

The sweep knows no content types. It looks at every key of every block, known or not, and leaves out only
what the tables call text, so that a new kind of block is searched before anybody here has heard of it. Keys
are compared without regard to case: some servers read `URL` as `url`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bawn.errors import Fault
from bawn.terms.exchange import Fetch
from bawn.wire.json_text import MAX_DEPTH

URL_ENDINGS = ("url", "uri", "urls", "uris")
"""Ends of keys whose text is an address, whatever it looks like; only `data:` stays at home."""
RESOURCE_ENDINGS = (
    "file_id", "file_ids", "container_id", "vector_store_id", "vector_store_ids", "response_id", "batch_id",
    "thread_id", "conversation_id", "previous_message_id",
)  # fmt: skip
"""Ends of keys that name objects kept at the provider."""
TEXT_KEYS = frozenset((
    "role", "text", "content", "thinking", "reasoning", "reasoning_content", "refusal", "arguments", "input", "title",
    "context", "name", "description", "output", "stdout", "stderr", "signature", "cited_text", "encrypted_content",
))  # fmt: skip
"""Keys whose text is only read by the model, so that it may begin with an address. Under every other key, text
that begins with a scheme counts as a fetch (some servers take a URL as `file_data` or as the `data` of a sound)."""
NOT_FETCHED = {
    "web_search_result": frozenset(("url",)),
    "web_fetch_result": frozenset(("url",)),
    "web_search_result_location": frozenset(("url",)),
    "url_citation": frozenset(("url",)),
    "search_result": frozenset(("source",)),
    "open_page": frozenset(("url",)),
    "find_in_page": frozenset(("url",)),
    "text": frozenset(("data",)),
}
"""By type of block: what says where something came from, or is the text of a document itself."""
NOT_CONTENT = (("tool_use", "input"), ("text", "citations"), ("url_citation", "url_citation"))
"""Ends of types, and the key beneath which anything may stand: arguments of tool calls, sources of an answer."""
TOOL_KEYS = frozenset(("definition", "tools"))
"""Keys by which a message brings tools of its own; they are judged as those of the request are."""

HOSTED_ENDINGS = frozenset((":online",))
"""Ends of model names by which a provider searches the web (OpenRouter); several may stand behind each other."""
_SMALL = 16 * 2**10
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")


class Found(Struct):
    """What a sweep found."""

    fetches: list[Fetch] = []
    resources: list[str] = []
    tools: list[tuple[str, dict[str, Any]]] = []
    """Tools that stand within messages, with their place."""


_Place = tuple[Any, str | int]
"""Where a value stands: the place of what it stands in, or None, and its name or number there; written out only
for what is found."""
_Pending = tuple[Any, _Place, str, str, int]
"""A value, its place, the key above it, the type of the block that it is in, its depth."""


def sweep(value: Any, path: str, found: Found) -> None:
    """Look through content, at most `MAX_DEPTH` deep, for URLs, tools, and objects kept at the provider."""
    if isinstance(value, str):
        _text(value, (None, path), "content", "", found)
        return
    pending: list[_Pending] = [(value, (None, path), "content", "", 0)]
    while pending:
        each, where, key, kind, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Fault("request.malformed_json", f"The body is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(each, list):
            # The texts of a list are of the kind that its key says.
            for index, item in enumerate(each):
                if isinstance(item, str):
                    if key not in TEXT_KEYS:
                        _text(item, (where, index), key, kind, found)
                elif isinstance(item, list | dict):
                    pending.append((item, (where, index), key, kind, depth + 1))
        elif isinstance(each, dict):
            if key in TOOL_KEYS:
                found.tools.append((_written(where), each))
            else:
                _object(each, where, key, depth, pending, found)


def _object(each: dict[str, Any], where: _Place, key: str, depth: int, pending: list[_Pending], found: Found) -> None:
    named = each.get("type")
    kind = named if isinstance(named, str) else ""
    if key == "audio" and isinstance(each.get("id"), str):
        # An assistant's earlier sound is named by its id alone (chat completions).
        found.resources.append(each["id"])
    for name, item in each.items():
        if isinstance(item, str):
            if name not in TEXT_KEYS:
                _text(item, (where, name), name, kind, found)
        elif isinstance(item, list | dict) and not _is_aside(kind, name):
            pending.append((item, (where, name), name, kind, depth + 1))


def _text(text: str, where: _Place, key: str, kind: str, found: Found) -> None:
    if key in TEXT_KEYS or key in NOT_FETCHED.get(kind, ()):
        return
    folded = key.lower()
    if folded.endswith(URL_ENDINGS):
        if not text.startswith("data:"):
            found.fetches.append(Fetch(_written(where), text))
    elif folded.endswith(RESOURCE_ENDINGS):
        found.resources.append(text)
    elif _ADDRESS.match(text):
        found.fetches.append(Fetch(_written(where), text))


def _written(where: _Place) -> str:
    steps: list[str] = []
    place: Any = where
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")


def _is_aside(kind: str, key: str) -> bool:
    return any(key == name and kind.endswith(ending) for ending, name in NOT_CONTENT)


def too_deep(value: Any, body: bytes) -> bool:
    """Whether a value, read from `body`, is nested over the limit anywhere, also where the sweep does not look."""
    if len(body) <= _SMALL and body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        # Fewer brackets than levels allowed: nearly every small request, and counting them costs next to nothing. In a
        # large one it would cost more than to look.
        return False
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


def switched_on(body: Mapping[str, Any], fields: Mapping[str, str]) -> list[str]:
    """Those of `fields` that are there and hold anything but nothing."""
    return [name for name in fields if body.get(name) not in (None, False)]


def unknown_fields(body: Mapping[str, Any], known: frozenset[str], hosted: Mapping[str, str]) -> list[str]:
    """Fields that no documentation of the wire names and that could name a model, a host or a tool, or switch it on.

    Numbers pass, since new sampling parameters are numbers; but not under a known name in other letters,
    which a server that does not mind case would read in place of the one that was checked here.
    """
    return [
        f"field:{name}"
        for name, value in body.items()
        if name not in known
        and name not in hosted
        and value is not None
        and value is not False
        and (isinstance(value, bool) or not isinstance(value, int | float) or name.lower() in known)
    ]


def one_spelling(tool: Mapping[str, Any], place: str) -> None:
    """A tool whose `Type` differs from its `type` would be another tool to a server that does not mind case."""
    if len({name.lower() for name in tool}) != len(tool):
        raise Fault("request.invalid", f"The tool {place} gives one field in two spellings.")


def hosted_endings(model: str) -> list[str]:
    """Those of `HOSTED_ENDINGS` that a model's name has, in whatever letters and place behind its first colon."""
    if ":" not in model:
        return []
    return [f":{part}" for part in model.casefold().split(":")[1:] if f":{part}" in HOSTED_ENDINGS]
