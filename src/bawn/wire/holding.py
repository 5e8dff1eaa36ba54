"""Stream frames that carry tool calls, kept back until the calls are whole.

A group is the calls whose frames cannot be told apart; it is let go as one. What has been let go is judged
and gone: a later piece for one of its calls is a different call than the one that was judged, so the stream
is broken. Frames of text run past a held group; whatever ends a turn first lets the group go.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from bawn.terms.frames import Broken, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall

Key = TypeVar("Key", bound=Hashable)

MAX_HELD_BYTES = 4 * 2**20


class Unsound(ValueError):
    """The stream says something about a tool call that cannot be judged; the message says what."""


class _Growing:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Holding(Generic[Key]):
    """The held group, and the frames that may go out, in order."""

    __slots__ = ("_bytes", "_gone", "_growing", "_raw", "out")

    def __init__(self) -> None:
        self._growing: dict[Key, _Growing] = {}
        self._raw: list[bytes] = []
        self._bytes = 0
        self._gone: set[Key] = set()
        self.out: list[Frame] = []

    @property
    def keys(self) -> Iterable[Key]:
        """The calls of the held group."""
        return self._growing.keys()

    @property
    def held(self) -> bool:
        return bool(self._raw)

    def text(self, raw: bytes) -> None:
        """A frame that may go out as it is; neighbours become one."""
        last = self.out[-1] if self.out else None
        if isinstance(last, TextFrame):
            self.out[-1] = TextFrame(last.data + raw)
        else:
            self.out.append(TextFrame(raw))

    def keep(self, raw: bytes) -> None:
        """Hold a frame back. Raises Unsound over the limit."""
        self._raw.append(raw)
        self._bytes += len(raw)
        if self._bytes > MAX_HELD_BYTES:
            raise Unsound(f"a tool call is over {MAX_HELD_BYTES} bytes")

    def grow(self, key: Key, call_id: str = "", name: str = "", arguments: str = "") -> None:
        """A piece of the call `key`. Raises Unsound when that call has gone already."""
        if key in self._gone:
            raise Unsound("a tool call went on after its end")
        call = self._growing.setdefault(key, _Growing())
        if call_id and call.id and call_id != call.id:
            raise Unsound("a tool call changed its id half-way")
        call.id = call.id or call_id
        call.name += name
        if arguments:
            call.arguments.append(arguments)

    def let_go(self) -> None:
        """The held group is whole."""
        if not self._raw:
            return
        calls = tuple(ToolCall(each.id, each.name, "".join(each.arguments)) for each in self._growing.values())
        if not all(call.name for call in calls):
            raise Unsound("a tool call has no name")
        self.out.append(HeldCall(calls, b"".join(self._raw)))
        self._gone.update(self._growing)
        self._growing = {}
        self._raw, self._bytes = [], 0

    def broken(self, sentence: str, data: bytes = b"") -> None:
        """Nothing that was held goes out."""
        self._growing, self._raw, self._bytes = {}, [], 0
        self.out.append(Broken(sentence, data))

    def taken(self) -> list[Frame]:
        out, self.out = self.out, []
        return out
