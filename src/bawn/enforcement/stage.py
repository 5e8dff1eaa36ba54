"""Rules on requests and answers: a stage, with its view of the answer.

Of a request only what is new since the model's last turn is told to the rules, since agents send their whole history each
time; what was put in before is put in again, at the same place. An assistant's message is told when it is whole: where a
rule could refuse it, it waits for that, and flows on at once otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from bawn.enforcement.conversations import Conversation, Place
from bawn.enforcement.enforcer import Enforcer
from bawn.errors import Fault
from bawn.rules.model import EventName
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, View
from bawn.terms.frames import End, Frame
from bawn.wire.answers import answers
from bawn.wire.document import Message, RequestDocument, Said, Spot
from bawn.wire.editing import Said as Words

SYSTEM = "system"
_HELD_BYTES = 8 * 2**20


class RulesStage:
    name = "rules"

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    async def request(self, asked: Asked) -> None:
        document = asked.document
        if document is None or not self._enforcer.rules.rules:
            return
        conversation = await self._enforcer.conversations.of(asked.container.uuid, asked.session)
        new = _new(document.messages)
        if len(new) == len(document.messages):
            await self._enforcer.tell(asked, conversation, EventName.SESSION_CREATED, SESSION)
        names = {call.id: call for message in document.messages for call in message.calls}
        for message in new:
            for spot in message.spots:
                if spot.said is Said.USER:
                    happening = self._enforcer.happening(
                        asked, EventName.CHAT_MESSAGE, text=spot.text, role="user", key=of(spot)
                    )
                elif spot.said is Said.TOOL:
                    call = names.get(spot.call)
                    happening = self._enforcer.happening(
                        asked,
                        EventName.TOOL_AFTER,
                        text=spot.text,
                        key=result(spot.call),
                        tool=call.name if call is not None else "",
                        tool_input=call.arguments_raw if call is not None else "",
                        tool_output=spot.text,
                    )
                else:
                    continue
                await self._enforcer.request(conversation, happening)
        system = self._enforcer.happening(asked, EventName.SYSTEM, text=document.system, key=SYSTEM)
        await self._enforcer.request(conversation, system)
        put_in(document, conversation)

    def view(self, asked: Asked) -> View | None:
        listens = self._enforcer.rules.listens
        if not (listens(EventName.CHAT_MESSAGE) or listens(EventName.SESSION_IDLE)) or asked.document is None:
            return None
        return _Answer(self._enforcer, asked)

    def over(self, asked: Asked, ending: Ending) -> None:
        if ending.outcome not in ("ok", "client_left"):
            self._enforcer.after(asked, EventName.SESSION_ERROR, error=f"{ending.outcome} ({ending.status})")


class _Answer:
    """One answer as the rules see it."""

    def __init__(self, enforcer: Enforcer, asked: Asked) -> None:
        self._enforcer = enforcer
        self._asked = asked
        self._forms = answers(asked.exchange.wire)
        self._parts: list[Frame] = []
        self._size = 0
        self._holds = enforcer.refuses_answers

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        self._parts.append(frame)
        self._size += len(frame.data)
        if self._size > _HELD_BYTES:
            if self._holds:
                raise Fault("rule.failed", "An answer is too long to be held for the rules that may refuse it.")
            self._parts = []
            return (frame,)
        if not isinstance(frame, End):
            return () if self._holds else (frame,)
        held, self._parts = self._parts, []
        if len(held[0].data) <= self._size:
            stream = b"".join(each.data for each in held)
            await self._whole(self._forms.said(self._asked.exchange.endpoint, self._forms.folded(stream)))
        return held if self._holds else (frame,)

    async def whole(self, body: bytes) -> bytes:
        await self._whole(self._forms.said(self._asked.exchange.endpoint, body))
        return body

    async def _whole(self, words: Words) -> None:
        enforcer, asked = self._enforcer, self._asked
        conversation = await enforcer.conversations.of(asked.container.uuid, asked.session)
        if words.text:
            key = digest("assistant", words.text)
            happening = enforcer.happening(asked, EventName.CHAT_MESSAGE, text=words.text, role="assistant", key=key)
            await enforcer.request(conversation, happening)
        if words.finished == "stop" and not words.calls:
            enforcer.after(asked, EventName.SESSION_IDLE)


SESSION = "session"


def put_in(document: RequestDocument, conversation: Conversation) -> None:
    """Everything that rules have put into this conversation, at the places where they did."""
    fired = conversation.put_in()
    if not fired:
        return
    users = {of(spot): spot for spot in document.spots if spot.said is Said.USER}
    behind: list[tuple[int, str]] = []
    for firing in fired:
        match firing.place:
            case Place.SYSTEM_FIRST | Place.SYSTEM_LAST:
                document.add_system(firing.content, first=firing.place is Place.SYSTEM_FIRST)
            case Place.USER_FIRST | Place.USER_LAST:
                spot = users.get(firing.key)
                if spot is None:
                    continue
                parts = (firing.content, spot.text) if firing.place is Place.USER_FIRST else (spot.text, firing.content)
                document.set_text(spot, "\n\n".join(parts))
                users[firing.key] = Spot(spot.number, spot.message, spot.said, "\n\n".join(parts), spot.call)
            case Place.MESSAGE:
                at = _behind(document.messages, firing.key)
                if at is not None:
                    behind.append((at, firing.content))
            case Place.NOWHERE:
                pass
    # From the last to the first, so that those before keep their places.
    for at, content in sorted(behind, key=lambda each: -each[0]):
        document.add_message(Said.USER, content, at)


def _new(messages: Sequence[Message]) -> Sequence[Message]:
    """What came since the assistant's last turn."""
    last = max((at for at, message in enumerate(messages) if message.said is Said.ASSISTANT), default=-1)
    return messages[last + 1 :]


def _behind(messages: Sequence[Message], key: str) -> int | None:
    """Where a message about `key` belongs; None where that is not there (any more)."""
    if key == SYSTEM:
        return 0
    for at, message in enumerate(messages):
        if any(key in _keys(spot) for spot in message.spots) or (
            message.said is Said.ASSISTANT and key == digest("assistant", message.text)
        ):
            return at + 1
    return None


def _keys(spot: Spot) -> Iterable[str]:
    if spot.said is Said.USER:
        return (of(spot),)
    # What was put in before a call is seen by the model when its result is.
    return (result(spot.call), before(spot.call)) if spot.said is Said.TOOL else ()


def of(spot: Spot) -> str:
    """What tells a message of the user from others: its place and its words."""
    return digest(str(spot.message), spot.text)


def result(call: str) -> str:
    return f"result:{call}"


def before(call: str) -> str:
    return f"call:{call}"


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
