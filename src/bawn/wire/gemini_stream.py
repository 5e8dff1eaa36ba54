"""A streamed answer of Gemini: each frame is an answer of its own, whose calls come whole.

Nothing on this wire says that a stream is over but the end of HTTP, so the frame in which all candidates have said why
they ended waits for it, and goes out as the end. Google's packages read a line that is no `data:` as JSON of its own;
so a frame is exactly one line of data, and what carries none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bawn.terms.exchange import Usage
from bawn.terms.frames import End, Frame, HeldCall
from bawn.wire.gemini_calls import Told
from bawn.wire.holding import Holding, Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.sse import SseFrame, SseSplitter, TooLong
from bawn.wire.usage import gemini_usage

_ONE_LINE = re.compile(rb"data:[^\r\n]+(?:\r\n|\n|\r){2}")


class ContentStreamReader:
    __slots__ = ("_ended", "_holding", "_last", "_splitter", "_told", "made", "model", "usage")

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._holding: Holding[int] = Holding()
        self._told = Told()
        self._last = b""
        """A frame that may be the last one."""
        self._ended = False
        self.usage: Usage | None = None
        self.model = self.made = ""

    def feed(self, data: bytes) -> list[Frame]:
        return self._read(self._splitter.feed, data)

    def close(self) -> list[Frame]:
        out = self._read(self._splitter.last)
        if not self._ended:
            if self._splitter.rest.strip() or not self._told.whole:
                self._break("The provider's stream ended before its answer was whole.")
            else:
                self._ended = True
                self._holding.out.append(End(self._last))
        return [*out, *self._holding.taken()]

    @property
    def ended(self) -> bool:
        """Whether everything was said."""
        return self._ended

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

    def _frame(self, frame: SseFrame) -> None:
        if frame.data is None:
            return
        if not _ONE_LINE.fullmatch(frame.raw):
            raise Unsound("a frame is not one line of data")
        answer = read_plain(frame.data)
        if isinstance(answer, dict) and answer.get("error") is not None:
            # What else stands in it was not looked at, so it does not go out.
            self._break("The provider ended its stream with an error.", frame.raw if len(answer) == 1 else b"")
            return
        calls = self._told.read(answer)
        if not any(answer.get(name) for name in ("candidates", "promptFeedback", "usageMetadata")):
            raise Unsound("a frame says nothing")
        self.usage = gemini_usage(answer.get("usageMetadata"), self.usage)
        if isinstance(answer.get("modelVersion"), str):
            self.model = answer["modelVersion"]
        if self._last:
            self._holding.text(self._last)
            self._last = b""
        if calls:
            self._holding.out.append(HeldCall(tuple(calls), frame.raw))
        elif self._told.whole:
            self._last = frame.raw
        else:
            self._holding.text(frame.raw)

    def _break(self, sentence: str, data: bytes = b"") -> None:
        self._ended = True
        self._holding.broken(sentence, data)
