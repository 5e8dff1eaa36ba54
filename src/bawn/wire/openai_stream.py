"""A streamed chat completion: every frame is parsed, frames of tool calls are held until whole.

Every frame, because a key written with JSON escapes (`to\\u006fl_calls`) has no literal form to search for.
A call is whole when the next one of its choice begins, when its choice ends, or at `[DONE]`. Calls of several
choices that come mixed are one group, which waits for the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    __slots__ = ("_finished", "_hide_usage", "_started")

    def __init__(self, *, hide_usage: bool) -> None:
        super().__init__()
        self._hide_usage = hide_usage
        self._started: set[int] = set()
        self._finished: set[int] = set()

    def _left(self) -> None:
        rest = self._splitter.rest
        if rest.strip() in _DONE_WITHOUT_END or (
            not rest.strip() and self._started and self._started == self._finished
        ):
            # The last frame may lack its blank line, and some servers of this wire leave `[DONE]` out when every
            # choice has said that it is finished; the official packages take both.
            self._ended = True
            self._holding.let_go()
            self._holding.out.append(End(rest))
        else:
            super()._left()

    def _frame(self, frame: SseFrame) -> None:
        if frame.data is None:
            self._holding.text(frame.raw)
            return
        if frame.data.strip() == b"[DONE]":
            self._holding.let_go()
            self._holding.out.append(End(frame.raw))
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
        touched: set[int] = set()
        for choice in choices:
            number, said = self._choice(choice)
            touched.add(number)
            found += [(number, piece) for piece in said]
        self._started |= touched
        holding = self._holding
        if not found and not holding.held:
            holding.text(raw)
            return
        if found and self._all_whole(found):
            holding.let_go()
        # What a choice says after its call waits with it; text of other choices does not.
        if found or any(choice in touched for choice, _ in holding.keys):
            holding.keep(raw)
            for number, piece in found:
                holding.grow((number, piece.index), piece.id, piece.name, piece.arguments)
            if self._all_whole(()):
                holding.let_go()
        else:
            holding.text(raw)

    def _choice(self, choice: Any) -> tuple[int, list[Piece]]:
        """The number of a choice, and the pieces of calls in it."""
        if not isinstance(choice, dict) or "message" in choice:
            raise Unsound("a choice is not a delta")
        number, delta = choice.get("index", 0), choice.get("delta")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Unsound("a choice has no number")
        if delta is not None and not isinstance(delta, dict):
            raise Unsound("a delta is not an object")
        said = pieces(delta) if delta else []
        if said and number in self._finished:
            raise Unsound("a tool call comes after the end of its choice")
        if choice.get("finish_reason") is not None:
            self._finished.add(number)
        return number, said

    def _all_whole(self, begun: Iterable[tuple[int, Piece]]) -> bool:
        """Whether every held call is over: its choice has finished, or begins a later call."""
        return all(
            choice in self._finished
            or (
                any(number == choice and piece.index > index for number, piece in begun)
                and not any(number == choice and piece.index == index for number, piece in begun)
            )
            for choice, index in self._holding.keys
        )
