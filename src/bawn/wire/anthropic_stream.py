"""A streamed message: every event is parsed, content blocks that are tool calls are held until they stop.

Events this version does not know are left out: they are not passed on as fine, and they are no reason to end
an answer, since clients of this wire ignore them as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bawn.terms.frames import End
from bawn.wire.anthropic_calls import is_tool_call, tool_name
from bawn.wire.holding import Unsound
from bawn.wire.json_text import read_plain, written
from bawn.wire.sse import SseFrame
from bawn.wire.stream_reading import StreamReading
from bawn.wire.usage import anthropic_usage


class MessageStreamReader(StreamReading[int]):
    __slots__ = ("_begun", "_calling", "_handlers", "_open", "_whole_inputs")

    def __init__(self) -> None:
        super().__init__()
        self._begun: set[int] = set()
        """Numbers that have been used: one that came again would be a second call in the name of the first."""
        self._open: dict[int, bool] = {}
        """Content blocks that have started and not stopped; true for tool calls."""
        self._calling = 0
        """How many of these are tool calls."""
        self._whole_inputs: dict[int, str] = {}
        """Inputs that came with the start of their block; they hold when no pieces follow."""
        self._handlers: dict[str, Callable[[dict[str, Any], bytes], None]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "ping": self._ping,
            "error": self._error,
        }

    def _frame(self, frame: SseFrame) -> None:
        if frame.data is None:
            self._holding.alive(frame.raw)
            return
        event = read_plain(frame.data)
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise Unsound("an event has no type")
        if frame.event and frame.event.decode("utf-8", "replace") != event["type"]:
            raise Unsound("an event has two types")
        handle = self._handlers.get(event["type"])
        if handle is not None:
            handle(event, frame.raw)

    def _message_start(self, event: dict[str, Any], raw: bytes) -> None:
        message = event.get("message")
        if not isinstance(message, dict) or message.get("content"):
            raise Unsound("a message does not start empty")
        if isinstance(message.get("model"), str):
            self.model = message["model"]
        self.usage = anthropic_usage(message.get("usage"))
        self._holding.text(raw)

    def _block_start(self, event: dict[str, Any], raw: bytes) -> None:
        index, block = _index(event), event.get("content_block")
        if not isinstance(block, dict) or not isinstance(block.get("type"), str) or index in self._begun:
            raise Unsound("a block does not start as it must")
        self._begun.add(index)
        is_call = is_tool_call(block)
        self._open[index] = is_call
        if not is_call:
            self._holding.text(raw)
            return
        name, call_id = tool_name(block), block.get("id")
        if not isinstance(call_id, str):
            raise Unsound("a tool call has no id")
        self._calling += 1
        self._whole_inputs[index] = written(block.get("input", {}))
        self._holding.keep(raw)
        self._holding.grow(index, call_id, name)

    def _block_delta(self, event: dict[str, Any], raw: bytes) -> None:
        index, delta = _index(event), event.get("delta")
        if not isinstance(delta, dict) or index not in self._open:
            raise Unsound("a piece belongs to no open block")
        if not self._open[index]:
            if delta.get("type") == "input_json_delta":
                raise Unsound("a block that is no tool call takes an input")
            self._holding.text(raw)
            return
        self._holding.keep(raw)
        piece = delta.get("partial_json", "")
        if not isinstance(piece, str):
            raise Unsound("a piece of a tool call is not a text")
        if piece:
            self._whole_inputs.pop(index, None)
        self._holding.grow(index, arguments=piece)

    def _block_stop(self, event: dict[str, Any], raw: bytes) -> None:
        index = _index(event)
        if index not in self._open:
            raise Unsound("a block stops that is not open")
        if not self._open.pop(index):
            self._holding.text(raw)
            return
        self._holding.keep(raw)
        self._holding.grow(index, arguments=self._whole_inputs.pop(index, ""))
        self._calling -= 1
        if not self._calling:
            self._holding.let_go()

    def _message_delta(self, event: dict[str, Any], raw: bytes) -> None:
        self._nothing_open()
        self.usage = anthropic_usage(event.get("usage"), self.usage)
        self._holding.text(raw)

    def _message_stop(self, event: dict[str, Any], raw: bytes) -> None:
        self._nothing_open()
        self._holding.put(End(raw))
        self._ended = True

    def _ping(self, event: dict[str, Any], raw: bytes) -> None:
        self._holding.alive(raw)

    def _error(self, event: dict[str, Any], raw: bytes) -> None:
        self._break("The provider ended its stream with an error.", raw)

    def _nothing_open(self) -> None:
        if self._calling:
            raise Unsound("the message ends within a tool call")


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise Unsound("a block has no number")
    return index
