"""What operators do with scripts: put them in place, look at them, try them, and reach what they keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.yard import Yard

from bawn.api.roles import ROOT
from bawn.terms.principal import Role

ALL = "default/1/api/v1/[...path].py"
PASS = "async def handle(req, res, ctx):\n    return await ctx.upstream(req)\n"


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://bawn{ROOT}") as client:
        yield client


async def write(client: httpx.AsyncClient, path: str = ALL, content: str = PASS) -> httpx.Response:
    return await client.post("/exec/scripts/write", json={"path": path, "content": content})


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


async def test_a_script_is_written_listed_read_and_taken_away(yard: Yard, client: httpx.AsyncClient) -> None:
    written = await write(client, content="# @timeout 20\n# @next 2\n" + PASS)
    assert "has no scripts" in written.json()["data"]["script"]["trouble"]
    written = await write(client, content="# @timeout 20\n" + PASS)
    assert written.json()["data"]["script"] == {
        "path": ALL, "size_bytes": len(PASS) + 14, "routed": True, "timeout_seconds": 20.0, "log_level": "standard",
        "next": "", "trouble": "",
    }  # fmt: skip
    listed = (await client.get("/exec/scripts")).json()["data"]["scripts"]
    assert [each["path"] for each in listed] == [ALL]
    assert (await client.get("/exec/scripts", params={"project": "other"})).json()["data"]["scripts"] == []
    assert (await client.get("/exec/scripts/content", params={"path": ALL})).text.endswith(PASS)
    assert (await client.delete("/exec/scripts", params={"path": ALL})).status_code == 204
    assert code(await client.get("/exec/scripts/content", params={"path": ALL})) == "api.not_found"
    events = [event.event for event in yard.log.events if event.event.startswith("script.")]
    assert events == ["script.written", "script.written", "script.removed"]


async def test_one_that_does_not_load_is_refused_with_its_line_and_the_old_one_stays(client: httpx.AsyncClient) -> None:
    await write(client)
    refused = await write(client, content="async def handle(req, res, ctx):\n    return (\n")
    assert (refused.status_code, code(refused)) == (422, "script.invalid")
    assert "line 2" in refused.json()["error"]["message"]
    assert (await client.get("/exec/scripts/content", params={"path": ALL})).text == PASS


@pytest.mark.parametrize(
    "path", ["../x.py", "default/1/../../x.py", "default/1", "/etc/passwd", "default/1/a.txt", "a/b/c\0.py"]
)
async def test_no_path_leads_out_of_the_folder(client: httpx.AsyncClient, path: str) -> None:
    for answer in (
        await write(client, path),
        await client.get("/exec/scripts/content", params={"path": path}),
        await client.delete("/exec/scripts", params={"path": path}),
    ):
        assert (answer.status_code, code(answer)) == (422, "script.invalid")


async def test_what_is_not_on_record_is_not_written(yard: Yard, client: httpx.AsyncClient) -> None:
    yard.log.broken = True
    assert code(await write(client)) == "audit.unavailable"
    yard.log.broken = False
    assert (await client.get("/exec/scripts")).json()["data"]["scripts"] == []


async def test_those_who_only_look_cannot_change_or_read_a_script(yard: Yard) -> None:
    token = await yard.person("vera", Role.VIEWER)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{yard.port}{ROOT}", headers=headers) as client:
        assert (await client.get("/exec/scripts")).status_code == 200
        assert (await write(client)).status_code == 403
        assert (await client.get("/exec/scripts/content", params={"path": ALL})).status_code == 403
        assert (await client.post("/sqlite/kv/get", json={"key": "a"})).status_code == 403


async def test_a_container_has_no_way_to_its_scripts(yard: Yard) -> None:
    headers = {"authorization": "Bearer container-dev"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{yard.port}{ROOT}", headers=headers) as client:
        assert (await write(client)).status_code == 401


async def test_the_worker_loads_the_files_when_it_is_asked_to_and_has_what_it_is_given(
    yard: Yard, client: httpx.AsyncClient
) -> None:
    await write(client)
    missing = await client.post("/exec/scripts/check", json={"exec": "1"})
    assert code(missing) == "script.unavailable"
    assert not yard.supervisor.started
    kept = await client.put("/exec/secrets/forge", json={"secret": "s3cret-of-the-forge"})
    assert kept.json()["data"]["secret"]["name"] == "forge"
    assert "s3cret" not in kept.text
    checked = await client.post("/exec/scripts/check", json={"exec": "1"})
    assert checked.json()["data"]["files"] == [{"path": "api/v1/a.py", "loaded": False, "error": "a.py:3: no"}]
    started: dict[str, Any] = yard.supervisor.started[0]
    assert started["env"] == {"TOKEN": "s3cret-of-the-forge"}
    assert started["limits"] == {"memory_bytes": 512 << 20, "cpus": 1.0}
    workers = (await client.get("/exec/workers")).json()["data"]["workers"]
    assert workers[0]["url"] == "http://exec-1.bawn.internal/api/v1"
    assert workers[0]["pid"] == 1
    assert "began" in (await client.get("/exec/scripts/logs", params={"exec": "1"})).text
    await client.put("/exec/secrets/forge", json={"secret": "another-of-the-forge"})
    assert yard.supervisor.stopped == [("default", "1")]
    assert (await client.get("/exec/secrets")).json()["data"]["secrets"][0]["fingerprint"] == "sha256:12"
    assert (await client.delete("/exec/secrets/forge")).status_code == 204


async def test_what_scripts_keep_is_reached_as_the_worker_has_it(yard: Yard, client: httpx.AsyncClient) -> None:
    await write(client, "default/2/api/v1/a.py")
    items = {"items": [{"key": "a", "value": 1}, {"key": "b", "value": [2]}]}
    answer = await client.post("/sqlite/kv/batch/set", params={"exec": "2"}, json=items)
    assert answer.json() == {"ok": True, "count": 2}
    refused = await client.post("/sqlite/kv/get", params={"exec": "2"}, json={"key": 3})
    assert (code(refused), refused.json()["error"]["message"]) == ("api.invalid", "a key is a text")
    assert (await client.post("/sqlite/kv/drop", params={"exec": "2"}, json={})).status_code == 404
    assert code(await client.post("/sqlite/kv/get", params={"exec": "9"}, json={})) == "api.not_found"


async def test_a_script_is_tried_in_the_place_of_a_running_container(yard: Yard, client: httpx.AsyncClient) -> None:
    await write(client, "default/2/api/v1/a.py")
    await client.post("/containers", json={"name": "dev"})
    asked = {"exec": "2", "container": "dev", "path": "/v1/a", "body": "{}"}
    stopped = await client.post("/exec/scripts/test", json=asked)
    assert code(stopped) == "sandbox.not_running"
    await yard.registry.update("dev", state="running")
    answer = (await client.post("/exec/scripts/test", json=asked)).json()["data"]["answer"]
    assert (answer["status"], answer["content_type"]) == (200, "application/json")
    assert "from the script" in answer["body"]
    assert yard.supervisor.workers["default", "2"].told[-1].header("container")["name"] == "dev"
    nowhere = await client.post("/exec/scripts/test", json=asked | {"path": "/v1/b"})
    assert code(nowhere) == "api.not_found"


async def test_modules_are_installed_for_a_project_that_has_scripts(client: httpx.AsyncClient) -> None:
    assert code(await client.post("/exec/scripts/install", json={"project": "none"})) == "api.not_found"
    await write(client, "broken/1/api/v1/a.py")
    await write(client)
    assert (await client.post("/exec/scripts/install", json={})).text == '{"module":"attrs==25.1.0"}\n'
    assert "no hash" in (await client.post("/exec/scripts/install", json={"project": "broken"})).text
