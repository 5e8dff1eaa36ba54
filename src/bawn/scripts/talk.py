"""One request to a model as a script sees it whatever its wire: its texts, and what an answer to it says.

Pure. A stream is edited as the tool gate does it: text goes on at once, a tool call is held until it is whole, and from the
first change on every frame is written anew, so that all copies of a call, its indexes and the stop reason agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, Usage
from bawn.terms.frames import Frame
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, endpoint, wire
from bawn.wire.answers import answers
from bawn.wire.document import RequestDocument
from bawn.wire.documents import document
from bawn.wire.editing import Kept, Outcome, StreamEditor
from bawn.wire.interface import StreamReader

MAX_KEPT_BYTES = 16 << 20
"""Of a streamed answer; of a longer one nothing is told, and nothing in it can be changed any more."""
_TALKS = frozenset((Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE))


@dataclass(frozen=True, slots=True)
class Words:
    """What an answer says."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finished: str = "other"
    """`stop`, `length`, `calls`, `filter` or `other`."""
    model: str = ""
    usage: Usage | None = None
    body: bytes = b""
    """The whole answer as JSON of its wire, also where it was streamed."""


class Talk:
    """A request of a conversation, as it was sent."""

    def __init__(self, route: Route, exchange: Exchange) -> None:
        self._route = route
        self._exchange = exchange
        self._wire = wire(exchange.wire)
        self._answers = answers(exchange.wire)

    @classmethod
    def of(cls, method: str, path: str, headers: dict[str, str], body: bytes) -> Talk | None:
        """None for what is no conversation, or cannot be read as one."""
        told = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        try:
            route = endpoint(method, path.encode("latin-1", "replace"), told)
            if route.wire is None or route.endpoint not in _TALKS:
                return None
            return cls(route, wire(route.wire).read_request(route, body))
        except Fault:
            return None

    @property
    def wire(self) -> str:
        return self._exchange.wire.value

    @property
    def stream(self) -> bool:
        return self._exchange.stream

    @property
    def model(self) -> str:
        return self._exchange.model

    def document(self) -> RequestDocument:
        found = document(self._exchange)
        assert found is not None
        return found

    def counted(self) -> bytes:
        """The body such that a stream tells its usage."""
        body = self._exchange.body
        return self._wire.with_usage(body) if self._exchange.stream else body

    def words(self, body: bytes) -> Words:
        """Of a plain answer. Fault when it is none."""
        read = self._wire.read_answer(self._exchange.endpoint, body)
        said = self._answers.said(self._exchange.endpoint, body)
        return Words(said.text, said.calls, said.finished, read.model, read.usage, body)

    def folded(self, stream: bytes) -> bytes:
        return self._answers.folded(stream)

    def streamed(self, body: bytes) -> bytes:
        return self._answers.streamed(body)

    def edited(self, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        return self._answers.edited(self._exchange.endpoint, body, outcomes)

    def answer_of(self, text: str, call: str, created: int) -> bytes:
        return self._answers.answer_of(text, self._exchange.model, call, created)

    def passage(self) -> Passage:
        """For one streamed answer to this request."""
        # What is added to a request to learn the usage is taken out for an agent that did not ask for it.
        reader = self._wire.stream_reader(hide_usage=self.counted() != self._exchange.body)
        return Passage(reader, self._answers.editor, lambda stream: self.words(self._answers.folded(stream)))


class Passage:
    """A streamed answer on its way through a script."""

    def __init__(
        self, reader: StreamReader, editor: Callable[[bytes], StreamEditor], words: Callable[[bytes], Words]
    ) -> None:
        self._reader = reader
        self._begin_editing = editor
        self._words = words
        self._editor: StreamEditor | None = None
        self._came: list[bytes] = []
        self._sent: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Frame]:
        self._size += len(data)
        self._came.append(data)
        if self._size > MAX_KEPT_BYTES:
            self._came.clear()
            self._sent.clear()
        return self._reader.feed(data)

    def close(self) -> list[Frame]:
        return self._reader.close()

    def passing(self, data: bytes) -> bytes:
        return self._went(data if self._editor is None else self._editor.passing(data))

    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        if self._editor is None and all(isinstance(each, Kept) for each in outcomes):
            return self._went(data)
        return self._went(self.edit().calls(data, outcomes))

    def say(self, text: str) -> bytes:
        return self._went(self.edit().say(text))

    def end(self, data: bytes) -> bytes:
        return self._went(data if self._editor is None else self._editor.end(data))

    def words(self, end: bytes = b"") -> Words:
        """What has gone out, with an end that has not yet."""
        told = Words(model=self._reader.model, usage=self._reader.usage)
        if not self._whole:
            return told
        try:
            # As it came where nothing was changed: that has the usage, which may be hidden in what went out.
            said = self._words(b"".join(self._came) if self._editor is None else b"".join(self._sent) + end)
        except (Fault, ValueError):
            return told
        return Words(said.text, said.calls, said.finished, said.model, self._reader.usage or said.usage, said.body)

    @property
    def _whole(self) -> bool:
        return self._size <= MAX_KEPT_BYTES

    def edit(self) -> StreamEditor:
        """The editor; from now on everything goes through it."""
        if self._editor is None:
            if not self._whole:
                raise ValueError("the answer is too long to be changed")
            self._editor = self._begin_editing(b"".join(self._sent))
        return self._editor

    def _went(self, data: bytes) -> bytes:
        if self._whole:
            self._sent.append(data)
        return data
