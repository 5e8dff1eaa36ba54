"""What scripts say to people and ask of them."""

from __future__ import annotations

from typing import Any

import pytest

from bawn.app.script_people import ScriptPeople
from bawn.approvals.settings import Mode
from bawn.errors import Fault
from bawn.gateway.script_door import Asker
from bawn.notify.notice import Notice
from bawn.stages.judging import Denied, Granted
from bawn.terms.principal import Container, Internal

DEV = Container("2b1c6b0e-0000-4000-8000-000000000000", 7, "dev", "default")
ASKER = Asker(Internal(DEV, 1), "call_1", "guard")


class Stand:
    """Notices, desk and people at once; keeps what it is asked."""

    def __init__(self, answer: Granted | Denied | None = None) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def send(self, notice: Notice, container: Container | None = None, by: str = "") -> str:
        self.asked.append((notice, container, by))
        return "ntc_1"

    def pending(self, ticket_id: str) -> dict[str, str]:
        return {"status": "pending_approval", "requestId": ticket_id, "message": "wait"}

    async def poll(self, container_uuid: str, ticket_id: str) -> dict[str, str]:
        self.asked.append((container_uuid, ticket_id))
        return self.pending(ticket_id) if ticket_id == "t1" else {"status": "approved", "requestId": ticket_id}

    async def question(
        self, container: Container, session: str, title: str, message: str, payload_digest: str, **more: Any
    ) -> Granted | Denied:
        self.asked.append((container, title, message, payload_digest, more))
        assert self.answer is not None
        return self.answer


async def ask(stand: Stand, service: str, body: dict[str, Any]) -> Any:
    return await ScriptPeople(stand, stand, stand).services[service](ASKER, body)


async def test_a_notice_goes_out_for_the_calling_container() -> None:
    stand = Stand()
    action = {"label": "Look", "url": "/api/approve?id=1"}
    assert await ask(stand, "notify", {"title": "hello", "priority": "high", "actions": [action]}) == {"id": "ntc_1"}
    notice, container, by = stand.asked[0]
    assert (notice.title, notice.priority, notice.actions[0].url) == ("hello", "high", "/api/approve?id=1")
    assert (container, by) == (DEV, "internal:container-7")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": 3},
        {"title": "x", "priority": "loud"},
        {"title": "x", "actions": [3]},
        {"title": "x", "actions": 3},
    ],
)
async def test_what_is_no_notice_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        await ask(Stand(), "notify", body)
    assert caught.value.code == "request.invalid"


async def test_a_question_waits_as_long_as_the_script_says() -> None:
    stand = Stand(Granted("ada", ticket="t1"))
    body = {"title": "May it?", "message": "rm", "wait_seconds": 30, "payload": {"a": 1}}
    assert await ask(stand, "approvals/ask", body) == {"id": "t1", "status": "approved", "by": "ada"}
    container, title, message, payload, more = stand.asked[0]
    assert (container, title, message) == (DEV, "May it?", "rm")
    assert (more["mode"], more["wait_seconds"]) == (Mode.STALL, 30)
    await ask(stand, "approvals/ask", body | {"payload": {"a": 2}, "wait_seconds": 0})
    assert stand.asked[1][3] != payload
    assert stand.asked[1][4]["mode"] is Mode.PENDING


@pytest.mark.parametrize(
    ("code", "status"),
    [("approval.rejected", "rejected"), ("approval.expired", "expired"), ("approval.pending", "open")],
)
async def test_no_answer_and_no_are_told_by_their_names(code: str, status: str) -> None:
    told = await ask(Stand(Denied(code, "so it is", "t1")), "approvals/ask", {"title": "May it?"})
    assert (told["id"], told["status"], told["because"]) == ("t1", status, "so it is")


async def test_too_many_questions_are_a_refusal_of_asking() -> None:
    with pytest.raises(Fault) as caught:
        await ask(Stand(Denied("approval.too_many", "enough")), "approvals/ask", {"title": "May it?"})
    assert caught.value.code == "approval.too_many"


async def test_only_tickets_of_the_calling_container_are_polled() -> None:
    stand = Stand()
    assert (await ask(stand, "approvals/get", {"id": "t1"}))["status"] == "open"
    assert (await ask(stand, "approvals/get", {"id": "t2"}))["status"] == "approved"
    assert stand.asked == [(DEV.uuid, "t1"), (DEV.uuid, "t2")]
    for body in ({"title": ""}, {"title": "x", "wait_seconds": -1}, {"title": "x", "wait_seconds": True}):
        with pytest.raises(Fault):
            await ask(Stand(), "approvals/ask", body)
