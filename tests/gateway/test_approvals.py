"""A call of a real client waits at the real desk, and what a person says is what happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.approvals.conftest import ADA, Office
from tests.gateway.conftest import UUID, Start, Yard
from tests.gateway.test_interception import ASKS, CALLED, EACH_WIRE, STREAMED, Speaks, asked, only

from bawn.approvals.people import People
from bawn.approvals.settings import Approvals


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    office = Office(tmp_path)
    await office.desk.load()
    yield office
    await office.desk.close()
    office.store.close()


async def started(start: Start, office: Office) -> Yard:
    return await start(judges=(ASKS,), approvers=People(office.desk, lambda: "1"))


@EACH_WIRE
@STREAMED
async def test_a_call_waits_until_a_person_allows_it(
    start: Start, office: Office, speaks: Speaks, stream: bool
) -> None:
    yard = await started(start, office)
    waiting = asyncio.create_task(asked(yard, speaks, stream))
    ticket = await office.open_ticket()
    assert ticket.question.container_uuid == UUID
    assert ticket.question.schema, "it was offered"
    assert '"rm -rf /srv"' in ticket.question.arguments
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert only(await waiting) == ("bash", {"command": "rm -rf /srv"})
    [released] = yard.record.of("tool.released")
    assert (released.cause, dict(released.detail)["ticket"]) == ("operator:ada allowed it", ticket.id)


@EACH_WIRE
@STREAMED
async def test_a_retry_after_the_client_gave_up_gets_the_answer_and_a_third_call_asks_anew(
    start: Start, office: Office, speaks: Speaks, stream: bool
) -> None:
    yard = await started(start, office)
    async with yard.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(**speaks.asking(CALLED, stream), timeout=0.5)
    await yard.settled()
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert only(await asked(yard, speaks, stream)) == ("bash", {"command": "rm -rf /srv"})
    third = asyncio.create_task(asked(yard, speaks, stream))
    again = await office.open_ticket()
    assert again.digest == ticket.digest
    await office.desk.reject(again.id, again.digest, ADA, reason="once was enough")
    words = await third
    assert not words.calls
    assert "once was enough" in words.text


@EACH_WIRE
async def test_a_plain_call_is_told_after_a_while_that_somebody_was_asked(
    start: Start, office: Office, speaks: Speaks
) -> None:
    office.desk.settings = Approvals(wait_seconds=1)
    yard = await started(start, office)
    words = await asked(yard, speaks, False)
    assert not words.calls
    [withheld] = yard.record.of("tool.withheld")
    assert withheld.code == "approval.pending"
    assert dict(withheld.detail)["ticket"] == (await office.open_ticket()).id
