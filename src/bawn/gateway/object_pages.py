"""A list of what a container owns, out of the provider's list of everything that the account has.

The provider's pages are followed until the page that was asked for is full, or all that the container owns has been
seen, or the list ends; `has_more` and the ids at its ends are then those of the page that goes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bawn.errors import Fault
from bawn.wire.object_answers import listed
from bawn.wire.objects import ObjectCall

MOST_PAGES = 50
PAGE = 100
_LIMIT = 20
"""Objects on a page when the caller does not say how many; as providers have it."""
_MOST = 1000
_KEPT = ("object", "first_id", "last_id", "has_more")

Fetch = Callable[[tuple[tuple[str, str], ...]], Awaitable[dict[str, Any]]]


async def owned_page(call: ObjectCall, fetch: Fetch, is_owned: Callable[[str], bool], count: int) -> dict[str, Any]:
    """The page asked for. `fetch` gives a page of the provider for a query; `count` is how many can be found at all."""
    query = dict(call.query)
    wanted = _limit(query.pop("limit", ""))
    before = next((name for name in ("before", "before_id") if name in query), "")
    onward = before or ("after_id" if call.row.wire == "anthropic" else "after")
    found: list[dict[str, Any]] = []
    shape: dict[str, Any] | None = None
    for _ in range(MOST_PAGES):
        page = await fetch((*query.items(), ("limit", str(PAGE))))
        shape = shape or page
        data = listed(page)
        found += [item for item in (reversed(data) if before else data) if is_owned(item["id"])]
        if len(found) > wanted or len(found) >= count or not data or page.get("has_more") is not True:
            more = len(found) > wanted
            break
        query[onward] = data[0 if before else -1]["id"]
    else:
        if not found:
            raise Fault("upstream.broken", f"The provider's list goes on after {MOST_PAGES} pages without an end.")
        more = True
    found = found[:wanted]
    if before:
        found.reverse()
    return _page(shape or {}, found, more=more)


def _page(shape: dict[str, Any], found: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    ends = {
        "object": shape.get("object"),
        "first_id": found[0]["id"] if found else None,
        "last_id": found[-1]["id"] if found else None,
        "has_more": more,
    }
    return {"data": found, **{name: ends[name] for name in _KEPT if name in shape}}


def _limit(said: str) -> int:
    if not said:
        return _LIMIT
    if not said.isdecimal() or not 1 <= int(said) <= _MOST:
        raise Fault("request.invalid", f"The parameter 'limit' has to be a number from 1 to {_MOST}.")
    return int(said)
