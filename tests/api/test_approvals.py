"""Approvals over the management API, by its short paths, and on the page behind a link."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from tests.api.yard import Yard

from bawn.api.asking import SHOWN
from bawn.api.roles import ROOT
from bawn.approvals.question import Kind, Question
from bawn.approvals.ticket import State, Ticket
from bawn.stages.judging import Denied, Granted
from bawn.terms.principal import Container, Role

DEV = Container("uuid-dev", 7, "dev", "default")
LS = '{"command":"ls"}'
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def asked(yard: Yard, arguments: str = LS, tool: str = "bash", because: str = "a rule") -> Ticket:
    question = Question(Kind.TOOL, DEV.uuid, DEV.name, "s1", because=because, tool=tool, arguments=arguments)
    said = await yard.desk.ask(question, DEV, wait_s=0)
    assert isinstance(said, Denied)
    return await yard.desk.get(said.ticket)


async def used(yard: Yard, ticket: Ticket) -> Granted | Denied:
    return await yard.desk.ask(ticket.question, DEV, wait_s=0)


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://bawn") as client:
        yield client


@pytest.fixture
async def browser(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    """On 127.0.0.1, with neither a user id nor a token."""
    async with httpx.AsyncClient(base_url=yard.url, trust_env=False) as client:
        yield client


def link(ticket: Ticket, act: str = "approve") -> str:
    return f"/api/{act}?" + urlencode({"id": ticket.id, "see": ticket.see})


async def press(
    browser: httpx.AsyncClient, ticket: Ticket, token: str, act: str = "approve", **more: str
) -> httpx.Response:
    form = {"digest": ticket.digest, "token": token} | {k: v for k, v in more.items() if k != "origin"}
    headers = FORM | ({"origin": more["origin"]} if "origin" in more else {})
    return await browser.post(link(ticket, act), content=urlencode(form), headers=headers)


async def test_a_list_says_what_waits_and_one_shows_exactly_what_is_asked(
    yard: Yard, client: httpx.AsyncClient
) -> None:
    ticket = await asked(yard, '{"b":"\u202e","a":1}')
    [listed] = (await client.get(f"{ROOT}/approvals")).json()["data"]["approvals"]
    assert (listed["id"], listed["tool"], listed["arguments"], listed["canonical"]) == (ticket.id, "bash", None, None)
    shown = (await client.get(f"{ROOT}/approvals/{ticket.id}")).json()["data"]["approval"]
    assert shown["arguments"] == '{"b":"\u202e","a":1}'
    assert json.loads(shown["canonical"]) == {"a": 1, "b": "\u202e"}
    assert shown["digest"] == ticket.digest
    assert ticket.see not in json.dumps([listed, shown])


async def test_an_answer_names_the_person_and_is_used_once(yard: Yard, client: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    answer = await client.post(
        f"{ROOT}/approvals/{ticket.id}/approve", json={"digest": ticket.digest, "reason": "fine"}
    )
    assert answer.status_code == 200
    by = answer.json()["data"]["approval"]["by"]
    assert by
    assert await used(yard, ticket) == Granted(f"operator:{by}", None, ticket.id)
    assert isinstance(await used(yard, ticket), Denied)


async def test_another_digest_or_a_second_answer_is_a_conflict(yard: Yard, client: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    path = f"{ROOT}/approvals/{ticket.id}"
    changed = await client.post(f"{path}/approve", json={"digest": "0" * 64})
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "approval.changed")
    assert (await client.post(f"{path}/approve", json={})).status_code == 422
    assert (await client.post(f"{path}/reject", json={"digest": ticket.digest})).status_code == 200
    second = await client.post(f"{path}/approve", json={"digest": ticket.digest})
    assert (second.status_code, second.json()["error"]["code"]) == (409, "approval.answered")
    assert "rejected by" in second.json()["error"]["message"]


async def test_other_arguments_are_taken_when_they_are_plain_json(yard: Yard, client: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    path = f"{ROOT}/approvals/{ticket.id}/approve"
    bad = await client.post(path, json={"digest": ticket.digest, "arguments": '{"a":1,"a":2}'})
    assert bad.status_code == 422
    good = await client.post(path, json={"digest": ticket.digest, "arguments": '{"command":"pwd"}'})
    assert good.json()["data"]["approval"]["state"] == "edited"
    said = await used(yard, ticket)
    assert isinstance(said, Granted)
    assert said.arguments == '{"command":"pwd"}'


async def test_viewers_see_that_something_waits_and_approvers_answer(yard: Yard) -> None:
    ticket = await asked(yard)
    codes = {}
    for role in (Role.VIEWER, Role.APPROVER):
        headers = {"authorization": f"Bearer {await yard.person(role.value, role)}"}
        async with httpx.AsyncClient(base_url=yard.url + ROOT, headers=headers, trust_env=False) as client:
            codes[role] = (
                (await client.get("/approvals")).status_code,
                (await client.get(f"/approvals/{ticket.id}")).status_code,
                (await client.post(f"/approvals/{ticket.id}/approve", json={"digest": ticket.digest})).status_code,
                (await client.post("/notify", json={"title": "x"})).status_code,
            )
    assert codes == {Role.VIEWER: (200, 403, 403, 403), Role.APPROVER: (200, 200, 200, 202)}


async def test_watching_tells_what_is_open_and_then_changes(yard: Yard, client: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    async with client.stream("GET", f"{ROOT}/approvals/watch") as stream:
        lines = stream.aiter_lines()
        async with asyncio.timeout(5):
            assert json.loads(await anext(lines))["state"] == "open"
            await client.post(f"{ROOT}/approvals/{ticket.id}/reject", json={"digest": ticket.digest})
            assert json.loads(await anext(lines))["state"] == "rejected"


async def test_the_short_paths_are_the_same_calls_behind_the_same_guard(
    yard: Yard, client: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    ticket = await asked(yard)
    stranger = await browser.post(f"/api/approve?id={ticket.id}", json={"digest": ticket.digest})
    assert stranger.status_code == 401
    assert (await browser.post("/api/notify", json={"title": "x"})).status_code == 401
    assert (await client.post("/api/approve?id=../../keys", json={"digest": ticket.digest})).status_code == 404
    answer = await client.post(f"/api/approve?id={ticket.id}", json={"digest": ticket.digest})
    assert answer.json()["data"]["approval"]["state"] == "approved"
    for number, path in enumerate(("/api/reject?id=", "/api/reject/")):
        other = await asked(yard, f'{{"command":"w {number}"}}')
        answer = await client.post(path + other.id, json={"digest": other.digest})
        assert answer.json()["data"]["approval"]["state"] == "rejected"
        assert (await browser.get(f"/api/reject/{other.id}?see={other.see}")).status_code == 200


async def test_a_container_s_token_answers_nothing(yard: Yard, client: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    headers = {"authorization": "Bearer container-7"}
    for path in (f"/api/approve?id={ticket.id}", f"{ROOT}/approvals/{ticket.id}/approve"):
        assert (await client.post(path, json={"digest": ticket.digest}, headers=headers)).status_code == 401


async def test_opening_a_link_shows_the_question_and_changes_nothing(yard: Yard, browser: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    for act in ("approve", "reject"):
        page = await browser.get(link(ticket, act), headers={"sec-fetch-site": "cross-site"})
        assert page.status_code == 200
        assert html.escape('"command": "ls"') in page.text
    assert (await yard.desk.get(ticket.id)).state is State.OPEN


@pytest.mark.parametrize("change", ["id", "see", "none"])
async def test_a_link_without_its_secret_shows_nothing(yard: Yard, browser: httpx.AsyncClient, change: str) -> None:
    ticket = await asked(yard)
    query = {"id": ticket.id, "see": ticket.see} | ({change: "x"} if change != "none" else {"see": ""})
    for method in ("GET", "POST"):
        page = await browser.request(method, "/api/approve", params=query, headers=FORM)
        assert page.status_code == 404
        assert "bash" not in page.text


async def test_a_person_answers_on_the_page_with_a_token_of_theirs(yard: Yard, browser: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    token = await yard.person("ada", Role.APPROVER)
    page = await press(browser, ticket, token, reason="fine", origin=yard.url)
    assert page.status_code == 200
    assert "approved by ada" in page.text
    assert token not in page.text
    assert await used(yard, ticket) == Granted("operator:ada", None, ticket.id)
    again = await press(browser, ticket, token)
    assert again.status_code == 409
    assert "approved by ada" in again.text


@pytest.mark.parametrize(
    ("token", "digest", "origin", "status"),
    [
        ("bawn_pat_0000000000000000_" + "0" * 64, "", "", 401),
        ("", "", "", 401),
        ("viewer", "", "", 403),
        ("approver", "0" * 64, "", 409),
        ("approver", "", "https://evil.example", 403),
        ("approver", "", "null", 403),
    ],
)
async def test_a_form_that_is_wrong_in_anything_answers_nothing(
    yard: Yard, browser: httpx.AsyncClient, token: str, digest: str, origin: str, status: int
) -> None:
    ticket = await asked(yard)
    if token in ("viewer", "approver"):
        token = await yard.person("ada", Role(token))
    more = ({"digest": digest} if digest else {}) | ({"origin": origin} if origin else {})
    page = await press(browser, ticket, token, **more)
    assert page.status_code == status
    assert (await yard.desk.get(ticket.id)).state is State.OPEN


async def test_a_form_from_another_site_answers_nothing(yard: Yard, browser: httpx.AsyncClient) -> None:
    ticket = await asked(yard)
    token = await yard.person("ada", Role.APPROVER)
    form = urlencode({"digest": ticket.digest, "token": token})
    for site in ("cross-site", "same-site"):
        page = await browser.post(link(ticket), content=form, headers=FORM | {"sec-fetch-site": site})
        assert page.status_code == 403
    assert (await yard.desk.get(ticket.id)).state is State.OPEN


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;\u202egnp.exe\u200b\x1b[31m\x00</pre>"


async def test_hostile_text_is_shown_and_does_nothing(yard: Yard, browser: httpx.AsyncClient) -> None:
    ticket = await asked(yard, json.dumps({"x": HOSTILE}, ensure_ascii=False), tool=HOSTILE, because=HOSTILE)
    page = await browser.get(link(ticket))
    text = page.text
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\x00\x1b]", text)
    assert "\\u202e" in text
    assert "&lt;script&gt;" in text
    # Only our own tags, none that loads or runs anything.
    tags = set(re.findall(r"<([a-z0-9]+)", text))
    assert tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "dl", "dt", "dd", "pre", "form",
                    "input", "label", "button", "a", "code"}  # fmt: skip
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_what_is_too_long_to_be_shown_whole_cannot_be_approved_on_the_page(
    yard: Yard, browser: httpx.AsyncClient
) -> None:
    ticket = await asked(yard, json.dumps({"x": "y" * (SHOWN + 1)}))
    token = await yard.person("ada", Role.APPROVER)
    page = await browser.get(link(ticket))
    assert "<form" not in page.text
    assert (await press(browser, ticket, token)).status_code == 409
    assert (await press(browser, ticket, token, act="reject")).status_code == 200


async def test_the_page_answers_under_the_public_address_and_the_api_does_not(
    yard: Yard, browser: httpx.AsyncClient
) -> None:
    ticket = await asked(yard)
    token = await yard.person("ada", Role.APPROVER)
    public = {"host": "bawn.example.org"}
    assert (await browser.get(link(ticket), headers=public)).status_code == 421
    yard.public_url = "https://bawn.example.org"
    assert (await browser.get(link(ticket), headers=public)).status_code == 200
    headers = public | {"authorization": f"Bearer {token}"}
    assert (await browser.get(f"{ROOT}/approvals", headers=headers)).status_code == 421
    body = {"digest": ticket.digest}
    assert (await browser.post(f"/api/approve?id={ticket.id}", json=body, headers=headers)).status_code == 421
    form = urlencode(body | {"token": token})
    evil = await browser.post(link(ticket), content=form, headers=FORM | public | {"origin": "http://bawn.example.org"})
    assert evil.status_code == 403
    page = await browser.post(link(ticket), content=form, headers=FORM | public | {"origin": yard.public_url})
    assert page.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_no_other_method_does_anything_by_a_link(yard: Yard, browser: httpx.AsyncClient, method: str) -> None:
    ticket = await asked(yard)
    assert (await browser.request(method, link(ticket), headers=FORM)).status_code == 405
    assert (await browser.request(method, link(ticket))).status_code in (401, 405)
    assert (await yard.desk.get(ticket.id)).state is State.OPEN


async def test_a_notice_in_the_reference_s_shape_is_taken_and_anything_else_refused(
    yard: Yard, client: httpx.AsyncClient
) -> None:
    notice = {"title": "High token usage", "message": "52,000 tokens", "priority": "high", "icon": "warning",
              "actions": [{"label": "Look", "method": "POST", "url": "/api/approve?id=1"}]}  # fmt: skip
    sent = await client.post("/api/notify", json=notice)
    assert sent.status_code == 202
    await yard.notices.drained()
    [told] = map(json.loads, (yard.path.parent / "notices.jsonl").read_text().splitlines())
    assert {name: told[name] for name in ("id", "title", "priority", "icon")} == {
        "id": sent.json()["data"]["notice"]["id"], "title": "High token usage", "priority": "high", "icon": "warning"
    }  # fmt: skip
    for wrong in ({"titel": "x"}, {"title": ""}, {"title": "x", "priority": "huge"},
                  {"title": "x", "actions": [{"label": "a", "url": "javascript:alert(1)"}]},
                  {"title": "x", "actions": [{"label": "a", "url": "//evil.example"}]},
                  {"title": "x", "actions": [{"label": "a", "url": "/x", "method": "PUT"}]}):  # fmt: skip
        assert (await client.post("/api/notify", json=wrong)).status_code == 422, wrong
    assert len((yard.path.parent / "notices.jsonl").read_text().splitlines()) == 1
