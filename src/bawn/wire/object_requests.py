"""What a call about kept objects says in its body, read before it is sent.

Ids within it have an owner, addresses within it would be fetched, and a field that no documentation names could be
any of these, as with every other call. What somebody only labels an object with (names, metadata) is text.
"""

from __future__ import annotations

from typing import Any

from bawn.errors import Fault
from bawn.terms.exchange import Exchange
from bawn.wire import fields
from bawn.wire.json_text import read_object
from bawn.wire.objects import ENDPOINTS, Body, Effect, ObjectCall
from bawn.wire.ways_out import Found, sweep, too_deep, unknown_fields

FIELDS: dict[str, frozenset[str]] = {
    "conversations": frozenset(("items", "metadata")),
    "conversations/{conversation}": frozenset(("metadata",)),
    "conversations/{conversation}/items": frozenset(("items",)),
    "batches": frozenset(("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")),
    "messages/batches": frozenset(("requests",)),
    "vector_stores": frozenset(("name", "description", "file_ids", "metadata", "expires_after", "chunking_strategy")),
    "vector_stores/{store}": frozenset(("name", "metadata", "expires_after")),
    "vector_stores/{store}/search": frozenset(
        ("query", "filters", "max_num_results", "ranking_options", "rewrite_query")
    ),
    "vector_stores/{store}/files": frozenset(("file_id", "attributes", "chunking_strategy")),
}
"""Documented fields, by path."""
_LABELS = frozenset(("metadata", "attributes", "name", "description", "query", "filters"))
"""Fields whose texts are only kept or searched for."""
_ELSEWHERE = frozenset(("requests",))
"""Read by those who know what is in it."""


def read_object_call(call: ObjectCall, body: bytes) -> Exchange:
    """The fields that are decided on. Faults `request.malformed_json` and `request.invalid`."""
    row = call.row
    found = Found()
    unknown: tuple[str, ...] = ()
    if row.body is Body.JSON:
        read = read_object(body)
        if too_deep(read, body):
            raise Fault("request.malformed_json", "The body is nested too deep.")
        unknown = tuple(unknown_fields(read, FIELDS[row.path], {}))
        for name, value in read.items():
            if name not in _LABELS and name not in _ELSEWHERE:
                # With its name, since that says what a text or a list of texts is.
                sweep({name: value}, "", found)
        found.resources += _named(read.get("items"))
        unknown += tuple(str(tool.get("type")) for _, tool in found.tools)
    elif row.body is Body.NONE and body not in (b"", b"{}"):
        raise Fault("request.invalid", "This call takes no body.")
    # A cursor in a list of objects is one of them; in a list within an object, it is something in there.
    cursors = call.cursors if row.effect is Effect.LISTS or row.path.startswith("vector_stores/") else ()
    return Exchange(
        wire=row.wire,
        endpoint=ENDPOINTS[row.family],
        model="",
        stream=False,
        body=body,
        unknown_tools=unknown,
        fetches=tuple(found.fetches),
        resources=(*call.ids, *cursors, *found.resources),
    )


def _named(items: Any) -> list[str]:
    """Items that are only named; they are not owned one by one, so nobody can name one."""
    if items is None:
        return []
    if not isinstance(items, list):
        raise fields.invalid("items", "a list of objects")
    return [
        str(item.get("id"))
        for item in items
        if isinstance(item, dict) and (item.get("type") == "item_reference" or set(item) <= {"id", "type"})
    ]
