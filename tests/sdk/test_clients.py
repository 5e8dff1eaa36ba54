"""The clients against a real API on a unix socket and on loopback."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.api.yard import Yard

from bawn.errors import Fault
from bawn.sdk import AsyncClient, Client
from bawn.terms.principal import Role


async def test_the_blocking_client_switches_the_ai_of_a_container_off(yard: Yard) -> None:
    def act() -> None:
        with Client(str(yard.path)) as client:
            made = client.containers.create("dev")
            assert (made.name, made.number, made.ai, made.state) == ("dev", 1, True, "created")
            assert client.containers.update("dev", ai=False).ai is False
            assert [box.name for box in client.containers.list()] == ["dev"]

    await asyncio.to_thread(act)
    record = yard.registry.get("dev")
    standing = yard.registry.standing(record.uuid)
    assert standing is not None
    assert not standing.ai


async def test_the_asynchronous_client_does_the_same(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        assert (await client.containers.update("1", ai=False)).ai is False
        await client.containers.delete("dev")
        assert await client.containers.list() == []


async def test_a_command_runs_and_its_output_comes_by_channel(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        await client.containers.start("dev")
        async with await client.containers.exec("dev", ["sh", "-c", "echo out; echo err >&2; exit 3"]) as session:
            output = [(data.channel.name, data.data) async for data in session]
    assert sorted(output) == [("STDERR", b"err\n"), ("STDOUT", b"out\n")]
    assert session.code == 3


async def test_a_fault_of_the_server_is_the_same_fault_here(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        with pytest.raises(Fault) as refused:
            await client.containers.get("none")
    assert (refused.value.code, refused.value.sentence) == ("api.not_found", "There is no container 'none'.")
    assert refused.value.remedy == "Look at `bawn containers list`."


async def test_nobody_at_the_socket_is_said_in_words(tmp_path: Path) -> None:
    async with AsyncClient(str(tmp_path / "none.sock")) as client:
        with pytest.raises(Fault) as unreachable:
            await client.status()
        assert unreachable.value.code == "daemon.unreachable"
        with pytest.raises(Fault) as unreachable:
            await client.containers.exec("dev", ["ls"])
        assert unreachable.value.code == "daemon.unreachable"


async def test_a_token_works_on_loopback_for_calls_and_commands(yard: Yard) -> None:
    token = await yard.person("ada", Role.ADMIN)
    async with AsyncClient(base_url=yard.url, token=token) as client:
        await client.containers.create("dev")
        await client.containers.start("dev")
        session = await client.containers.exec("dev", ["cat"])
        await session.write(b"through loopback")
        await session.close_stdin()
        assert [data.data async for data in session] == [b"through loopback"]


async def test_a_wrong_token_is_told_before_a_command_starts(yard: Yard) -> None:
    async with AsyncClient(base_url=yard.url, token="bawn_pat_wrong") as client:
        with pytest.raises(Fault) as refused:
            await client.containers.exec("dev", ["ls"])
    assert refused.value.code == "api.unauthenticated"


async def test_a_token_is_not_in_what_a_client_prints(yard: Yard) -> None:
    async with AsyncClient(base_url=yard.url, token="bawn_pat_secret") as client:
        assert "bawn_pat_secret" not in repr(client.place)


async def test_the_blocking_client_runs_a_command(yard: Yard) -> None:
    def act() -> tuple[list[bytes], int | None]:
        with Client(str(yard.path)) as client:
            client.containers.create("dev")
            client.containers.start("dev")
            with client.containers.exec("dev", ["sh", "-c", "cat; exit 4"]) as session:
                session.write(b"x" * 200_000)
                session.close_stdin()
                return [data.data for data in session], session.code

    output, code = await asyncio.to_thread(act)
    assert (len(b"".join(output)), code) == (200_000, 4)


async def test_an_expiry_is_given_kept_and_taken_away(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        until = yard.clock.now() + timedelta(hours=1)
        assert (await client.containers.create("dev", expires=until)).expires == until
        assert (await client.containers.update("dev", ai=False)).expires == until
        assert (await client.containers.update("dev", never_expires=True)).expires is None


async def test_a_name_with_a_slash_leads_nowhere_else(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        for ref in ("dev/stop", "../keys", "dev?x", "."):
            with pytest.raises(Fault):
                await client.containers.start(ref)
    assert yard.boxes.acts == []


async def test_every_noun_is_typed_and_answers(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        assert (await client.containers.why("dev"))[0].code == "auth.refused"
        assert (await anext(client.containers.logs("dev"))).startswith("keeper")
        key = await client.keys.add("openai", "sk-test-1", name="spare", weight=2)
        assert (key.name, key.weight) == ("spare", 2)
        assert (await client.keys.rotate(key.id, "sk-test-2")).id == key.id
        await client.keys.remove(key.id)
        await client.keys.reset()
        assert await client.keys.list() == []
        await client.operators.add("ada", ["viewer"], uid=4711)
        issued = await client.operators.issue_token("ada", label="laptop")
        assert [token.id for token in await client.operators.tokens("ada")] == [issued.token.id]
        await client.operators.revoke_token("ada", issued.token.id)
        await client.operators.remove("ada")
        assert len(await client.operators.list()) == 1
        assert (await client.usage(by="model"))[0].cost_usd is None
        assert (await client.status()).profile == "starter"
        assert (await client.models.list())[0].default
        assert await client.models.list(container="poor") == []
        assert (await client.providers.check())[0].works
        assert not (await client.providers.check("broken"))[0].works
        assert (await client.images.list())[0].name == "base"
        assert [line.done async for line in client.images.build("base")] == [False, True]
        with pytest.raises(Fault, match="mmdebstrap failed"):
            [line async for line in client.images.build("broken")]
        with pytest.raises(Fault, match="no image"):
            await client.images.remove("none")
        assert await client.config.effective() == {"profile": "starter"}
        assert await client.config.schema() == {"type": "object"}
        assert (await client.config.check("bad")).problems[0].line == 3
        assert (await client.config.reload()).fits
        assert (await anext(client.audit.tail(lines=1)))["event"] == "operator.acts"


async def test_a_command_that_cannot_start_is_told_by_exec_itself(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        with pytest.raises(Fault) as refused:
            await client.containers.exec("dev", ["ls"])
    assert refused.value.code == "sandbox.not_running"
