"""What the readers of all streams do alike: split the bytes, read frame by frame, and say so when that fails.

Whatever is wrong with a frame ends the answer: what was held is dropped, and nothing after it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic

from bawn.terms.exchange import Usage
from bawn.terms.frames import Frame
from bawn.wire.holding import Holding, Key, Unsound
from bawn.wire.json_text import NotPlain
from bawn.wire.sse import SseFrame, SseSplitter, TooLong


class StreamReading(Generic[Key]):
    """One streamed answer; what a frame means, and how an answer closes, each wire says itself."""

    __slots__ = ("_ended", "_holding", "_splitter", "made", "model", "usage")

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._holding: Holding[Key] = Holding()
        self._ended = False
        self.usage: Usage | None = None
        self.model = ""
        self.made = ""

    @property
    def ended(self) -> bool:
        """Whether everything was said."""
        return self._ended

    def feed(self, data: bytes) -> list[Frame]:
        return self._read(self._splitter.feed, data)

    def close(self) -> list[Frame]:
        out = self._read(self._splitter.last)
        if not self.ended:
            try:
                self._left()
            except Unsound as unsound:
                self._break(f"The provider's stream is unsound: {unsound}.")
        return [*out, *self._holding.taken()]

    def _frame(self, frame: SseFrame) -> None:
        """Read one frame. Raises NotPlain and Unsound."""
        raise NotImplementedError

    def _left(self) -> None:
        """The provider has ended its answer as HTTP, and nothing in it said that it was over."""
        self._break("The provider's stream ended before its answer was whole.")

    def _read(self, split: Callable[..., Iterable[SseFrame]], *data: bytes) -> list[Frame]:
        if self._ended:
            return []
        try:
            for frame in split(*data):
                self._frame(frame)
                if self.ended:
                    break
        except TooLong:
            self._break("A frame of the provider's stream is too long.")
        except NotPlain as error:
            self._break(f"A frame of the provider's stream is not plain JSON: {error}.")
        except Unsound as unsound:
            self._break(f"The provider's stream is unsound: {unsound}.")
        return self._holding.taken()

    def _break(self, sentence: str, data: bytes = b"") -> None:
        self._ended = True
        self._holding.broken(sentence, data)
