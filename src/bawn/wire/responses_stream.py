"""A streamed response: every event is parsed, items that are calls are held until they are done.

The same call is told several times over: in pieces, whole when its arguments are done, whole when its item is done,
and once more in the response that closes the stream. A client may act on any of these, so all of them have to say the
same; a call that only the last one tells was never judged, and breaks the stream.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.frames import End
from bawn.wire.holding import Unsound
from bawn.wire.json_text import read_plain
from bawn.wire.responses_calls import call_of, is_call, is_free, told_as_text
from bawn.wire.sse import SseFrame
from bawn.wire.stream_reading import StreamReading
from bawn.wire.usage import responses_usage

_OPENING = ("response.created", "response.in_progress", "response.queued")
_CLOSING = ("response.completed", "response.incomplete")
_BROKEN = ("response.failed", "error")
_ALIVE = ("keepalive", "ping")
_ALIVE_FIELDS = frozenset(("type", "sequence_number"))
_PIECES = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_WHOLE = {"response.function_call_arguments.done": "arguments", "response.custom_tool_call_input.done": "input"}

_Call = tuple[str, str, str]


class ResponseStreamReader(StreamReading[int]):
    __slots__ = ("_begun", "_calling", "_calls", "_judged", "_open", "_pieces")

    def __init__(self) -> None:
        super().__init__()
        self._begun: set[int] = set()
        """Numbers that have been used: one that came again would be a second call in the name of the first."""
        self._open: dict[int, bool] = {}
        """Items that were added and are not done; true for calls."""
        self._calling = 0
        """How many of these are calls."""
        self._calls: dict[int, tuple[str, str]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._judged: set[_Call] = set()

    def _frame(self, frame: SseFrame) -> None:
        if frame.data is None:
            self._holding.alive(frame.raw)
            return
        if frame.data.strip() == b"[DONE]":
            # Not of this wire, though some servers send it; what ends it is the event that closes the response.
            return
        event = read_plain(frame.data)
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            raise Unsound("an event has no type")
        if frame.event and frame.event.decode("utf-8", "replace") != kind:
            raise Unsound("an event has two types")
        if kind in _ALIVE and _ALIVE_FIELDS.issuperset(event):
            self._holding.alive(frame.raw)
        elif kind in _BROKEN:
            self._break("The provider ended its stream with an error.", frame.raw)
        elif kind in _OPENING:
            self._response(event, opening=True)
            self._holding.text(frame.raw)
        elif kind in _CLOSING:
            self._close(event, frame.raw)
        elif kind == "response.output_item.added":
            self._added(event, frame.raw)
        elif kind == "response.output_item.done":
            self._done(event, frame.raw)
        elif "response" in event or "item" in event:
            raise Unsound("an event brings a response or an item under a type that is not known")
        else:
            self._part(kind, event, frame.raw)

    def _response(self, event: dict[str, Any], *, opening: bool) -> dict[str, Any]:
        response = event.get("response")
        if not isinstance(response, dict):
            raise Unsound("an event has no response")
        if opening and response.get("output"):
            raise Unsound("a response does not start empty")
        if isinstance(response.get("model"), str):
            self.model = response["model"]
        if isinstance(response.get("id"), str):
            self.made = response["id"]
        return response

    def _added(self, event: dict[str, Any], raw: bytes) -> None:
        index, item = _index(event), _item(event)
        if index in self._begun:
            raise Unsound("an item starts twice")
        self._begun.add(index)
        self._open[index] = is_call(item)
        if not self._open[index]:
            self._holding.text(raw)
            return
        call_id, name, arguments = call_of(item)
        self._calling += 1
        self._calls[index] = call_id, name
        self._pieces[index] = []
        self._holding.keep(raw)
        self._holding.grow(index, call_id, name, free=is_free(item))
        if arguments and told_as_text(item):
            # Clients put what follows behind it. What is told as an object only is there when its item is done.
            self._pieces[index] = [arguments]
            self._holding.grow(index, arguments=arguments)

    def _part(self, kind: str, event: dict[str, Any], raw: bytes) -> None:
        index = event.get("output_index")
        if index is None and kind.startswith("response."):
            self._holding.text(raw)
            return
        index = _index(event)
        if index not in self._open:
            raise Unsound("a piece belongs to no open item")
        if not self._open[index]:
            if kind in _PIECES or kind in _WHOLE:
                raise Unsound("an item that is no call takes arguments")
            self._holding.text(raw)
            return
        self._holding.keep(raw)
        if kind in _PIECES:
            piece = event.get("delta")
            if not isinstance(piece, str):
                raise Unsound("a piece of a tool call is not a text")
            self._pieces[index].append(piece)
            self._holding.grow(index, arguments=piece)
        elif kind in _WHOLE:
            self._agree(index, event.get(_WHOLE[kind]))

    def _done(self, event: dict[str, Any], raw: bytes) -> None:
        index, item = _index(event), _item(event)
        calls = is_call(item)
        if self._open.pop(index, None) is not calls:
            raise Unsound("an item is done that did not start as what it is")
        if not calls:
            self._holding.text(raw)
            return
        call = call_of(item)
        if self._calls.pop(index) != call[:2]:
            raise Unsound("a tool call changed its id or its name half-way")
        self._holding.keep(raw)
        self._agree(index, call[2])
        del self._pieces[index]
        self._judged.add(call)
        self._calling -= 1
        if not self._calling:
            self._holding.let_go()

    def _agree(self, index: int, said: object) -> None:
        """What is told whole is what was told in pieces, or the first that is told."""
        if not isinstance(said, str):
            raise Unsound("the arguments of a tool call are not a text")
        pieces = self._pieces[index]
        if not pieces:
            self._pieces[index] = [said]
            self._holding.grow(index, arguments=said)
        elif "".join(pieces) != said:
            raise Unsound("a tool call is told in two ways")

    def _close(self, event: dict[str, Any], raw: bytes) -> None:
        if self._calling:
            raise Unsound("the response ends within a tool call")
        response = self._response(event, opening=False)
        self.usage = responses_usage(response.get("usage"))
        told = [call_of(item) for item in items_of(response) if is_call(item)]
        if any(call not in self._judged for call in told):
            raise Unsound("the response tells a call that its stream did not")
        self._holding.put(End(raw))
        self._ended = True


def items_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a response. Raises Unsound."""
    output = response.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise Unsound("a response has no list of items")
    return output


def _index(event: dict[str, Any]) -> int:
    index = event.get("output_index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise Unsound("an item has no number")
    return index


def _item(event: dict[str, Any]) -> dict[str, Any]:
    item = event.get("item")
    if not isinstance(item, dict):
        raise Unsound("an event has no item")
    return item
