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


class Kept(Struct, frozen=True):
    """What was thought before a call."""

    thoughts: tuple[Thinking, ...]
    proof: str
    """Of the call itself."""
    origin: WireName

    @property
    def size(self) -> int:
        return sum(len(each.text) + len(each.proof) for each in self.thoughts) + len(self.proof) + 200


class KeptThoughts:
    """The last of them, over all containers; the oldest go first."""

    def __init__(self, most_calls: int = MOST_CALLS, most_bytes: int = MOST_BYTES) -> None:
        self._most_calls, self._most_bytes = most_calls, most_bytes
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, container: str, origin: WireName, thoughts: list[Thinking], calls: list[ToolUse]) -> None:
        """Keep what stands before the calls of an answer, when any of it has a proof."""
        proven = tuple(thought for thought in thoughts if thought.proof)
        for call in calls:
            if proven or call.proof:
                self._put((container, call.id), Kept(proven, call.proof, origin))

    def _put(self, key: tuple[str, str], kept: Kept) -> None:
        before = self._kept.pop(key, None)
        self._bytes += kept.size - (before.size if before is not None else 0)
        self._kept[key] = kept
        while len(self._kept) > self._most_calls or self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size

    def attached(self, container: str, conversation: Conversation, target: WireName) -> Conversation:
        """The conversation with what `target` thought put back before its calls."""
        if not self._kept:
            return conversation
        turns = tuple(self._turn(container, turn, target) for turn in conversation.turns)
        return structs.replace(conversation, turns=turns)

    def _turn(self, container: str, turn: Turn, target: WireName) -> Turn:
        if turn.role is not Role.ASSISTANT:
            return turn
        found = {
            part.id: kept
            for part in turn.parts
            if isinstance(part, ToolUse)
            and (kept := self._kept.get((container, part.id))) is not None
            and kept.origin is target
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
