"""Which agents' adapters the boxes have that start from now on, over the API and the client."""

from __future__ import annotations

import json

import pytest
from tests.api.yard import Yard

from bawn import sdk
from bawn.adapters.installed import AGENTS
from bawn.app.adapters import Adapters
from bawn.errors import Fault


async def test_all_are_installed_until_one_is_removed_and_that_is_on_record(yard: Yard) -> None:
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        listed = await client.adapters.list()
        assert [each.agent for each in listed if each.installed] == list(AGENTS)
        assert all(each.files for each in listed)
        await client.adapters.remove("codex")
        await client.adapters.remove("codex")
        assert "codex" not in yard.adapters.chosen()
        assert not next(each for each in await client.adapters.list() if each.agent == "codex").installed
        assert (await client.adapters.install("codex")).installed
    assert yard.adapters.chosen() == list(AGENTS)
    told = [(event.event, dict(event.detail)) for event in yard.log.events if event.event.startswith("adapter.")]
    assert told == [("adapter.removed", {"agent": "codex"}), ("adapter.installed", {"agent": "codex"})]


async def test_an_agent_without_an_adapter_is_not_there(yard: Yard) -> None:
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        with pytest.raises(Fault) as caught:
            await client.adapters.install("nobody")
        assert caught.value.code == "api.not_found"
        with pytest.raises(Fault):
            await client.adapters.remove("nobody")


async def test_the_choice_outlives_the_gateway_and_a_broken_file_takes_nothing_away(yard: Yard) -> None:
    place = yard.path.parent / "adapters.json"
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        await client.adapters.remove("claude-code")
    assert Adapters(place, yard.log).chosen() == ["codex", "opencode"]
    for broken in ("", "[]", '{"removed": 7}', json.dumps({"removed": ["nobody"]})):
        place.write_text(broken)
        assert Adapters(place, yard.log).chosen() == list(AGENTS)
