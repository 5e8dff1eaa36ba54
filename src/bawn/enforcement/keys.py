"""By what the things that rules fire on are told from each other within a conversation.

A client that tries again sends the same again, so the same has the same key: a message has its place and its words, a call
and its result the id of the call. Where a wire has no ids, and since some models use the same id twice, places are part of
those as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Message, Said

SYSTEM = "system"
SESSION = "session"
_LONGEST_ID = 80


def user(at: int, text: str) -> str:
    """A message of the user, `messages[at]`."""
    return f"user:{at}:{_digest(text)}"


def answer(at: int, text: str) -> str:
    """What the model said to a request of `at` messages."""
    return f"answer:{at}:{_digest(text)}"


def call(at: int, proposed: ToolCall) -> str:
    """A call that the model proposed in its answer to a request of `at` messages."""
    named = proposed.id or f"{proposed.name}:{_digest(proposed.arguments_raw)}"
    return f"call:{at}:{_short(named)}"


def result(at: int, call_id: str) -> str:
    """The result of a call (where the wire has no ids: of a tool) in `messages[at]`, or in the first one from there on."""
    return f"result:{at}:{_short(call_id)}"


def idle(at: int) -> str:
    return f"idle:{at}"


def system(at: int, text: str) -> str:
    """The system text of the request whose last message is `messages[at]`."""
    return f"system:{at}:{_digest(text)}"


def behind(messages: Sequence[Message], key: str) -> int | None:
    """Before which of `messages` something that follows `key` belongs; None where that is not there (any more)."""
    kind, _, rest = key.partition(":")
    number, _, name = rest.partition(":")
    if not number.isdigit():
        return None
    at = int(number)
    match kind:
        case "user":
            return at + 1 if at < len(messages) and user(at, said_by_user(messages[at])) == key else None
        case "result":
            found = (i for i in range(at, len(messages)) if any(_short(id_) == name for id_ in results(messages[i])))
            place = next(found, None)
            return place + 1 if place is not None else None
        case "answer":
            end = at
            while end < len(messages) and messages[end].said is Said.ASSISTANT:
                end += 1
            return end if end > at else None
    return None


def said_by_user(message: Message) -> str:
    return "\n".join(spot.text for spot in message.spots if spot.said is Said.USER)


def results(message: Message) -> dict[str, str]:
    """The results in a message: text by call."""
    found: dict[str, list[str]] = {}
    for spot in message.spots:
        if spot.said is Said.TOOL:
            found.setdefault(spot.call, []).append(spot.text)
    return {id_: "\n".join(texts) for id_, texts in found.items()}


def last_user(messages: Sequence[Message]) -> str:
    """The key of the last message of the user; empty where there is none."""
    for at in range(len(messages) - 1, -1, -1):
        text = said_by_user(messages[at])
        if text:
            return user(at, text)
    return ""


def last(messages: Sequence[Message]) -> str:
    """The key of the last message or result that something can follow; empty where there is none."""
    for at in range(len(messages) - 1, -1, -1):
        if text := said_by_user(messages[at]):
            return user(at, text)
        if ids := results(messages[at]):
            return result(at, next(iter(ids)))
    return ""


def calls(messages: Iterable[Message]) -> dict[str, ToolCall]:
    """Every call of the history, by its id or, without one, by its tool's name."""
    return {each.id or each.name: each for message in messages for each in message.calls}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _short(id_: str) -> str:
    return id_ if len(id_) <= _LONGEST_ID else _digest(id_)
