"""Objects that a provider keeps, through the doors of two containers: what one made does not exist for the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from tests.gateway.conftest import Start, Yard

from bawn.gateway.settings import Allow

ALL = Allow(
    models=("*",),
    hosted_tools=("store", "background"),
    objects=("responses", "conversations", "files", "vector_stores"),
)


@dataclass
class Two:
    """A yard in which both containers may make objects, and their clients."""

    yard: Yard
    mine: openai.AsyncOpenAI
    theirs: openai.AsyncOpenAI
    mine_too: anthropic.AsyncAnthropic
    theirs_too: anthropic.AsyncAnthropic


@pytest.fixture
async def two(start: Start) -> AsyncIterator[Two]:
    yard = await start(allow=ALL)
    here, there = yard.url, f"http://127.0.0.1:{yard.other_port}"
    async with (
        openai.AsyncOpenAI(base_url=f"{here}/api/v1", api_key="container-dev", max_retries=0) as mine,
        openai.AsyncOpenAI(base_url=f"{there}/api/v1", api_key="container-other", max_retries=0) as theirs,
        anthropic.AsyncAnthropic(base_url=f"{here}/api", api_key="container-dev", max_retries=0) as mine_too,
        anthropic.AsyncAnthropic(base_url=f"{there}/api", api_key="container-other", max_retries=0) as theirs_too,
    ):
        yield Two(yard, mine, theirs, mine_too, theirs_too)


async def not_found(asked: Any) -> str:
    """The words by which an id is refused."""
    with pytest.raises(Exception, match=r"resource\.not_found|There is no object") as refused:
        await asked
    assert isinstance(refused.value, openai.NotFoundError | anthropic.NotFoundError)
    body: Any = refused.value.body
    assert body.get("error", body)["code"] == "resource.not_found"
    return str(body.get("error", body)["message"])


async def test_a_response_is_read_and_deleted_by_the_container_that_made_it_alone(two: Two) -> None:
    made = await two.mine.responses.create(model="scripted/echo", input="hello", store=True)
    assert (await two.mine.responses.retrieve(made.id)).output_text == "hello"
    items = await two.mine.responses.input_items.list(made.id)
    assert len(items.data) == 1
    for asked in (
        two.theirs.responses.retrieve(made.id),
        two.theirs.responses.delete(made.id),
        two.theirs.responses.cancel(made.id),
        two.theirs.responses.input_items.list(made.id),
        two.theirs.responses.create(model="scripted/echo", input="more", previous_response_id=made.id),
    ):
        said = await not_found(asked)
        assert said.replace(made.id, "resp_x") == await not_found(two.mine.responses.retrieve("resp_x"))
    await two.mine.responses.delete(made.id)
    assert two.yard.makers.made == {}
    await not_found(two.mine.responses.retrieve(made.id))
