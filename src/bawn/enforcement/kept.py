"""The calls of answers that the provider keeps, by which their results are known again.

An agent that goes on with such an answer sends the result alone, so that its request does not tell which tool it is of. Kept
in memory alone, and not without end; what is forgotten is not known, and rules that refuse take it for theirs.
"""

from __future__ import annotations

from collections import OrderedDict

from bawn.terms.toolcall import ToolCall

_MOST = 2**20
"""Characters of one container; the calls that came first are forgotten first."""
_BESIDE = 200
"""Characters that a call counts for beside what it says."""


class KeptCalls:
    def __init__(self) -> None:
        self._of: dict[str, OrderedDict[tuple[str, str], ToolCall]] = {}
        self._sizes: dict[str, int] = {}

    def add(self, container: str, session: str, call: ToolCall) -> None:
        """The model proposes it."""
        calls = self._of.setdefault(container, OrderedDict())
        size = self._sizes.get(container, 0)
        name = (session, call.id)
        if (before := calls.pop(name, None)) is not None:
            size -= _size(session, before)
        calls[name] = call
        size += _size(session, call)
        while size > _MOST:
            (gone, _), oldest = calls.popitem(last=False)
            size -= _size(gone, oldest)
        self._sizes[container] = size

    def get(self, container: str, session: str, call_id: str) -> ToolCall | None:
        calls = self._of.get(container)
        return calls.get((session, call_id)) if calls else None

    def forget(self, container: str) -> None:
        """A container is no more."""
        self._of.pop(container, None)
        self._sizes.pop(container, None)


def _size(session: str, call: ToolCall) -> int:
    return len(session) + len(call.id) + len(call.name) + len(call.arguments_raw) + _BESIDE
