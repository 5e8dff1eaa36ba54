"""A streamed chat completion: every frame is parsed, frames of tool calls are held until whole.

Every frame, because a key written with JSON escapes (`to\\u006fl_calls`) has no literal form to search for.
A call is whole when the next one of its choice begins, when its choice ends, or at `[DONE]`. Calls of several
choices that come mixed are one group, which waits for the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bawn.terms.exchange import Usage
from bawn.terms.frames import End, Frame
from bawn.wire.holding import Holding, Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.openai_calls import Piece, pieces
from bawn.wire.sse import SseFrame, SseSplitter, TooLong
from bawn.wire.usage import openai_usage


class ChatStreamReader:
    __slots__ = ("_ended", "_finished", "_hide_usage", "_holding", "_splitter", "_started", "model", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        self._splitter = SseSplitter()
        self._holding: Holding[tuple[int, int]] = Holding()
        self._hide_usage = hide_usage
        self._ended = False
        self._started: set[int] = set()
        self._finished: set[int] = set()
        self.usage: Usage | None = None
        self.model = ""

    def feed(self, data: bytes) -> list[Frame]:
        if self._ended:
            return []
        try:
            for frame in self._splitter.feed(data):
                self._frame(frame)
                if self._ended:
                    break
        except TooLong:
            self._break("A frame of the provider's stream is too long.")
        except NotPlain as error:
            self._break(f"A frame of the provider's stream is not plain JSON: {error}.")
        except Unsound as error:
            self._break(f"The provider's stream is unsound: {error}.")
        return self._holding.taken()

    def close(self) -> list[Frame]:
        if self._ended:
            return []
        rest = self._splitter.rest
        if rest.strip():
            # The last frame may lack its blank line; packages of this wire take it all the same.
            out = self.feed(b"\n\n")
            return out + self.close() if rest.strip() == b"data: [DONE]" else [*out, *self._unwhole()]
        self._ended = True
        if not self._started or self._started != self._finished:
            self._holding.broken(_CUT)
        else:
            # Some servers of this wire leave `[DONE]` out; every choice has said that it is finished.
            self._holding.let_go()
            self._holding.out.append(End(b""))
        return self._holding.taken()

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
        if chunk.get("error") is not None:
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
            if not isinstance(choice, dict) or "message" in choice:
                raise Unsound("a choice is not a delta")
            number = choice.get("index", 0)
            if not isinstance(number, int) or isinstance(number, bool):
                raise Unsound("a choice has no number")
            delta = choice.get("delta")
            if delta is not None:
                if not isinstance(delta, dict):
                    raise Unsound("a delta is not an object")
                found += [(number, piece) for piece in pieces(delta)]
            touched.add(number)
            if choice.get("finish_reason") is not None:
                self._finished.add(number)
        self._started |= touched
        holding = self._holding
        if not found and not holding.held:
            holding.text(raw)
            return
        if found and self._all_whole(found):
            holding.let_go()
        # What a choice says after its call waits with it; text of other choices does not.
        if found or any(choice in touched for choice, _ in holding.keys) or touched & self._finished:
            holding.keep(raw)
            for number, piece in found:
                holding.grow((number, piece.index), piece.id, piece.name, piece.arguments)
            if self._all_whole(()):
                holding.let_go()
        else:
            holding.text(raw)

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

    def _break(self, sentence: str, data: bytes = b"") -> None:
        self._ended = True
        self._holding.broken(sentence, data)
