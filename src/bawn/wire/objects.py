"""Objects that a provider keeps (responses, conversations, files, batches, vector stores): paths and what they do.

A provider knows our account and not our containers, so each row says what a call of its kind means for
ownership: it makes an object, lists some, reads one, or ends one. Paths are compared as they were sent, and only
parameters that are listed pass; there is no row for what is not written here.

Sources: platform.openai.com/docs/api-reference, docs.anthropic.com/en/api.
"""

from __future__ import annotations

import re
from enum import StrEnum

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.value import Value


class Effect(StrEnum):
    MAKES = "makes"
    """The id in the answer is a new object, which belongs to the caller."""
    LISTS = "lists"
    """The answer's `data` is everybody's; the caller sees what it owns."""
    READS = "reads"
    """About objects named in the path, all of which the caller owns."""
    ENDS = "ends"
    """The object named first is no more, if the answer is good."""


class Body(StrEnum):
    NONE = "none"
    JSON = "json"
    UPLOAD = "upload"


class Row(Value, frozen=True):
    """One documented call."""

    wire: WireName
    method: str
    path: str
    """Behind the root; `{…}` is an id."""
    family: str
    """The word by which an operator allows it."""
    effect: Effect
    body: Body = Body.NONE
    lines: bool = False
    """Whether the answer is not one JSON document: the bytes of a file, or a line for each result."""


class ObjectCall(Value, frozen=True):
    """A row, and what the path says in it."""

    row: Row
    ids: tuple[str, ...]
    """Ids of the path, from left to right; each is owned by the caller, or the call is refused."""
    path: str
    """As it was sent behind the root, without its query: it holds nothing but listed characters."""
    query: tuple[tuple[str, str], ...] = ()
    """Parameters that are passed on, each once, but for those that are lists."""
    provider: str = ""
    """Where the caller wants it made or listed; empty when it does not say."""

    @property
    def cursors(self) -> tuple[str, ...]:
        """Ids in the query, by which a list goes on."""
        return tuple(value for name, value in self.query if name in CURSORS)

    @property
    def told(self) -> str:
        """The id that the answer has to be about, or nothing where it is about something within an object."""
        return self.ids[-1] if self.row.path.endswith(("}", "/cancel")) else ""


_O, _A = WireName.OPENAI, WireName.ANTHROPIC
_M, _L, _R, _E = Effect.MAKES, Effect.LISTS, Effect.READS, Effect.ENDS

ROWS: tuple[Row, ...] = (
    Row(_O, "GET", "responses/{response}", "responses", _R),
    Row(_O, "DELETE", "responses/{response}", "responses", _E),
    Row(_O, "POST", "responses/{response}/cancel", "responses", _R),
    Row(_O, "GET", "responses/{response}/input_items", "responses", _R),
    Row(_O, "POST", "conversations", "conversations", _M, Body.JSON),
    Row(_O, "GET", "conversations/{conversation}", "conversations", _R),
    Row(_O, "POST", "conversations/{conversation}", "conversations", _R, Body.JSON),
    Row(_O, "DELETE", "conversations/{conversation}", "conversations", _E),
    Row(_O, "GET", "conversations/{conversation}/items", "conversations", _R),
    Row(_O, "POST", "conversations/{conversation}/items", "conversations", _R, Body.JSON),
    Row(_O, "POST", "files", "files", _M, Body.UPLOAD),
    Row(_O, "GET", "files", "files", _L),
    Row(_O, "GET", "files/{file}", "files", _R),
    Row(_O, "DELETE", "files/{file}", "files", _E),
    Row(_O, "GET", "files/{file}/content", "files", _R, lines=True),
    Row(_O, "POST", "batches", "batches", _M, Body.JSON),
    Row(_O, "GET", "batches", "batches", _L),
    Row(_O, "GET", "batches/{batch}", "batches", _R),
    Row(_O, "POST", "batches/{batch}/cancel", "batches", _R),
    Row(_O, "POST", "vector_stores", "vector_stores", _M, Body.JSON),
    Row(_O, "GET", "vector_stores", "vector_stores", _L),
    Row(_O, "GET", "vector_stores/{store}", "vector_stores", _R),
    Row(_O, "POST", "vector_stores/{store}", "vector_stores", _R, Body.JSON),
    Row(_O, "DELETE", "vector_stores/{store}", "vector_stores", _E),
    Row(_O, "POST", "vector_stores/{store}/search", "vector_stores", _R, Body.JSON),
    Row(_O, "POST", "vector_stores/{store}/files", "vector_stores", _R, Body.JSON),
    Row(_O, "GET", "vector_stores/{store}/files", "vector_stores", _R),
    Row(_O, "GET", "vector_stores/{store}/files/{file}", "vector_stores", _R),
    Row(_O, "DELETE", "vector_stores/{store}/files/{file}", "vector_stores", _R),
    Row(_A, "POST", "files", "files", _M, Body.UPLOAD),
    Row(_A, "GET", "files", "files", _L),
    Row(_A, "GET", "files/{file}", "files", _R),
    Row(_A, "DELETE", "files/{file}", "files", _E),
    Row(_A, "GET", "files/{file}/content", "files", _R, lines=True),
    Row(_A, "POST", "messages/batches", "batches", _M, Body.JSON),
    Row(_A, "GET", "messages/batches", "batches", _L),
    Row(_A, "GET", "messages/batches/{batch}", "batches", _R),
    Row(_A, "POST", "messages/batches/{batch}/cancel", "batches", _R),
    Row(_A, "DELETE", "messages/batches/{batch}", "batches", _E),
    Row(_A, "GET", "messages/batches/{batch}/results", "batches", _R, lines=True),
)

