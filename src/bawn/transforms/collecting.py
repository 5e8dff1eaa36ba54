"""An answer gathered while it passes, for transforms that need all of it in the end. What passes is not changed.

A model that is told of a refused call goes on by another answer within the same call; the last one is what is gathered.
"""

from __future__ import annotations

from collections.abc import Sequence

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint
from bawn.terms.frames import Broken, End, Frame
from bawn.wire.editing import Answers, Said
from bawn.wire.holding import Unsound

UNREADABLE = (Fault, Unsound, ValueError, LookupError, TypeError, AttributeError)
"""What reading an answer once more can come to, when it was broken or a stage put in what is none."""


class Collected:
    """A view of one answer. Over `limit` bytes, with those before it, it is given up, since memory is bounded."""

    __slots__ = ("_ended", "_limit", "_parts", "_size", "earlier", "streamed", "whole_answer")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False
        self.earlier: list[bytes] = []
        """The answers before this one, after which the model was told of a refusal."""
        self.streamed = False
        self.whole_answer = False
        """Whether it came to its end, and all of it is here."""

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        self.take(frame)
        return (frame,)

    async def whole(self, body: bytes) -> bytes:
        self._take(body)
        self._ended = True
        self.whole_answer = self._size <= self._limit
        return body

    def take(self, frame: Frame) -> None:
        self.streamed = True
        self.whole_answer = False
        if not isinstance(frame, Broken):
            self._take(frame.data)
            self._ended = isinstance(frame, End)
            self.whole_answer = self._ended and self._size <= self._limit

    @property
    def data(self) -> bytes:
        """What came until now; nothing once it is over the limit."""
        return b"".join(self._parts)

    @property
    def size(self) -> int:
        return self._size

    def _take(self, data: bytes) -> None:
        if self._ended:
            self.earlier.append(self.data)
            self._parts, self._ended = [], False
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
        else:
            self._parts.clear()
            self.earlier.clear()

    def plain(self, answers: Answers) -> bytes | None:
        """As a plain answer; None where it is not here whole, or cannot be read."""
        if not self.whole_answer:
            return None
        try:
            return answers.folded(self.data) if self.streamed else self.data
        except UNREADABLE:
            return None

    def said(self, answers: Answers, endpoint: Endpoint) -> Said | None:
        """What it says; None where it is not here whole, or cannot be read."""
        body = self.plain(answers)
        return None if body is None else said(answers, endpoint, body)


def said(answers: Answers, endpoint: Endpoint, body: bytes) -> Said | None:
    """What a plain answer says; None where it cannot be read."""
    try:
        return answers.said(endpoint, body)
    except UNREADABLE:
        return None
