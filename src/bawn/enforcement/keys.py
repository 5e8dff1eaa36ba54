"""By what the things that rules fire on are told from each other within a conversation.

A client that tries again sends the same again, so the same has the same key: a message has its place and its words, a call
its id and what it says, its result the id. Where a wire has no ids, and since some models use the same id twice, places are
part of those as well.

Where the provider keeps what was said before, a request begins anew at its first message; so its places are told from those
of others by what it goes on with, their base.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence

from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Message, Said
from bawn.wire.json_text import NotPlain, read_plain

SYSTEM = "system"
SESSION = "session"
UNKNOWN = "?"
"""In the place of a number that is not known."""
_LONGEST_ID = 80


def base(goes_on: str) -> str:
    """Of the places in a request that goes on with this."""
    return hashlib.blake2b(goes_on.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() if goes_on else ""


def place(at: int, within: str) -> str:
    """`messages[at]` of a request with the base `within`; empty where it has its whole history."""
    return f"{at}@{within}" if within else str(at)


def user(at: int | str, text: str) -> str:
    """A message of the user, `messages[at]`."""
    return f"user:{at}:{_digest(text)}"


def answer(at: int | str, text: str) -> str:
    """What the model said to a request of `at` messages."""
    return f"answer:{at}:{_digest(text)}"


def call(at: int | str, proposed: ToolCall) -> str:
    """A call that the model proposed in its answer to a request of `at` messages. What it says is part of it: an id alone is
    not to be trusted, whether a model uses it twice or an agent reports something else under it."""
    return f"call:{at}:{_short(proposed.id or proposed.name)}:{_digest(meaning(proposed))}"


def meaning(proposed: ToolCall) -> str:
    """What a call says, however its arguments are written down."""
    arguments = proposed.arguments_raw
    if not proposed.free:
        with contextlib.suppress(NotPlain, ValueError, RecursionError):
            read = read_plain(arguments.encode("utf-8", "surrogatepass") or b"{}")
            arguments = json.dumps(read, sort_keys=True)
    return f"{proposed.name}\0{arguments}"


def result(at: int | str, call_id: str) -> str:
    """The result of a call (where the wire has no ids: of a tool) that was proposed in the answer to `at` messages; it
    stands in the first message from `messages[at]` on that has one of this id."""
    return f"result:{at}:{_short(call_id)}"


def result_of(key: str) -> str:
    """The result of a call that has this key."""
    return "result:" + key.partition(":")[2].rpartition(":")[0]


def unplaced(key: str) -> bool:
    """Whether somebody told of a call or a result who does not know its place."""
    return key.startswith(("call:?:", "result:?:"))


def same_call(key: str, other: str) -> bool:
    """Whether both are of the same call, or of the result of a call with the same id, whatever their places."""
    kind, _, rest = key.partition(":")
    other_kind, _, other_rest = other.partition(":")
    return kind == other_kind and rest.partition(":")[2] == other_rest.partition(":")[2]


def idle(at: int | str) -> str:
    return f"idle:{at}"


def error(call: str) -> str:
    """A call to a model, or a report, that ended in one."""
    return f"error:{call}"


def system(at: int | str, text: str) -> str:
    """The system text of the request whose last message is `messages[at]`."""
    return f"system:{at}:{_digest(text)}"


def behind(messages: Sequence[Message], key: str, within: str) -> int | None:
    """Before which of `messages`, of a request with the base `within`, something that follows `key` belongs; None where that
    is not there (any more)."""
    kind, _, rest = key.partition(":")
    where, _, name = rest.partition(":")
    number, _, of = where.partition("@")
    if not number.isdigit() and number != UNKNOWN:
        return None
    at = int(number) if number != UNKNOWN else 0
    if of != within:
        if kind != "result":
            return None
        at = 0  # its call was proposed in the answer to another request
    match kind:
        case "user":
            return at + 1 if at < len(messages) and user(where, said_by_user(messages[at])) == key else None
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


def last_user(messages: Sequence[Message], within: str) -> str:
    """The key of the last message of the user; empty where there is none."""
    for at in range(len(messages) - 1, -1, -1):
        text = said_by_user(messages[at])
        if text:
            return user(place(at, within), text)
    return ""


def last(messages: Sequence[Message], within: str) -> str:
    """The key of the last message or result that something can follow; empty where there is none."""
    for at in range(len(messages) - 1, -1, -1):
        if text := said_by_user(messages[at]):
            return user(place(at, within), text)
        if ids := results(messages[at]):
            return result(place(at, within), next(iter(ids)))
    return ""


class Proposals:
    """The calls of a history, while it is walked from its beginning on: some models use an id more than once."""

    __slots__ = ("_at", "_calls", "_known", "_places", "_said", "_within")

    def __init__(self, within: str, known: Callable[[str], ToolCall | None]) -> None:
        """`known`: the call of an id, for one that the history does not have."""
        self._within = within
        self._known = known
        self._calls: dict[str, ToolCall] = {}
        self._places: dict[str, int] = {}
        self._at = 0
        self._said = 0

    def pass_by(self, message: Message) -> None:
        """Each message in turn. What the model says in a row is the answer to all that stands before it."""
        self._said += 1
        if message.said is not Said.ASSISTANT:
            self._at = self._said
        for each in message.calls:
            name = each.id or each.name
            self._calls[name] = each
            self._places[name] = self._at

    def call(self, id_: str) -> ToolCall:
        """The last call of this id or, without one, of this tool; without a name where nobody knows it."""
        return self._calls.get(id_) or self._known(id_) or ToolCall(id_, "", "")

    def key(self, id_: str, at: int) -> str:
        """Of its result; `at`: where the result stands, which counts where the history does not have the call."""
        return result(place(self._places.get(id_, at), self._within), id_)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _short(id_: str) -> str:
    return id_ if len(id_) <= _LONGEST_ID else _digest(id_)
