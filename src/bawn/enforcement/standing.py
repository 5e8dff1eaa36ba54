"""Where the conversations of agents stand that report by hooks of their own.

A report names a call by its id and knows nothing of places among the messages. So, for containers that have reported at
least once, it is kept how far each conversation has come and which calls were proposed where: by this a report gets the
key that the same thing has on the wire, and fires nothing a second time. Kept in memory alone; a call that a restart
forgot has a key without a place, which is compared by the id and what it says.
"""

from __future__ import annotations

from collections import OrderedDict

from bawn.adapters.renaming import as_told
from bawn.enforcement import keys
from bawn.terms.toolcall import ToolCall

MOST = 1000
"""Conversations of one container; the ones that rest longest are forgotten first."""
_MOST_CALLS = 2000
"""Of one conversation."""


class Standing:
    """Of one conversation."""

    __slots__ = ("_calls", "at", "directory", "failed", "last", "last_user", "title")

    def __init__(self) -> None:
        self.at = "0"
        """How many messages the last request had."""
        self.last = ""
        """The key of its last message or result."""
        self.last_user = ""
        self.failed = ""
        """The key of the error that the last request ended in; empty when it ended well or was told of already."""
        self.title = ""
        """As the agent tells it, as the next one."""
        self.directory = ""
        self._calls: OrderedDict[str, tuple[str, str, str]] = OrderedDict()
        """Where each was proposed, its key, and the one that it would have in the words of the agent's hooks."""

    def proposed(self, call: ToolCall, at: str) -> None:
        """The model proposes a call in its answer to `at` messages."""
        self._calls[call.id] = (at, keys.call(at, call), keys.call(at, as_told(call)))
        self._calls.move_to_end(call.id)
        if len(self._calls) > _MOST_CALLS:
            self._calls.popitem(last=False)

    def place(self, call_id: str) -> str:
        """Where a call was proposed, as it stands in keys."""
        found = self._calls.get(call_id)
        return keys.UNKNOWN if found is None else found[0]

    def call(self, reported: ToolCall) -> str:
        """The key of a call that is reported: the one that it has on the wire where it says the same as there."""
        found = self._calls.get(reported.id)
        if found is None:
            return keys.call(keys.UNKNOWN, reported)
        key = keys.call(found[0], reported)
        return found[1] if key == found[2] else key


class Standings:
    def __init__(self) -> None:
        self._known: dict[str, OrderedDict[str, Standing]] = {}
        """By container, of those that have reported."""

    def report(self, container: str, session: str) -> Standing:
        """Something reports: from now on it is kept where the conversations of this container stand."""
        return _of(self._known.setdefault(container, OrderedDict()), session)

    def of(self, container: str, session: str) -> Standing | None:
        """None where nothing in the container has reported yet."""
        known = self._known.get(container)
        return _of(known, session) if known is not None else None

    @property
    def any(self) -> bool:
        """Whether anything has reported yet."""
        return bool(self._known)

    def forget(self, container: str) -> None:
        """A container is no more."""
        self._known.pop(container, None)


def _of(known: OrderedDict[str, Standing], session: str) -> Standing:
    found = known.get(session)
    if found is None:
        found = known[session] = Standing()
    known.move_to_end(session)
    if len(known) > MOST:
        known.popitem(last=False)
    return found
