"""Tool calls and scripts ask people; what is asked is what the digest says."""

from __future__ import annotations

import asyncio
import json

from tests.approvals.conftest import ADA, DEV, Office

from bawn.approvals.people import People
from bawn.approvals.question import Kind
from bawn.approvals.settings import Approvals, Mode
from bawn.stages.asked import Asked
from bawn.stages.judging import Approvers, Denied, Granted, Proposed
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire.documents import document


def proposed(*, stream: bool = False, description: str = "Runs it.") -> Proposed:
    tool = {
        "type": "function",
        "function": {"name": "bash", "description": description, "parameters": {"type": "object"}},
    }
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "go"}], "tools": [tool]}
    exchange = Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream, json.dumps(body).encode())
    asked = Asked("call_1", DEV, exchange, (), lambda _: "s1", document)
    return Proposed(asked, ToolCall("c1", "bash", '{"command":"ls"}'))


def people(office: Office, policy: str = "1") -> People:
    return People(office.desk, lambda: policy)


async def test_a_plain_call_is_told_its_ticket_after_its_patience_and_a_stream_goes_on_waiting(office: Office) -> None:
    office.desk.settings = Approvals(wait_seconds=1)
    asks: Approvers = people(office)
    stream = asyncio.create_task(asks.ask(proposed(stream=True), "a rule"))
    said = await asks.ask(proposed(), "a rule")
    assert isinstance(said, Denied)
    assert said.code == "approval.pending"
    assert not stream.done()
    await office.desk.approve(said.ticket, office.desk.open()[0].digest, ADA)
    assert await stream == Granted("operator:ada", None, said.ticket)


async def test_in_pending_mode_nobody_waits(office: Office) -> None:
    office.desk.settings = Approvals(mode=Mode.PENDING)
    said = await people(office).ask(proposed(stream=True), "a rule")
    assert isinstance(said, Denied)
    assert said.code == "approval.pending"
    question = office.desk.open()[0].question
    assert (question.kind, question.tool, question.because, question.session) == (Kind.TOOL, "bash", "a rule", "s1")


async def test_another_policy_makes_another_question(office: Office) -> None:
    office.desk.settings = Approvals(mode=Mode.PENDING)
    await people(office, "1").ask(proposed(), "a rule")
    await people(office, "2").ask(proposed(), "a rule")
    assert len(office.desk.open()) == 2


async def test_a_tool_that_is_offered_in_other_words_makes_another_question(office: Office) -> None:
    office.desk.settings = Approvals(mode=Mode.PENDING)
    await people(office).ask(proposed(), "a rule")
    await people(office).ask(proposed(description="Does something else."), "a rule")
    assert len({ticket.question.schema for ticket in office.desk.open()} - {""}) == 2


async def test_a_script_s_answer_is_for_the_thing_it_asked_about(office: Office) -> None:
    asks = people(office)
    said = await asks.question(DEV, "s1", "Deploy?", "Version 2", "d1", mode=Mode.PENDING)
    other = await asks.question(DEV, "s1", "Deploy?", "Version 2", "d2", mode=Mode.PENDING)
    assert isinstance(said, Denied)
    assert isinstance(other, Denied)
    assert said.ticket != other.ticket
    ticket = await office.desk.get(said.ticket)
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert isinstance(await asks.question(DEV, "s1", "Deploy?", "Version 2", "d2", mode=Mode.PENDING), Denied)
    assert await asks.question(DEV, "s1", "Deploy?", "Version 2", "d1", wait_seconds=0.01) == Granted(
        "operator:ada", None, ticket.id
    )
