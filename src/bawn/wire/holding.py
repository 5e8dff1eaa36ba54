"""Stream frames that carry tool calls, kept back until the calls are whole.

A group is the calls whose frames cannot be told apart; it is let go as one. What has been let go is judged
and gone: a later piece for one of its calls is a different call than the one that was judged, so the stream
is broken. Clients place what an answer consists of by its order, so whatever comes behind the first frame of a
group waits with it; only what keeps a connection alive runs past.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from bawn.terms.frames import Broken, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall

Key = TypeVar("Key", bound=Hashable)

MAX_HELD_BYTES = 16 * 2**20
"""Of the calls of a group: ids, names and arguments."""
MAX_WAITING_BYTES = 4 * MAX_HELD_BYTES
"""Of the frames of a group. What models write comes in pieces of a few letters in frames of some hundred bytes, and one
wire tells a call four times over."""


class Unsound(ValueError):
    """The stream says something about a tool call that cannot be judged; the message says what."""


class _Growing:
    __slots__ = ("arguments", "free", "id", "name")

    def __init__(self) -> None:
        self.free: bool | None = None
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Holding(Generic[Key]):
    """The held group, and the frames that may go out, in order."""

    __slots__ = ("_gone", "_growing", "_held", "_out", "_raw", "_text", "_waiting")

    def __init__(self) -> None:
        self._growing: dict[Key, _Growing] = {}
        self._raw: list[bytes] = []
        self._waiting = 0
        self._held = 0
        self._gone: set[Key] = set()
        self._out: list[Frame] = []
        self._text: list[bytes] = []
        """Frames behind all others that may go out, which become one."""

    @property
    def held(self) -> bool:
        return bool(self._raw)

    def text(self, raw: bytes) -> None:
        """A frame without calls: it goes out as it is, or waits with the held group. Raises Unsound over the limit."""
        if self._raw:
            self.keep(raw)
        else:
            self._text.append(raw)

    def alive(self, raw: bytes) -> None:
        """A frame that says nothing and keeps the connection alive: it never waits."""
        self._text.append(raw)

    def put(self, frame: Frame) -> None:
        """Something else that goes out, behind what is there."""
        if self._text:
            self._out.append(TextFrame(b"".join(self._text)))
            self._text = []
        self._out.append(frame)

    def keep(self, raw: bytes) -> None:
        """Hold a frame back. Raises Unsound over the limit."""
        self._raw.append(raw)
        self._waiting += len(raw)
        if self._waiting > MAX_WAITING_BYTES:
            raise Unsound(f"what waits for a tool call is over {MAX_WAITING_BYTES // 2**20} MiB")

    def grow(
        self, key: Key, call_id: str = "", name: str = "", arguments: str = "", *, free: bool | None = None
    ) -> None:
        """A piece of the call `key`; `free` is whether it takes a text, where the piece tells.

        Raises Unsound when that call has gone already, or becomes another one.
        """
        if key in self._gone:
            raise Unsound("a tool call went on after its end")
        call = self._growing.setdefault(key, _Growing())
        if call_id and call.id and call_id != call.id:
            raise Unsound("a tool call changed its id half-way")
        if free is not None:
            if call.free is not None and call.free != free:
                raise Unsound("a tool call changed its kind half-way")
            call.free = free
        call.id = call.id or call_id
        call.name += name
        if arguments:
            call.arguments.append(arguments)
        self._held += len(call_id) + len(name) + len(arguments)
        if self._held > MAX_HELD_BYTES:
            raise Unsound(f"a tool call is over {MAX_HELD_BYTES // 2**20} MiB")

    def let_go(self) -> None:
        """The held group is whole."""
        if not self._raw:
            return
        calls = tuple(
            ToolCall(each.id, each.name, "".join(each.arguments), free=each.free or False)
            for each in self._growing.values()
        )
        if not all(call.name for call in calls):
            raise Unsound("a tool call has no name")
        self.put(HeldCall(calls, b"".join(self._raw)))
        self._gone.update(self._growing)
        self._drop()

    def broken(self, sentence: str, data: bytes = b"") -> None:
        """Nothing that was held goes out."""
        self._drop()
        self.put(Broken(sentence, data))

    def taken(self) -> list[Frame]:
        if self._text:
            self._out.append(TextFrame(b"".join(self._text)))
            self._text = []
        out, self._out = self._out, []
        return out

    def _drop(self) -> None:
        self._growing, self._raw = {}, []
        self._waiting = self._held = 0
