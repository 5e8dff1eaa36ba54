"""A streamed chat completion: every frame is parsed, frames of tool calls are held until whole.

Every frame, because a key written with JSON escapes (`to\\u006fl_calls`) has no literal form to search for.
A call is whole when the next one of its choice begins, when its choice ends, or at `[DONE]`.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.exchange import Usage
from bawn.terms.frames import End, Frame
from bawn.wire.holding import Holding, Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.sse import SseFrame, SseSplitter, TooLong
from bawn.wire.usage import openai_usage


class ChatStreamReader:
    __slots__ = ("_ended", "_finished", "_hide_usage", "_holding", "_splitter", "_started", "model", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        self._splitter = SseSplitter()
        self._holding = Holding()
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
        self._ended = True
        if self._splitter.rest.strip() or not self._started or self._started != self._finished:
            self._holding.broken("The provider's stream ended before its answer was whole.")
        else:
            # Some servers of this wire leave `[DONE]` out; every choice has said that it is finished.
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
        pieces: list[tuple[tuple[int, int], dict[str, Any]]] = []
        finishes = False
        for choice in choices:
            if not isinstance(choice, dict) or "message" in choice:
                raise Unsound("a choice is not a delta")
            number = choice.get("index", 0)
            if not isinstance(number, int):
                raise Unsound("a choice has no number")
            self._started.add(number)
            pieces += _pieces(number, choice.get("delta"))
            if choice.get("finish_reason") is not None:
                self._finished.add(number)
                finishes = True
        holding = self._holding
        if pieces:
            keys = {key for key, _ in pieces}
            if self._begins_next(keys):
                holding.let_go()
            holding.keep(raw)
            for key, piece in pieces:
                holding.grow(key, **piece)
        if finishes:
            holding.let_go()
        if not pieces:
            holding.text(raw)

    def _begins_next(self, keys: set[tuple[int, int]]) -> bool:
        """Whether all held calls are of these choices, and before these calls."""
        held = [key for key in self._holding.keys if isinstance(key, tuple)]
        return bool(held) and all(
            any(choice == new_choice and index < new_index for new_choice, new_index in keys) for choice, index in held
        )

    def _break(self, sentence: str, data: bytes = b"") -> None:
        self._ended = True
        self._holding.broken(sentence, data)


def _pieces(choice: int, delta: Any) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    if delta is None:
        return []
    if not isinstance(delta, dict):
        raise Unsound("a delta is not an object")
    calls, legacy = delta.get("tool_calls"), delta.get("function_call")
    if calls is None and legacy is None:
        return []
    found: list[tuple[tuple[int, int], dict[str, Any]]] = []
    if calls is not None and not isinstance(calls, list):
        raise Unsound("tool calls are not a list")
    for position, call in enumerate(calls or ()):
        if not isinstance(call, dict):
            raise Unsound("a tool call is not an object")
        index = call.get("index", position)
        described = call.get("function") or call.get("custom") or {}
        if not isinstance(index, int) or not isinstance(described, dict):
            raise Unsound("a tool call is not of this wire")
        arguments = described.get("arguments", described.get("input"))
        found.append(((choice, index), _piece(call.get("id"), described.get("name"), arguments)))
    if legacy is not None:
        if not isinstance(legacy, dict):
            raise Unsound("a function call is not an object")
        found.append(((choice, -1), _piece(None, legacy.get("name"), legacy.get("arguments"))))
    return found


def _piece(call_id: Any, name: Any, arguments: Any) -> dict[str, str]:
    for value in (call_id, name, arguments):
        if value is not None and not isinstance(value, str):
            raise Unsound("a tool call holds something that is not a text")
    return {"call_id": call_id or "", "name": name or "", "arguments": arguments or ""}