FAMILIES = tuple(sorted({row.family for row in ROWS}))
CURSORS = frozenset(("after", "before", "after_id", "before_id"))
ENDPOINTS = {
    "responses": Endpoint.KEPT_RESPONSES,
    "conversations": Endpoint.CONVERSATIONS,
    "files": Endpoint.FILES,
    "batches": Endpoint.BATCHES,
    "vector_stores": Endpoint.VECTOR_STORES,
}
"""What the calls of a family are called in records and books."""

ID = re.compile("[A-Za-z][A-Za-z0-9_-]{0,254}")
_QUERY = re.compile(
    r"(limit|after|before|order|after_id|before_id|purpose|filter|beta)=([A-Za-z0-9_.-]{1,128})"
    r"|(include(?:\[\]|%5B%5D))=([A-Za-z0-9_.]{1,64})"
    r"|(provider)=([a-z][a-z0-9-]{0,62})"
)
_PATTERNS = tuple((re.compile(re.sub(r"\{[a-z]+\}", f"({ID.pattern})", row.path)), row) for row in ROWS)


def names_objects(rest: bytes) -> bool:
    """Whether a path, behind the root, is of a kind that is kept at a provider."""
    path = rest.partition(b"?")[0]
    first, _, second = path.partition(b"/")
    if first == b"responses":
        return bool(second)
    if first == b"messages":
        return second.partition(b"/")[0] == b"batches"
    return first in _FIRST


_FIRST = frozenset((b"conversations", b"files", b"batches", b"vector_stores"))


def object_call(method: str, rest: bytes, *, anthropic: bool) -> ObjectCall:
    """The call meant by a path behind the root. Fault `http.unknown_path`, for another method too: there is no row."""
    path, mark, query = rest.decode("latin-1").partition("?")
    wanted = _A if anthropic else _O
    for pattern, row in _PATTERNS:
        if row.wire is wanted and row.method == method and (match := pattern.fullmatch(path)):
            given = _parameters(query) if mark else ()
            passed = tuple(pair for pair in given if pair[0] != "provider")
            return ObjectCall(row, tuple(match.groups()), path, passed, dict(given).get("provider", ""))
    raise Fault("http.unknown_path", "There is nothing at this path.")


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for part in query.split("&"):
        match = _QUERY.fullmatch(part)
        if match is None:
            raise Fault("http.unknown_path", "The query holds a parameter that is not passed on.")
        name, value = (group for group in match.groups() if group is not None)
        if not name.startswith("include") and any(name == other for other, _ in found):
            raise Fault("http.unknown_path", "The query holds a parameter twice.")
        found.append((name, value))
    return tuple(found)
