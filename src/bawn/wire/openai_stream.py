"""A streamed chat completion: every frame is parsed, frames of tool calls are held until whole.

Every frame, because a key written with JSON escapes (`to\\u006fl_calls`) has no literal form to search for.
A call is whole when the next one of its choice begins, when its choice ends, or at `[DONE]`. Calls of several
choices that come mixed are one group, which waits for the last of them; so does all else that is said meanwhile.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.frames import End
from bawn.wire.holding import Unsound
from bawn.wire.json_text import read_plain
from bawn.wire.openai_calls import Piece, pieces
from bawn.wire.sse import SseFrame
from bawn.wire.stream_reading import StreamReading
from bawn.wire.usage import openai_usage

_DONE_WITHOUT_END = (b"data: [DONE]", b"data:[DONE]")


class ChatStreamReader(StreamReading[tuple[int, int]]):
    __slots__ = ("_calling", "_finished", "_hide_usage", "_started")

    def __init__(self, *, hide_usage: bool) -> None:
        super().__init__()
        self._hide_usage = hide_usage
        self._started: set[int] = set()
        self._finished: set[int] = set()
        self._calling: dict[int, int] = {}
        """Choices that have calls in the held group and are not finished; with the highest place of these."""

    def _left(self) -> None:
        rest = self._splitter.rest
        if rest.strip() in _DONE_WITHOUT_END or (
            not rest.strip() and self._started and self._started == self._finished
        ):
            # The last frame may lack its blank line, and some servers of this wire leave `[DONE]` out when every
            # choice has said that it is finished; the official packages take both.
            self._ended = True
            self._holding.let_go()
            self._holding.put(End(rest))
        else:
            super()._left()

    def _frame(self, frame: SseFrame) -> None:
        if frame.data is None:
            self._holding.alive(frame.raw)
            return
        if frame.data.strip() == b"[DONE]":
            self._holding.let_go()
            self._holding.put(End(frame.raw))
            self._ended = True
            return
        chunk = read_plain(frame.data)
        if not isinstance(chunk, dict):
            raise Unsound("a frame is not an object")
        if chunk.get("error") is not None or frame.event == b"error":
            self._break("The provider ended its stream with an error.", frame.raw)
            return
        if not self.model and isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        usage = openai_usage(chunk.get("usage"))
        self.usage = usage or self.usage
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise Unsound("a frame has no choices")
        if usage is not None and not choices and self._hide_usage:
            return
        self._choices(choices, frame.raw)

    def _choices(self, choices: list[Any], raw: bytes) -> None:
        found: list[tuple[int, Piece]] = []
        told: list[int] = []
        for choice in choices:
            number, said = self._choice(choice)
            told.append(number)
            found += [(number, piece) for piece in said]
        holding = self._holding
        if not found:
            holding.text(raw)
        else:
            if self._all_behind(found):
                holding.let_go()
                self._calling = {}
            holding.keep(raw)
            for number, piece in found:
                holding.grow((number, piece.index), piece.id, piece.name, piece.arguments, free=piece.free)
                self._calling[number] = max(piece.index, self._calling.get(number, piece.index))
        for number in told:
            if number in self._finished:
                # Only now: the frame that ends a choice may bring the last piece of its call.
                self._calling.pop(number, None)
        self._started.update(told)
        if holding.held and not self._calling:
            holding.let_go()

    def _choice(self, choice: Any) -> tuple[int, list[Piece]]:
        """The number of a choice, and the pieces of calls in it."""
        if not isinstance(choice, dict) or "message" in choice:
            raise Unsound("a choice is not a delta")
        number, delta = choice.get("index", 0), choice.get("delta")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Unsound("a choice has no number")
        if delta is not None and not isinstance(delta, dict):
            raise Unsound("a delta is not an object")
        said = pieces(delta, streamed=True) if delta else []
        if said and number in self._finished:
            raise Unsound("a tool call comes after the end of its choice")
        if choice.get("finish_reason") is not None:
            self._finished.add(number)
        return number, said

    def _all_behind(self, begun: list[tuple[int, Piece]]) -> bool:
        """Whether every choice that is calling goes on behind the calls that are held, and so makes them whole."""
        if not self._calling:
            return True
        lowest: dict[int, int] = {}
        for number, piece in begun:
            lowest[number] = min(piece.index, lowest.get(number, piece.index))
        return len(lowest) >= len(self._calling) and all(
            number in lowest and lowest[number] > index for number, index in self._calling.items()
        )
