"""What transforms have done is shown, and kept answers are forgotten on record, over the API and the client."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.yard import Yard
from tests.transforms.calls import asked
from tests.transforms.driving import drive

from bawn import sdk
from bawn.errors import Fault
from bawn.identity.record import NewContainer
from bawn.terms.exchange import Endpoint
from bawn.transforms.cache import Cache
from bawn.transforms.settings import Transforms


async def kept(yard: Yard, uuid: str) -> None:
    stage = yard.transforms.stages(Transforms(cache=Cache()), str)["cache"]
    one = asked({"model": "a/b", "input": uuid}, endpoint=Endpoint.EMBEDDINGS)
    await drive(stage, one, b"{}")


async def test_configured_transforms_are_listed_with_what_they_have_done(yard: Yard) -> None:
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        assert [each.name for each in await client.transforms.list()] == ["dedupe", "cache"]
        await kept(yard, "x")
        (cache,) = await client.transforms.list()
    assert cache.counts["kept"] == 1
    assert cache.counts["misses"] == 1
    assert cache.counts["entries"] == 1


async def test_kept_answers_are_forgotten_and_that_is_on_record(yard: Yard) -> None:
    await kept(yard, "x")
    await kept(yard, "y")
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        assert (await client.transforms.forget(model="other/model")).answers == 0
        assert (await client.transforms.forget(model="a/b")).answers == 2
        assert (await client.transforms.forget()).answers == 0
        with pytest.raises(Fault) as caught:
            await client.transforms.forget(container="nobody")
    assert caught.value.code == "api.not_found"
    forgotten = [event for event in yard.log.events if event.event == "cache.forgotten"]
    assert [dict(event.detail)["answers"] for event in forgotten] == ["0", "2", "0"]
    assert all(event.principal.startswith("operator:") for event in forgotten)


async def test_a_container_is_named_as_everywhere(yard: Yard) -> None:
    record = await yard.registry.create(NewContainer(name="dev", image="x", runtime="bubblewrap"))
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        assert (await client.transforms.forget(container="dev")).answers == 0
    assert yard.log.events[-1].container == record.uuid


async def test_folders_are_taken_into_a_base_listed_and_removed_on_record(yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "deploy.md").write_text("Deployments happen on Tuesdays.\n")
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        added = await client.knowledge.add("handbook", str(folder))
        assert (added.base, added.files, added.changed) == ("handbook", 1, 1)
        (base,) = await client.knowledge.list()
        assert (base.name, base.folders, base.files) == ("handbook", (str(folder),), 1)
        await client.knowledge.remove("handbook")
        assert await client.knowledge.list() == []
        for wrong in (client.knowledge.remove("handbook"), client.knowledge.add("x", "/no/such/folder")):
            with pytest.raises(Fault):
                await wrong
    kept = [event.event for event in yard.log.events if event.event.startswith("knowledge.")]
    assert kept == ["knowledge.added", "knowledge.removed"]
