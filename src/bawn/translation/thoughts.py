"""What providers signed or sealed of their thinking, kept for clients whose wire has no place for it.

A provider that thinks before it calls a tool wants its thoughts back with the result, unchanged. A client that cannot
carry them sends the call alone, so they are kept here by the id of that call, for the container that it was made for,
bounded in number and bytes. They are lost with the process: then the provider is asked without them.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct, structs

from bawn.terms.exchange import WireName
from bawn.translation.neutral import Conversation, Part, Role, Thinking, ToolUse, Turn

MOST_CALLS = 20_000
MOST_BYTES = 64 * 2**20
_ROW = 200
"""Bytes that a row takes beside what stands in it."""


class Kept(Struct, frozen=True):
    """What was thought before a call."""

    thoughts: tuple[Thinking, ...]
    proof: str
    """Of the call itself."""
    origin: WireName
    size: int


class KeptThoughts:
    """The last of them. Who keeps most gives way first, so that no container can take the room of another."""

    def __init__(self, most_calls: int = MOST_CALLS, most_bytes: int = MOST_BYTES) -> None:
        self._most_calls, self._most_bytes = most_calls, most_bytes
        self._kept: dict[str, OrderedDict[str, Kept]] = {}
        self._sizes: dict[str, int] = {}
        self._calls = self._bytes = 0

    def keep(self, container: str, origin: WireName, thoughts: list[Thinking], calls: list[ToolUse]) -> None:
        """Keep what stands before the calls of an answer, when any of it has a proof."""
        proven = tuple(thought for thought in thoughts if thought.proof)
        size = sum(len(each.text) + len(each.proof) for each in proven)
        for call in calls:
            if proven or call.proof:
                # All calls of an answer share its thoughts, which are counted once.
                self._put(container, call.id, Kept(proven, call.proof, origin, size + len(call.proof) + _ROW))
                size = 0

    def _put(self, container: str, call_id: str, kept: Kept) -> None:
        own = self._kept.setdefault(container, OrderedDict())
        before = own.pop(call_id, None)
        own[call_id] = kept
        if before is not None:
            self._count(container, -1, -before.size)
        self._count(container, 1, kept.size)
        while self._calls > self._most_calls or self._bytes > self._most_bytes:
            fullest = max(self._sizes, key=self._sizes.__getitem__)
            _, oldest = self._kept[fullest].popitem(last=False)
            self._count(fullest, -1, -oldest.size)

    def _count(self, container: str, calls: int, size: int) -> None:
        self._calls += calls
        self._bytes += size
        self._sizes[container] = self._sizes.get(container, 0) + size
        if not self._kept[container]:
            del self._kept[container], self._sizes[container]

    def attached(self, container: str, conversation: Conversation, target: WireName) -> Conversation:
        """The conversation with what `target` thought put back before its calls."""
        own = self._kept.get(container)
        if not own:
            return conversation
        turns = tuple(_with_thoughts(own, turn, target) for turn in conversation.turns)
        return structs.replace(conversation, turns=turns)


def _with_thoughts(own: OrderedDict[str, Kept], turn: Turn, target: WireName) -> Turn:
    if turn.role is not Role.ASSISTANT:
        return turn
    found = {
        part.id: kept
        for part in turn.parts
        if isinstance(part, ToolUse) and (kept := own.get(part.id)) is not None and kept.origin is target
    }
    if not found:
        return turn
    parts: list[Part] = []
    if not any(isinstance(part, Thinking) and part.proof for part in turn.parts):
        parts += next(iter(found.values())).thoughts
    for part in turn.parts:
        kept = found.get(part.id) if isinstance(part, ToolUse) else None
        if kept is not None and kept.proof:
            part = structs.replace(part, proof=kept.proof, origin=kept.origin)
        parts.append(part)
    return Turn(turn.role, tuple(parts))
