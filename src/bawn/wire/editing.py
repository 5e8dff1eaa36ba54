"""Answers that are changed on their way: what is to become of each tool call, and who writes it down in a wire.

Until the first change an answer goes out byte for byte and nobody edits it. From then on every frame goes through an
editor, so that indexes, ids, sequence numbers, the stop reason and every copy of a call agree with what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from bawn.terms.exchange import Endpoint
from bawn.terms.toolcall import ToolCall


class Kept(Struct, frozen=True):
    """The call goes out as the model wrote it."""


class Changed(Struct, frozen=True):
    """The call goes out with another name or other arguments; its id and its place stay."""

    name: str
    arguments: str
    """As text: JSON, or what a tool that takes a text is given."""


class Spoken(Struct, frozen=True):
    """The call does not go out; in its place the assistant says this."""

    text: str


class Dropped(Struct, frozen=True):
    """The call does not go out, and nothing stands in its place."""


Outcome = Kept | Changed | Spoken | Dropped


class Refused(Struct, frozen=True):
    """A withheld call, as the model is told of it: as the result of its tool."""

    id: str
    text: str


class StreamEditor(Protocol):
    """Writes on one streamed answer, from the first change to its end.

    Made with the bytes that have gone out before, whole frames, from which it learns ids, numbers and indexes. What it is
    given was read by the wire's reader before, so it is sound; what it writes is read by official packages.
    """

    def passing(self, data: bytes) -> bytes:
        """Frames without calls, renumbered where that is needed."""

    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        """The frames of one held group, `outcomes` in the order of its calls. The frames among them that carry no call
        go as by `passing`."""

    def say(self, text: str) -> bytes:
        """Frames by which the assistant says `text` now, behind what has gone out."""

    def end(self, data: bytes) -> bytes:
        """The frames that end the answer. Where no call has gone out, the stop reason is that of a finished turn; usage is
        that of all answers together."""

    def swallow(self, data: bytes) -> None:
        """Frames that are not to go out: only their usage is added to what `end` will tell."""

    def begin_again(self) -> None:
        """What comes next are the frames of another answer, which goes on where this one was left: its opening frames do
        not go out, its indexes follow on, ids and the model are those of the first."""


class Said(Struct, frozen=True):
    """What a whole answer says, in no wire's words."""

    text: str
    calls: tuple[ToolCall, ...]
    finished: str
    """`stop`, `length`, `calls`, `filter` or `other`."""


class Answers(Protocol):
    """What can be done with the answers of one wire beside reading them. Answers that are given were read before."""

    def editor(self, before: bytes) -> StreamEditor:
        """An editor of a stream of which `before` has gone out."""

    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        """A plain answer with the outcomes of its calls, in the order in which the wire's reader tells them."""

    def joined(self, first: bytes, second: bytes) -> bytes:
        """One plain answer of two: the text of the first without its calls, then all of the second; usage is that of both,
        id and model are those of the first."""

    def folded(self, stream: bytes) -> bytes:
        """The plain answer that says what a whole stream said."""

    def streamed(self, body: bytes) -> bytes:
        """The stream that says what a plain answer says."""

    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        """The request that goes on: the plain answer as the assistant's turn (thinking as it was signed), and each of its calls
        answered by a result that tells of its refusal."""

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        """A plain answer in which the assistant says `text`; `call` makes its id, `created` is in Unix seconds."""

    def said(self, endpoint: Endpoint, body: bytes) -> Said: ...
