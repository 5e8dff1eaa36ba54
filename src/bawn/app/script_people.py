"""What scripts may say to people and ask of them, by `ctx.notify` and `ctx.approvals`: for the calling container only."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import msgspec

from bawn.approvals.settings import Mode
from bawn.errors import Fault
from bawn.gateway.script_door import Asker
from bawn.notify.notice import Action, Notice
from bawn.stages.judging import Denied, Granted
from bawn.terms.principal import Container, label

LONGEST_WAIT_S = 3600.0
_STATUS = {
    "approval.pending": "open",
    "approval.rejected": "rejected",
    "approval.expired": "expired",
    "approval.withdrawn": "withdrawn",
}
"""How `ctx.approvals` calls what became of a question; other refusals are faults of asking."""


class Notices(Protocol):
    async def send(self, notice: Notice, container: Container | None = None, by: str = "") -> str: ...


class Desk(Protocol):
    def pending(self, ticket_id: str) -> dict[str, str]: ...

    async def poll(self, container_uuid: str, ticket_id: str) -> dict[str, str]: ...


class People(Protocol):
    async def question(
        self,
        container: Container,
        session: str,
        title: str,
        message: str,
        payload_digest: str,
        *,
        because: str = "",
        mode: Mode | None = None,
        wait_seconds: float | None = None,
        script: str = "",
    ) -> Granted | Denied: ...


class ScriptPeople:
    """Services of `app.script_services`, by name."""

    def __init__(self, notices: Notices, desk: Desk, people: People) -> None:
        self._notices = notices
        self._desk = desk
        self._people = people
        self.services = {"notify": self._notify, "approvals/ask": self._ask, "approvals/get": self._get}

    async def _notify(self, asker: Asker, body: dict[str, Any]) -> Any:
        try:
            notice = msgspec.convert(
                {key: body[key] for key in ("title", "message", "priority", "icon") if key in body}
                | {"actions": tuple(_action(each) for each in body.get("actions") or ())},
                Notice,
            )
        except (msgspec.ValidationError, TypeError) as error:
            raise Fault("request.invalid", f"This is no notice: {error}.") from None
        return {"id": await self._notices.send(notice, asker.container, label(asker.principal))}

    async def _ask(self, asker: Asker, body: dict[str, Any]) -> Any:
        title, message = body.get("title"), body.get("message", "")
        wait_s = body.get("wait_seconds", 0)
        if not isinstance(title, str) or not title.strip() or not isinstance(message, str):
            raise Fault("request.invalid", "A question has a `title`, and may have a `message`.")
        if not isinstance(wait_s, int | float) or isinstance(wait_s, bool) or not 0 <= wait_s <= LONGEST_WAIT_S:
            raise Fault("request.invalid", f"`wait_seconds` is a number up to {LONGEST_WAIT_S:g}.")
        session = body.get("session", "")
        # What the answer is for: another payload is another question, whatever the same words say.
        payload = hashlib.sha256(msgspec.json.encode(body.get("payload"), order="sorted")).hexdigest()
        said = await self._people.question(
            asker.container,
            session if isinstance(session, str) else "",
            title,
            message,
            payload,
            because=f"A script of the exec {asker.exec} asks.",
            mode=Mode.STALL if wait_s else Mode.PENDING,
            wait_seconds=float(wait_s),
            script=asker.exec,
        )
        if isinstance(said, Granted):
            edited = said.arguments is not None
            return {
                "id": said.ticket,
                "status": "edited" if edited else "approved",
                "by": said.by,
                **({"message": said.arguments} if edited else {}),
            }
        if said.code not in _STATUS:
            raise Fault(said.code, said.because)
        told = self._desk.pending(said.ticket) if said.code == "approval.pending" else {}
        return {**told, "id": said.ticket, "status": _STATUS[said.code], "because": said.because}

    async def _get(self, asker: Asker, body: dict[str, Any]) -> Any:
        ticket = body.get("id")
        if not isinstance(ticket, str):
            raise Fault("request.invalid", "`id` is that of a question.")
        told = await self._desk.poll(asker.container.uuid, ticket)
        status = "open" if told.get("status") == "pending_approval" else told.get("status", "")
        return {**told, "id": ticket, "status": status}


def _action(said: object) -> Action:
    return msgspec.convert(said, Action)
