"""A list cut down to what is owned reads like the list of a provider that has nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.gateway import object_pages
from bawn.gateway.object_pages import owned_page
from bawn.wire.objects import object_call


class Provider:
    """A list of ids, newest first, in pages that may be smaller than asked for."""

    def __init__(self, names: list[str], most: int) -> None:
        self.names, self.most = names, most
        self.pages = 0

    async def page(self, query: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        self.pages += 1
        asked = dict(query)
        size = min(int(asked["limit"]), self.most)
        if before := asked.get("before_id"):
            rest = self.names[: self.names.index(before)]
            some, more = rest[-size:], len(rest) > size
        else:
            after = asked.get("after_id")
            rest = self.names[self.names.index(after) + 1 :] if after else self.names
            some, more = rest[:size], len(rest) > size
        ends = {"first_id": some[0] if some else None, "last_id": some[-1] if some else None}
        return {"data": [{"id": name} for name in some], "has_more": more, "secret": "x", **ends}


async def asked(provider: Provider, mine: set[str], **query: Any) -> dict[str, Any]:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    call = object_call("GET", f"files?{text}".removesuffix("?").encode(), anthropic=True)
    return await owned_page(call, provider.page, mine.__contains__, len(mine & set(provider.names)))


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 9), st.integers(1, 7), st.data())
async def test_any_page_is_that_of_a_list_of_what_is_owned(
    owned: list[bool], limit: int, most: int, data: st.DataObject
) -> None:
    names = [f"f{number}" for number in range(len(owned))]
    mine = [name for name, is_mine in zip(names, owned, strict=True) if is_mine]
    provider, alone = Provider(names, most), Provider(mine, 1000)
    cursor = data.draw(st.sampled_from((None, *mine)))
    way = data.draw(st.sampled_from(("after_id", "before_id")))
    query: dict[str, Any] = {"limit": limit} | ({way: cursor} if cursor else {})
    page = await asked(provider, set(mine), **query)
    expected = await alone.page(tuple((name, str(value)) for name, value in query.items()))
    del expected["secret"]
    assert page == expected


async def test_no_more_pages_are_asked_for_than_are_needed() -> None:
    provider = Provider([f"f{number}" for number in range(1000)], 10)
    page = await asked(provider, {"f3", "f4"})
    assert ([item["id"] for item in page["data"]], page["has_more"]) == (["f3", "f4"], False)
    assert provider.pages == 1


async def test_a_list_that_is_not_looked_through_says_that_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_pages, "MOST_PAGES", 2)
    provider = Provider([f"f{number}" for number in range(1000)], 10)
    page = await asked(provider, {"f3", "f900"})
    assert ([item["id"] for item in page["data"]], page["has_more"]) == (["f3"], True)
    with pytest.raises(Fault, match="without an end"):
        await asked(provider, {"f900"})


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
async def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(Fault, match="limit"):
        await asked(Provider([], 1), set(), limit=limit)


@pytest.mark.parametrize("said", [{}, {"data": {}}, {"data": [1]}, {"data": [{"id": 5}]}, {"data": [{}]}])
async def test_what_is_no_list_is_not_passed_on(said: dict[str, Any]) -> None:
    async def page(query: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        return said

    with pytest.raises(Fault, match="not a list"):
        await owned_page(object_call("GET", b"files", anthropic=True), page, lambda name: True, 1)
