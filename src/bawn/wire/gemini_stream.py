"""A streamed answer of Gemini: each frame is an answer of its own, whose calls come whole.

Nothing on this wire says that a stream is over but the end of HTTP, so the frame in which all candidates have said why
they ended waits for it, and goes out as the end. Google's packages read a line that is no `data:` as JSON of its own;
so a frame is exactly one line of data, and what carries none is left out.
"""

from __future__ import annotations

import re

from bawn.terms.frames import End, HeldCall
from bawn.wire.gemini_calls import Told
from bawn.wire.holding import Unsound
from bawn.wire.json_text import read_plain
from bawn.wire.sse import SseFrame
from bawn.wire.stream_reading import StreamReading
from bawn.wire.usage import gemini_usage

_ONE_LINE = re.compile(rb"data:[^\r\n]+(?:\r\n|\n|\r){2}")


class ContentStreamReader(StreamReading[int]):
    __slots__ = ("_last", "_told")

    def __init__(self) -> None:
        super().__init__()
        self._told = Told()
        self._last = b""
        """A frame that may be the last one."""

    def _left(self) -> None:
        if self._splitter.rest.strip() or not self._told.whole:
            super()._left()
        else:
            self._ended = True
            self._holding.put(End(self._last))

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
            self._holding.put(HeldCall(tuple(calls), frame.raw))
        elif self._told.whole:
            self._last = frame.raw
        else:
            self._holding.text(frame.raw)
