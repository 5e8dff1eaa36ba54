"""What operators see and change of the ways out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from tests.api.yard import Yard

from bawn.api.roles import ROOT
from bawn.egress.passages import REFUSED, Passage
from bawn.terms.principal import Role

DEV = {"name": "dev"}


async def rules(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    answer = await client.get("/containers/dev/egress")
    return [(each["rule"], each["source"]) for each in answer.json()["data"]["rules"]]


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://bawn{ROOT}") as client:
        yield client


@pytest.fixture
async def dev(yard: Yard, client: httpx.AsyncClient) -> str:
    made = await client.post("/containers", json=DEV)
    return str(made.json()["data"]["container"]["id"])


async def test_the_rules_of_a_container_say_where_they_come_from(client: httpx.AsyncClient, dev: str) -> None:
    assert await rules(client) == [("@npm", "egress.allow"), ("files.example:443", "egress.containers.dev")]


async def test_a_grant_holds_until_it_is_taken_back_and_both_are_on_record(
    yard: Yard, client: httpx.AsyncClient, dev: str
) -> None:
    granted = await client.post("/containers/dev/egress", json={"rule": "example.org:443"})
    assert granted.status_code == 201
    id_ = granted.json()["data"]["rule"]["id"]
    assert [rule for rule, _ in await rules(client)][-1] == "example.org:443"
    assert (await client.delete(f"/containers/dev/egress/{id_}")).status_code == 204
    assert len(await rules(client)) == 2
    assert [each.event for each in yard.log.events if each.event.startswith("egress.")] == [
        "egress.granted",
        "egress.withdrawn",
    ]
    assert (await client.delete(f"/containers/dev/egress/{id_}")).status_code == 404


async def test_another_container_of_the_same_name_has_no_grants(client: httpx.AsyncClient, dev: str) -> None:
    await client.post("/containers/dev/egress", json={"rule": "example.org:443"})
    await client.delete("/containers/dev")
    await client.post("/containers", json=DEV)
    assert len(await rules(client)) == 2


@pytest.mark.parametrize(
    "rule", ["10.0.0.1:443", "*", "*.org:443", "https://example.org/", "example.org:0", "a b", "[::1]:443"]
)
async def test_a_rule_that_means_nothing_is_refused_with_words(client: httpx.AsyncClient, dev: str, rule: str) -> None:
    answer = await client.post("/containers/dev/egress", json={"rule": rule})
    assert answer.status_code == 422
    assert answer.json()["error"]["remedy"]


async def test_a_grant_that_cannot_be_recorded_does_not_hold(yard: Yard, client: httpx.AsyncClient, dev: str) -> None:
    yard.log.broken = True
    assert (await client.post("/containers/dev/egress", json={"rule": "example.org:443"})).status_code == 503
    yard.log.broken = False
    assert len(await rules(client)) == 2


async def test_viewers_look_and_do_not_allow(yard: Yard, dev: str) -> None:
    token = await yard.person("eve", Role.VIEWER)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=yard.url + ROOT, headers=headers, trust_env=False) as client:
        assert (await client.get("/containers/dev/egress")).status_code == 200
        refused = await client.post("/containers/dev/egress", json={"rule": "example.org:443"})
        assert refused.status_code == 403
        assert (await client.put("/credentials/forge", json={"secret": "s" * 20})).status_code == 403


async def test_what_was_refused_is_listed_and_proposed(yard: Yard, client: httpx.AsyncClient, dev: str) -> None:
    now = datetime.now(UTC)
    for event, host, code in (
        (REFUSED, "other.example", "egress.not_allowed"),
        (REFUSED, "169.254.169.254", "egress.bad_host"),
        ("egress.opened", "files.example", ""),
    ):
        yard.passages.add(Passage(now, dev, event, host, 443, code, "words", "rec_1"))
    listed = (await client.get("/egress/log", params={"container": "dev", "denied": "true"})).json()["data"]
    assert [(each["host"], each["container"]) for each in listed["passages"]] == [
        ("169.254.169.254", "dev"),
        ("other.example", "dev"),
    ]
    assert len((await client.get("/egress/log")).json()["data"]["passages"]) == 3
    proposed = (await client.get("/containers/dev/egress/suggestions")).json()["data"]["rules"]
    assert [each["rule"] for each in proposed] == ["other.example:443"]
    assert len(await rules(client)) == 2


async def test_a_credential_comes_in_and_never_goes_out(client: httpx.AsyncClient) -> None:
    put = await client.put("/credentials/forge", json={"secret": "top-secret-value"})
    assert put.status_code == 200
    assert "top-secret-value" not in put.text + (await client.get("/credentials")).text
    assert (await client.put("/credentials/other", json={"secret": "top-secret-value"})).status_code == 404
    assert (await client.delete("/credentials/forge")).status_code == 204
