"""Which conversation a call goes on with, recognised without the agent's help.

An agent that names its conversation (a field of the wire, a header of its own) is believed: the name is worth something
within its container only. Else the history tells: a request that repeats an earlier one, with the answer that was sent to
it behind, goes on with that conversation. What was sent is what counts, after every change made here; so two conversations
that begin with the same words part at the first answer that differs. One that repeats nothing begins a new one.

History is compared by what it says (who, which words, which calls), since clients write it down in their own form.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Said

HEADERS = (b"x-bawn-session", b"x-session-id", b"x-claude-code-session-id", b"session_id")
"""By which agents name their conversation beside the body; Bawn's own first."""
_MOST = 20_000
"""Points of conversations that are remembered; the oldest are forgotten first."""
_LONGEST_NAME = 200
_SPACES = str.maketrans("", "", " \t\r\n")


class Sessions:
    """What was said, as digests; nothing of it is kept as text."""

    def __init__(self, most: int = _MOST) -> None:
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._most = most

    def find(self, asked: Asked) -> str:
        """The name of the conversation."""
        if named := self._named(asked):
            return named
        turns = asked.heard = _turns(asked)
        if turns is None:
            return f"call:{asked.call}"
        for digest in reversed(_digests(asked.container.uuid, turns)):
            if (session := self._known.get(digest)) is not None:
                return session
        return f"s:{asked.call}"

    def sent(self, asked: Asked, text: str, calls: Sequence[ToolCall]) -> None:
        """What was sent to the client, in the end: by this the next request is known again."""
        if self._named(asked):
            return
        session = asked.session
        # The agent repeats what it said itself, and knows nothing of what was put in on the way.
        turns = asked.heard
        if not isinstance(turns, list):
            return
        _add(turns, True, text, calls)
        self._known[_digests(asked.container.uuid, turns)[-1]] = session
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    @staticmethod
    def _named(asked: Asked) -> str:
        name = asked.exchange.session
        if not name:
            found = next((value for header in HEADERS if (value := asked.header(header))), b"")
            name = found.decode("ascii", "replace")
        return name[:_LONGEST_NAME]


class _Turn:
    """What one side said in a row. Wires differ in how many messages that is, and so do clients."""

    __slots__ = ("assistant", "calls", "text")

    def __init__(self, assistant: bool) -> None:
        self.assistant = assistant
        self.text: list[str] = []
        self.calls: list[ToolCall] = []


def _turns(asked: Asked) -> list[_Turn] | None:
    """The conversation without its system text, which holds the time of day with some agents."""
    try:
        document = asked.document
    except Fault:
        return None
    if document is None:
        return None
    turns: list[_Turn] = []
    for message in document.messages:
        if message.said is not Said.SYSTEM:
            _add(turns, message.said is Said.ASSISTANT, message.text, message.calls)
    return turns


def _add(turns: list[_Turn], assistant: bool, text: str, calls: Sequence[ToolCall]) -> None:
    if not turns or turns[-1].assistant is not assistant:
        turns.append(_Turn(assistant))
    turns[-1].text.append(text)
    turns[-1].calls += calls


def _digests(container: str, turns: Iterable[_Turn]) -> list[bytes]:
    """For each turn of the assistant: the digest of everything up to it and with it."""
    digest = container.encode()
    found: list[bytes] = []
    for turn in turns:
        hashed = hashlib.blake2b(digest, digest_size=16)
        hashed.update(b"assistant" if turn.assistant else b"user")
        hashed.update("".join(turn.text).translate(_SPACES).encode("utf-8", "surrogatepass"))
        for call in turn.calls:
            hashed.update(f"\0{call.id}\0{call.name}".encode("utf-8", "surrogatepass"))
        digest = hashed.digest()
        if turn.assistant:
            found.append(digest)
    return found
