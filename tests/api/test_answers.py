"""What the API answers, on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.yard import Yard

from bawn.api import peers, security
from bawn.api.roles import ROOT

LIST = f"{ROOT}/containers"


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://bawn{ROOT}") as client:
        yield client


async def test_a_container_has_the_documented_shape(client: httpx.AsyncClient) -> None:
    made = await client.post("/containers", json={"name": "dev", "task": "tidy", "ai": False})
    assert made.status_code == 201
    container = made.json()["data"]["container"]
    assert set(container) == {
        "id", "number", "name", "project", "server", "ai", "state",
        "image", "runtime", "task", "created", "expires", "mount", "workspace", "ephemeral", "attestation",
        "isolation", "workdir", "limits", "allow_soft_limits", "role", "tags", "degraded", "masked",
    }  # fmt: skip
    assert (container["number"], container["ai"], container["created"]) == (1, False, "2030-01-01T12:00:00Z")
    assert (await client.get("/containers")).json() == {"data": {"containers": [container]}}
    assert (await client.get(f"/containers/{container['id']}")).json() == {"data": {"container": container}}


async def test_role_and_tags_are_kept_and_cannot_be_changed(client: httpx.AsyncClient) -> None:
    asked = {"name": "ci", "role": "executor", "tags": ["prod", "night"]}
    made = (await client.post("/containers", json=asked)).json()["data"]["container"]
    assert (made["role"], made["tags"]) == ("executor", ["prod", "night"])
    assert (await client.get("/containers/ci")).json()["data"]["container"] == made
    changes: list[dict[str, object]] = [{"role": "planner"}, {"tags": []}]
    for change in changes:
        assert (await client.patch("/containers/ci", json=change)).status_code == 422
    wrong: list[dict[str, object]] = [{"role": "a b"}, {"tags": ["a b"]}, {"tags": "prod"}, {"role": None}]
    for each in wrong:
        assert (await client.post("/containers", json={"name": "no", **each})).status_code == 422


async def test_limits_and_isolation_are_kept_as_they_were_asked_for(client: httpx.AsyncClient) -> None:
    limits = {"pids": 64, "memory_bytes": 1 << 30, "cpus": 1.5, "scratch_bytes": 1 << 20}
    asked = {"name": "small", "limits": limits, "isolation": "strong", "allow_soft_limits": True}
    made = (await client.post("/containers", json=asked)).json()["data"]["container"]
    assert (made["limits"], made["isolation"], made["runtime"]) == (limits, "strong", "runsc")
    assert made["allow_soft_limits"] is True
    assert (await client.get("/containers/small")).json()["data"]["container"] == made


@pytest.mark.parametrize(
    "wanted",
    [
        {"limits": {"pids": 1}}, {"limits": {"memory_bytes": -1}}, {"limits": {"cpus": 0}}, {"limits": {"pids": "64"}},
        {"limits": {"network": 1}}, {"limits": None}, {"isolation": "none"}, {"allow_soft_limits": 1},
        {"isolation": "strong", "runtime": "podman"}, {"isolation": "standard", "runtime": "runsc"},
    ],
)  # fmt: skip
async def test_limits_that_mean_nothing_are_refused(client: httpx.AsyncClient, wanted: dict[str, object]) -> None:
    refused = await client.post("/containers", json={"name": "no", **wanted})
    assert refused.status_code == 422
    assert (await client.get("/containers")).json()["data"]["containers"] == []


async def test_ai_is_switched_both_ways(client: httpx.AsyncClient) -> None:
    await client.post("/containers", json={"name": "dev"})
    for wanted in (False, True):
        answer = await client.patch("/containers/dev", json={"ai": wanted})
        assert answer.json()["data"]["container"]["ai"] is wanted


async def test_an_expiry_is_set_and_taken_away_and_else_left_alone(client: httpx.AsyncClient) -> None:
    await client.post("/containers", json={"name": "dev", "expires": "2030-01-02T00:00:00+01:00"})
    kept = await client.patch("/containers/dev", json={"ai": False})
    assert kept.json()["data"]["container"]["expires"] == "2030-01-01T23:00:00Z"
    gone = await client.patch("/containers/dev", json={"expires": None})
    assert gone.json()["data"]["container"]["expires"] is None


async def test_start_and_stop_name_the_person(client: httpx.AsyncClient, yard: Yard) -> None:
    await client.post("/containers", json={"name": "dev"})
    assert (await client.post("/containers/dev/start")).json()["data"]["container"]["state"] == "running"
    await client.post("/containers/dev/stop", json={"timeout_s": 3})
    person = yard.operators.list()[0].person
    assert yard.boxes.acts == [f"start dev by operator:{person}", f"stop dev within 3.0 by operator:{person}"]


async def test_a_deleted_container_is_not_found(client: httpx.AsyncClient) -> None:
    await client.post("/containers", json={"name": "dev"})
    assert (await client.delete("/containers/dev")).status_code == 204
    answer = await client.get("/containers/dev")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": "api.not_found",
        "message": "There is no container 'dev'.",
        "remedy": "Look at `bawn containers list`.",
        "blame": "client",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Dev"},
        {"name": 7},
        {"name": "dev", "ai": "yes"},
        {"name": "dev", "nmae": "x"},
        {"name": "dev", "expires": "2030-01-02T00:00:00"},
        {"name": "dev", "expires": "soon"},
        {"name": "dev", "expires": "9999-12-31T23:59:59-12:00"},
        {"name": "dev", "expires": "2001-01-01T00:00:00Z"},
        {"name": "dev", "task": "\ud800"},
        {"name": "dev", "task": "a\0b"},
        {"name": "dev", "mount": "relative"},
        {"name": "dev", "mount": "/\udc80"},
        {"name": "dev", "image": "\ud800"},
        {"name": "dev", "runtime": "--privileged"},
        {"name": "dev", "project": "a/b"},
        [],
        None,
        "dev",
    ],
)
async def test_what_does_not_fit_is_refused_with_the_field(client: httpx.AsyncClient, yard: Yard, body: Any) -> None:
    answer = await client.post("/containers", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "api.invalid")
    assert yard.registry.list() == ()


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"name": NaN}', b'{"name": "dev"', b"name=dev", b'{"a":' * 9000]
)
async def test_what_is_not_json_is_refused(client: httpx.AsyncClient, yard: Yard, body: bytes) -> None:
    answer = await client.post("/containers", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert yard.registry.list() == ()


async def test_a_form_of_a_web_page_is_not_json(client: httpx.AsyncClient, yard: Yard) -> None:
    answer = await client.post("/containers", content=b'{"name": "dev"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert yard.registry.list() == ()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient, chunked: bool) -> None:
    body = b" " * (security.MAX_BODY_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    answer = await client.post("/containers", content=pieces() if chunked else body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "http.body_too_large")


async def test_headers_without_end_are_cut_off(yard: Yard) -> None:
    reader, writer = await asyncio.open_unix_connection(str(yard.path))
    writer.write(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * peers.MAX_HEADER_BYTES + b"\r\n\r\n")
    assert b" 400 " in await reader.readline()
    await reader.read()
    writer.close()


async def test_a_client_that_says_nothing_is_cut_off(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HEADER_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(yard.path))
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(yard.path))
    writer.write(f"POST {LIST} HTTP/1.1\r\nHost: bawn\r\nContent-Length: 10\r\n\r\n".encode())
    async with asyncio.timeout(2):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_an_unexpected_failure_tells_an_id_and_nothing_else(client: httpx.AsyncClient, yard: Yard) -> None:
    await client.post("/containers", json={"name": "dev"})
    yard.boxes.break_on = "start"
    answer = await client.post("/containers/dev/start")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("wanted", [False, True], ids=["withdrawn", "granted"])
async def test_with_a_store_that_fails_a_withdrawal_holds_and_a_grant_does_not(
    client: httpx.AsyncClient, yard: Yard, wanted: bool
) -> None:
    await client.post("/containers", json={"name": "dev", "ai": not wanted})
    yard.store.broken = True
    answer = await client.patch("/containers/dev", json={"ai": wanted})
    assert answer.json()["error"]["code"] == "store.unavailable"
    assert yard.registry.get("dev").ai is False


async def test_a_key_goes_in_and_never_out(client: httpx.AsyncClient, yard: Yard) -> None:
    secret = "sk-test-0123456789"
    added = await client.post("/keys", json={"provider": "openai", "secret": f"{secret}\n"})
    listed = await client.get("/keys")
    assert yard.vault.secrets == {"key-1": secret}
    assert secret not in added.text + listed.text + str(yard.log.events)


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "x", "secret": {"a": "sk-test-1"}},
        {"provider": [], "secret": "sk-test-1"},
        {"secret": "sk-test-1"},
        {"provider": "x", "secret": "sk-test-1 2"},
    ],
)
async def test_an_error_about_a_key_does_not_repeat_it(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/keys", json=body)
    assert answer.status_code == 422
    assert "sk-test" not in answer.text


async def test_the_key_of_a_service_account_is_taken_as_the_file_that_it_is(
    client: httpx.AsyncClient, yard: Yard
) -> None:
    file = '{\n  "private_key": "-----BEGIN PRIVATE KEY-----\\nAAAA\\n",\n  "client_email": "ä@example.org"\n}\n'
    answer = await client.post("/keys", json={"provider": "vertex", "secret": file})
    assert answer.status_code == 201
    kept = yard.vault.secrets["key-1"]
    assert kept.isascii()
    assert "\n" not in kept
    assert json.loads(kept) == json.loads(file)
    for wrong in ("{ no json }", '{"a": "' + "x" * 9000 + '"}', '{"a"'):
        answer = await client.post("/keys", json={"provider": "vertex", "secret": wrong})
        assert answer.status_code == 422 or "\n" not in yard.vault.secrets["key-2"]


async def test_a_new_token_is_shown_once(client: httpx.AsyncClient) -> None:
    await client.post("/operators", json={"person": "ada", "roles": ["viewer"]})
    issued = (await client.post("/operators/ada/tokens", json={"label": "laptop"})).json()["data"]["issued"]
    assert issued["secret"].startswith("bawn_pat_")
    listed = await client.get("/operators/ada/tokens")
    assert issued["secret"] not in listed.text
    assert listed.json()["data"]["tokens"][0]["label"] == "laptop"


async def test_logs_come_as_text(client: httpx.AsyncClient) -> None:
    await client.post("/containers", json={"name": "dev"})
    answer = await client.get("/containers/dev/logs")
    assert answer.text.startswith("keeper started\n")
    assert (await client.get("/containers/none/logs")).status_code == 404


async def test_a_build_tells_its_lines_and_its_failure(client: httpx.AsyncClient) -> None:
    good = (await client.post("/images/agent/build")).text.splitlines()
    assert json.loads(good[-1]) == {"line": "built", "done": True}
    bad = (await client.post("/images/broken/build")).text.splitlines()
    assert json.loads(bad[-1])["error"]["code"] == "sandbox.start_failed"


async def test_every_change_is_in_the_record_with_the_person(client: httpx.AsyncClient, yard: Yard) -> None:
    await client.get("/containers")
    await client.post("/containers", json={"name": "dev"})
    (event,) = yard.log.events
    assert (event.event, event.method, event.endpoint) == ("operator.acts", "POST", LIST)
    assert event.principal.startswith("operator:")


async def test_the_description_names_every_shape(client: httpx.AsyncClient) -> None:
    description = (await client.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.")
    assert {"Container", "Key", "UsageRow", "Status", "Refusal"} <= set(description["components"]["schemas"])


async def test_nouns_without_a_test_of_their_own_answer(client: httpx.AsyncClient) -> None:
    for noun in ("status", "usage", "models", "images", "config", "config/schema", "operators", "audit"):
        assert (await client.get(f"/{noun}")).status_code == 200, noun
