"""Which conversation a call goes on with, recognised without the agent's help.

An agent that names its conversation (a field of the wire, a header of its own) is believed: the name is worth something
within its container only. Else the history tells: a request that repeats an earlier one, with the answer that was sent to
it behind, goes on with that conversation. What was sent is what counts, after every change made here; so two conversations
that begin with the same words part at the first answer that differs. One that repeats nothing begins a new one.

A request that goes on with what the provider keeps has no history: the id by which it names that tells, of the answer that
was sent, or of a conversation there.

History is compared by what it says (who, which words, which calls), since clients write it down in their own form. An
answer is looked at when somebody comes with a history and not before, since most calls come with none.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import structlog

from bawn.errors import Fault
from bawn.stages.asked import UNNAMED, Asked
from bawn.terms.toolcall import ToolCall
from bawn.wire.answers import answers
from bawn.wire.document import Said
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain

HEADERS = (b"x-bawn-session", b"x-session-id", b"x-claude-code-session-id", b"session_id")
"""By which agents name their conversation beside the body; Bawn's own first."""
_NAMING = frozenset(HEADERS)
_MOST = 20_000
"""Points of conversations that are remembered; the oldest are forgotten first."""
_WAITING = 128
"""Answers of one container that nobody has looked at."""
_WAITING_BYTES = 4 * 2**20
"""Of all containers, with the requests that they answer."""
_LONGEST_NAME = 200
_log = structlog.get_logger("bawn.gateway")
_SPACES = str.maketrans("", "", " \t\r\n")


class Sessions:
    """What was said, as digests; nothing of it is kept as text."""

    def __init__(self, most: int = _MOST) -> None:
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._most = most
        self._answered: dict[str, deque[_Answered]] = {}
        self._bytes = 0

    def find(self, asked: Asked) -> str:
        """The name of the conversation."""
        if named := self._named(asked):
            return named
        if kept := self._kept(asked):
            return kept
        turns = _turns(asked)
        if turns is None:
            return f"call:{asked.call}"
        if not any(turn.assistant for turn in turns):
            return f"s:{asked.call}"
        for answered in self._answered.pop(asked.container.uuid, ()):
            self._look_at(answered)
        for digest in reversed(_digests(asked.container.uuid, turns)):
            if (session := self._known.get(digest)) is not None:
                return session
        return f"s:{asked.call}"

    def sent(self, asked: Asked, said: bytes, streamed: Sequence[bytes]) -> None:
        """What was sent to the client in the end, whole or in frames: by this the next request is known again."""
        if asked.came.kept:
            self._keep(asked, said, streamed)
        if self._named(asked):
            return
        if not asked.exchange.tools:
            # Hardly anybody goes on with it, and what was read takes many times the room of its bytes.
            asked.put_away()
        answered = _Answered(asked, said, streamed)
        waiting = self._answered.setdefault(asked.container.uuid, deque())
        waiting.append(answered)
        self._bytes += answered.size
        if len(waiting) > _WAITING:
            self._let_go(waiting.popleft())
        while self._bytes > _WAITING_BYTES:
            # Of the container that has waited longest, which may be no more.
            uuid, longest = next(iter(self._answered.items()))
            self._let_go(longest.popleft())
            if not longest:
                # Looking at it may have looked at all that wait.
                self._answered.pop(uuid, None)

    def _let_go(self, answered: _Answered) -> None:
        if answered.asked.exchange.tools:
            self._look_at(answered)
        else:
            # Not of an agent. Who goes on with it after so many others begins anew.
            self._bytes -= answered.size

    def _look_at(self, answered: _Answered) -> None:
        self._bytes -= answered.size
        asked = answered.asked
        try:
            text, calls = answered.words()
        except (Fault, Unsound) as error:
            _log.warning("call.not_remembered", call=asked.call, error=str(error))
            return
        turns = _turns(asked)
        if turns is None:
            return
        _add(turns, True, text, calls)
        self._know(_digests(asked.container.uuid, turns)[-1], asked.session)

    def _know(self, point: bytes, session: str) -> None:
        self._known[point] = session
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def _kept(self, asked: Asked) -> str:
        """The conversation of what the provider keeps; empty where the request names nothing of it, or nobody knows it."""
        came = asked.came
        if not (came.after or came.within):
            return ""
        point = _point(asked.container.uuid, came.after or came.within)
        session = self._known.get(point, "")
        if not session and came.within:
            session = f"s:{asked.call}"
            self._know(point, session)
        elif session:
            self._known.move_to_end(point)
        return session

    def _keep(self, asked: Asked, said: bytes, streamed: Sequence[bytes]) -> None:
        """An answer that a request may go on with by its id, also one of a conversation that the agent names by itself."""
        try:
            whole = answers(asked.exchange.wire).folded(b"".join(streamed)) if streamed else said
            read = read_plain(whole)
        except (Fault, Unsound, NotPlain) as error:
            _log.warning("call.not_remembered", call=asked.call, error=str(error))
            return
        made = read.get("id") if isinstance(read, dict) else None
        for each in (made, asked.came.within):
            if isinstance(each, str) and each:
                self._know(_point(asked.container.uuid, each), asked.session)

    @staticmethod
    def _named(asked: Asked) -> str:
        name = asked.exchange.session
        if not name:
            given = {header: value for header, value in asked.headers if header in _NAMING and value}
            name = next((given[header] for header in HEADERS if header in given), b"").decode("ascii", "replace")
        # A name that is given here alone would make it one of the conversations that nobody named.
        return "" if name.startswith(UNNAMED) else name[:_LONGEST_NAME]


class _Answered:
    """An answer that nobody has looked at yet."""

    __slots__ = ("_said", "_streamed", "asked", "size")

    def __init__(self, asked: Asked, said: bytes, streamed: Sequence[bytes]) -> None:
        self.asked = asked
        self._said = said
        self._streamed = streamed
        self.size = len(asked.exchange.body) + len(said) + sum(map(len, streamed))

    def words(self) -> tuple[str, Sequence[ToolCall]]:
        forms = answers(self.asked.exchange.wire)
        said = forms.folded(b"".join(self._streamed)) if self._streamed else self._said
        read = forms.said(self.asked.exchange.endpoint, said)
        return read.text, read.calls


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
        # As the agent sent it: it repeats what it said itself, and knows nothing of what was put in on the way.
        document = asked.sent
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


def _point(container: str, kept: str) -> bytes:
    """Where something that the provider keeps under this id stands."""
    return hashlib.blake2b(f"{container}\0kept\0{kept}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


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
