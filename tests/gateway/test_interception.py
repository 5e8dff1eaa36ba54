"""Tool calls that are changed, withheld or asked about, as a client of each wire sees it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import UUID, Start, Yard
from tests.gateway.judges import NEVER, Judges, People, Said, becomes

from bawn.errors import Fault
from bawn.gateway.catalogue import Target
from bawn.gateway.opening import Opened
from bawn.gateway.pipeline import Prepared
from bawn.gateway.settings import Interception, Pending, Withheld
from bawn.stages import asked as stages
from bawn.stages.judging import Denied, Granted
from bawn.terms.decision import Effect
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.frames import HeldCall
from bawn.terms.principal import Container
from bawn.terms.toolcall import ToolCall
from bawn.wire.answers import answers
from bawn.wire.documents import document
from bawn.wire.editing import Said as Words

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}
CALLED = 'call bash with {"command": "rm -rf /srv"}'
REASON = "it is never allowed"


@dataclass(frozen=True)
class Speaks:
    """How one wire asks."""

    wire: WireName
    endpoint: Endpoint
    path: str
    body: dict[str, Any]

    def asking(self, text: str, stream: bool) -> dict[str, Any]:
        path = self.path
        body = json.loads(json.dumps(self.body).replace('"TEXT"', json.dumps(text)))
        if self.wire is WireName.GEMINI:
            path += ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        elif stream:
            body["stream"] = True
        return {"url": path, "json": body}


FUNCTION = {"name": "bash", "description": "run", "parameters": SCHEMA}
WIRES = [
    Speaks(
        WireName.OPENAI,
        Endpoint.CHAT_COMPLETIONS,
        "/api/v1/chat/completions",
        {
            "model": "scripted/agent",
            "messages": [{"role": "user", "content": "TEXT"}],
            "tools": [{"type": "function", "function": FUNCTION}],
        },
    ),
    Speaks(
        WireName.RESPONSES,
        Endpoint.RESPONSES,
        "/api/v1/responses",
        {"model": "scripted/agent", "input": "TEXT", "tools": [{"type": "function", **FUNCTION}]},
    ),
    Speaks(
        WireName.ANTHROPIC,
        Endpoint.MESSAGES,
        "/v1/messages",
        {
            "model": "scripted/agent",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "TEXT"}],
            "tools": [{"name": "bash", "input_schema": SCHEMA}],
        },
    ),
    Speaks(
        WireName.GEMINI,
        Endpoint.GENERATE,
        "/v1beta/models/scripted/agent",
        {"contents": [{"role": "user", "parts": [{"text": "TEXT"}]}], "tools": [{"functionDeclarations": [FUNCTION]}]},
    ),
]
EACH_WIRE = pytest.mark.parametrize("speaks", WIRES, ids=[each.wire.value for each in WIRES])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


async def asked(yard: Yard, speaks: Speaks, stream: bool, text: str = CALLED) -> Words:
    """What the client is told, whichever way."""
    async with yard.client() as client:
        answer = await client.post(**speaks.asking(text, stream))
    assert answer.status_code == 200, answer.text
    return read(speaks, stream, answer)


def read(speaks: Speaks, stream: bool, answer: httpx.Response) -> Words:
    forms = answers(speaks.wire)
    return forms.said(speaks.endpoint, forms.folded(answer.content) if stream else answer.content)


def only(words: Words) -> tuple[str, dict[str, Any]]:
    (call,) = words.calls
    return call.name, json.loads(call.arguments_raw)


@EACH_WIRE
@STREAMED
async def test_a_call_that_nobody_refuses_goes_out_as_it_came(start: Start, speaks: Speaks, stream: bool) -> None:
    yard = await start(judges=(Judges(lambda call: (Effect.ALLOW, "fine")),))
    assert only(await asked(yard, speaks, stream)) == ("bash", {"command": "rm -rf /srv"})
    assert [dict(event.detail)["tool"] for event in yard.record.of("tool.released")] == ["bash"]


@EACH_WIRE
@STREAMED
async def test_a_model_is_told_of_a_refusal_and_the_agent_gets_only_its_new_answer(
    start: Start, speaks: Speaks, stream: bool
) -> None:
    yard = await start(judges=(NEVER,))
    words = await asked(yard, speaks, stream)
    assert not words.calls
    assert words.finished == "stop"
    assert "The tool bash said" in words.text
    assert REASON in words.text
    settled = await yard.settled()
    opened = yard.record.of("call.opened")
    assert len(opened) == 2, "each request to the provider is on record"
    assert opened[0].call == opened[1].call == settled.call
    assert yard.record.of("tool.withheld")
    assert not yard.record.of("tool.released")
    assert settled.usage is not None
    assert yard.ledger.running(UUID) == 0


@EACH_WIRE
@STREAMED
async def test_the_budget_counts_both_calls(start: Start, speaks: Speaks, stream: bool) -> None:
    told = await start(judges=(NEVER,))
    silent = await start(judges=(NEVER,), interception=Interception(withheld=Withheld.TEXT))
    await asked(told, speaks, stream)
    await asked(silent, speaks, stream)
    two, one = (await told.settled()).usage, (await silent.settled()).usage
    assert two is not None
    assert one is not None
    assert two.input_tokens > 1.5 * one.input_tokens
    assert two.output_tokens > one.output_tokens


@EACH_WIRE
@STREAMED
async def test_the_refusal_as_text_of_the_assistant(start: Start, speaks: Speaks, stream: bool) -> None:
    yard = await start(judges=(NEVER,), interception=Interception(withheld=Withheld.TEXT))
    words = await asked(yard, speaks, stream)
    assert words.text.strip() == "The tool call 'bash' was refused: it is never allowed."
    assert (words.calls, words.finished) == ((), "stop")
    assert len(yard.record.of("call.opened")) == 1


@EACH_WIRE
@STREAMED
async def test_the_refusal_as_a_call_of_another_tool(start: Start, speaks: Speaks, stream: bool) -> None:
    yard = await start(judges=(NEVER,), interception=Interception(withheld=Withheld.RENAME))
    name, arguments = only(await asked(yard, speaks, stream))
    assert name == "blocked_command"
    assert arguments == {"tool": "bash", "original": {"command": "rm -rf /srv"}, "reason": REASON}


@EACH_WIRE
@STREAMED
async def test_a_call_that_is_changed_goes_out_changed_in_all_its_copies(
    start: Start, speaks: Speaks, stream: bool
) -> None:
    yard = await start(judges=(Judges(lambda call: becomes("shell", '{"command":"ls /sandbox"}')),))
    async with yard.client() as client:
        answer = await client.post(**speaks.asking(CALLED, stream))
    assert only(read(speaks, stream, answer)) == ("shell", {"command": "ls /sandbox"})
    assert "rm -rf" not in answer.text
    [changed] = yard.record.of("tool.changed")
    assert dict(changed.detail)["became"] == "shell"


@pytest.mark.parametrize(
    "arguments",
    ['{"command": "ls", "command": "rm"}', '{"command": "\\ud800"}', '{"command": NaN}', '{"command": "ls]}'],
)
@pytest.mark.parametrize(("wire", "stream"), [(0, False), (0, True), (1, False), (1, True), (2, True)])
async def test_arguments_that_can_be_read_in_two_ways_never_go_out(
    yard: Yard, wire: int, stream: bool, arguments: str
) -> None:
    """Where a wire tells them as a text; where it tells an object, the answer itself has one reading or is broken."""
    speaks = WIRES[wire]
    async with yard.client() as client:
        answer = await client.post(**speaks.asking(f"call bash with {arguments}", stream))
    words = read(speaks, stream, answer)
    assert not words.calls
    assert "its arguments" in words.text, "the model was told"
    assert not yard.record.of("tool.released")


@EACH_WIRE
@STREAMED
async def test_a_person_who_allows_a_call_lets_it_out(start: Start, speaks: Speaks, stream: bool) -> None:
    people = People(Granted("operator:ada", ticket="t1"))
    yard = await start(judges=(ASKS,), approvers=people)
    assert only(await asked(yard, speaks, stream)) == ("bash", {"command": "rm -rf /srv"})
    assert [call.name for call in people.asked] == ["bash"]
    [released] = yard.record.of("tool.released")
    assert (released.code, released.cause) == ("approval.approved", "operator:ada allowed it")
    assert dict(released.detail)["ticket"] == "t1"


@EACH_WIRE
@STREAMED
async def test_what_a_person_puts_in_instead_is_judged_as_well(start: Start, speaks: Speaks, stream: bool) -> None:
    def decide(call: ToolCall) -> Said:
        return (Effect.DENY, "no root") if "sudo" in call.arguments_raw else (Effect.ASK_PERSON, "look at it")

    good = await start(judges=(Judges(decide),), approvers=People(Granted("operator:ada", '{"command":"ls"}')))
    assert only(await asked(good, speaks, stream)) == ("bash", {"command": "ls"})
    bad = await start(judges=(Judges(decide),), approvers=People(Granted("operator:ada", '{"command":"sudo ls"}')))
    words = await asked(bad, speaks, stream)
    assert not words.calls
    assert "no root" in words.text


@EACH_WIRE
@STREAMED
@pytest.mark.parametrize("people", [People(Denied("approval.rejected", "operator:ada said no")), None])
async def test_a_call_that_nobody_allows_does_not_go_out(
    start: Start, speaks: Speaks, stream: bool, people: People | None
) -> None:
    yard = await start(judges=(ASKS,), approvers=people)
    words = await asked(yard, speaks, stream)
    assert not words.calls
    assert ("operator:ada said no" if people else "nobody can be asked") in words.text


@EACH_WIRE
async def test_a_stream_says_that_it_is_alive_while_a_person_thinks(start: Start, speaks: Speaks) -> None:
    class Slow(People):
        async def ask(self, *question: Any) -> Granted | Denied:
            await asyncio.sleep(0.3)
            return await super().ask(*question)

    yard = await start(
        judges=(ASKS,), approvers=Slow(Granted("operator:ada")), interception=Interception(keep_alive_seconds=0.05)
    )
    async with yard.client() as client, client.stream("POST", **speaks.asking(CALLED, stream=True)) as answer:
        parts = [part async for part in answer.aiter_raw()]
    assert len(parts) >= 4
    forms = answers(speaks.wire)
    assert only(forms.said(speaks.endpoint, forms.folded(b"".join(parts))))[0] == "bash"


@EACH_WIRE
@STREAMED
async def test_a_client_that_leaves_while_a_person_thinks_gets_nothing_and_holds_nothing(
    start: Start, speaks: Speaks, stream: bool
) -> None:
    class Never(People):
        async def ask(self, *question: Any) -> Granted | Denied:
            await asyncio.sleep(60)
            raise AssertionError

    yard = await start(judges=(ASKS,), approvers=Never(Granted("operator:ada")))
    async with yard.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(**speaks.asking(CALLED, stream), timeout=0.5)
    settled = await yard.settled()
    assert settled.outcome == "client_left"
    assert yard.ledger.running(UUID) == 0


ASKS = Judges(lambda call: (Effect.ASK_PERSON, "look at it"))


PENDING = Denied("approval.pending", "A person was asked.", "apr_1", "about 2 minutes")


@EACH_WIRE
@STREAMED
async def test_a_call_that_waits_no_longer_tells_its_ticket(start: Start, speaks: Speaks, stream: bool) -> None:
    """As words of the assistant, and the model is not told: it would only ask again."""
    yard = await start(judges=(ASKS,), approvers=People(PENDING))
    words = await asked(yard, speaks, stream)
    assert not words.calls
    told = json.loads(words.text)
    assert (told["status"], told["requestId"], told["estimatedWait"]) == (
        "pending_approval",
        "apr_1",
        "about 2 minutes",
    )
    assert len(yard.record.of("call.opened")) == 1


@EACH_WIRE
@STREAMED
async def test_a_call_that_waits_no_longer_can_be_an_error(start: Start, speaks: Speaks, stream: bool) -> None:
    yard = await start(judges=(ASKS,), approvers=People(PENDING), interception=Interception(pending=Pending.ERROR))
    said = b""
    with suppress(httpx.RemoteProtocolError):  # a stream that ends in an error is not whole as HTTP either
        async with yard.client() as client, client.stream("POST", **speaks.asking(CALLED, stream)) as answer:
            assert answer.status_code == (200 if stream else 425)
            async for part in answer.aiter_raw():
                said += part
    assert b"apr_1" in said
    assert b"rm -rf" not in said
    assert (await yard.settled()).code == "approval.pending"


async def test_a_container_polls_its_own_tickets_and_answers_none(start: Start) -> None:
    yard = await start()

    async def poll(container: str, ticket: str) -> dict[str, str]:
        if (container, ticket) != (UUID, "apr_1"):
            raise Fault("resource.not_found", "This container has no such approval.")
        return {"status": "pending_approval", "requestId": ticket}

    yard.gateway.poll = poll
    async with yard.client() as client:
        mine = await client.get("/api/v1/approvals/apr_1")
        other = await client.get("/api/v1/approvals/apr_2")
        answered = await client.post("/api/v1/approvals/apr_1", json={"approve": True})
        further = await client.post("/api/v1/approvals/apr_1/approve", json={})
    assert mine.json()["status"] == "pending_approval"
    assert [each.status_code for each in (other, answered, further)] == [404, 405, 404]


async def test_when_one_decision_fails_nobody_is_asked_about_the_others_any_more(start: Start) -> None:
    cancelled: list[str] = []

    class Asked(People):
        async def ask(self, proposed: Any, because: str) -> Granted | Denied:
            if "first" in proposed.call.arguments_raw:
                await asyncio.sleep(0.05)
                raise Fault("store.unavailable", "The store failed.")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(proposed.call.arguments_raw)
                raise
            raise AssertionError

    yard = await start(judges=(ASKS,), approvers=Asked(PENDING))
    exchange = Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "scripted/agent", False, b"")
    asked = stages.Asked("call_1", Container(UUID, 7, "dev", "default"), exchange, (), lambda _: "s", document)
    nobody: Any = None
    opened = Opened(Prepared(nobody, exchange, Target("scripted", "agent"), None, (), (), asked), "rec_1")
    calls = tuple(ToolCall(str(each), "bash", f'{{"command":"{each}"}}') for each in ("first", "second"))
    with pytest.raises(Fault, match="store failed"):
        await yard.gateway.works.gate.judge(opened, HeldCall(calls, b""))
    await asyncio.sleep(0)
    assert cancelled == ['{"command":"second"}']
