"""Which tool calls were released to containers whose agents report them again before they make them.

Such a report is no new question: what was decided when the call went out holds, and nobody is asked twice. It holds once,
for these very arguments, and only while nothing else has been laid down since; any other report is judged by itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from bawn.adapters.renaming import as_told
from bawn.enforcement.keys import meaning
from bawn.terms.toolcall import ToolCall
from bawn.terms.value import Value

_MOST = 2000
"""Calls of one container that have not been reported."""


class _Released(Value, frozen=True):
    digests: tuple[bytes, bytes]
    """Of the call as the model wrote it, and as its agent's hooks tell it."""
    policy: str


class Released:
    def __init__(self, policy: Callable[[], str] = lambda: "") -> None:
        """`policy`: the version of what holds now."""
        self._policy = policy
        self._of: dict[str, OrderedDict[bytes, _Released]] = {}

    def watch(self, container: str) -> None:
        """Something in this container reports: from now on its calls are remembered."""
        self._of.setdefault(container, OrderedDict())

    def watches(self, container: str) -> bool:
        return container in self._of

    def add(self, container: str, session: str, call: ToolCall) -> None:
        """It goes out as it stands here."""
        calls = self._of[container]
        name = _name(session, call)
        calls[name] = _Released((_digest(call), _digest(as_told(call))), self._policy())
        calls.move_to_end(name)
        if len(calls) > _MOST:
            calls.popitem(last=False)

    def use(self, container: str, session: str, call: ToolCall) -> bool:
        """Whether this call went out, with these arguments, and was not reported yet."""
        calls, name = self._of.get(container), _name(session, call)
        found = calls.get(name) if calls and call.id else None
        if calls is None or found is None or _digest(call) not in found.digests:
            return False
        del calls[name]
        return found.policy == self._policy()

    def forget(self, container: str) -> None:
        """A container is no more."""
        self._of.pop(container, None)


def _name(session: str, call: ToolCall) -> bytes:
    # Of one length, whatever an agent calls its sessions and a model its calls.
    return hashlib.blake2b(f"{session}\0{call.id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _digest(call: ToolCall) -> bytes:
    return hashlib.sha256(meaning(call).encode("utf-8", "surrogatepass")).digest()
