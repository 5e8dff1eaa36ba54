"""Which tool calls were released to containers whose agents report them again before they make them.

Such a report is no new question: what was decided when the call went out holds, and nobody is asked twice. It holds for
these very arguments; a call under the same id with others is a call that nobody decided on.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict

from bawn.terms.toolcall import ToolCall
from bawn.wire.json_text import NotPlain, read_plain

_MOST = 20_000


class Released:
    def __init__(self) -> None:
        self._reporting: set[str] = set()
        self._digests: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def watch(self, container: str) -> None:
        """Something in this container reports: from now on its calls are remembered."""
        self._reporting.add(container)

    def watches(self, container: str) -> bool:
        return container in self._reporting

    def add(self, container: str, session: str, call: ToolCall) -> None:
        """It goes out as it stands here."""
        self._digests[container, session, call.id] = _digest(call)
        self._digests.move_to_end((container, session, call.id))
        if len(self._digests) > _MOST:
            self._digests.popitem(last=False)

    def has(self, container: str, session: str, call: ToolCall) -> bool:
        """Whether this call went out, with these arguments."""
        found = self._digests.get((container, session, call.id))
        return found is not None and bool(call.id) and found == _digest(call)

    def forget(self, container: str) -> None:
        """A container is no more."""
        self._reporting.discard(container)
        for each in [each for each in self._digests if each[0] == container]:
            del self._digests[each]


def _digest(call: ToolCall) -> bytes:
    """Of what a call says, however its arguments are written down."""
    arguments = call.arguments_raw
    if not call.free:
        try:
            read = read_plain(arguments.encode("utf-8", "surrogatepass") or b"{}")
            arguments = json.dumps(read, sort_keys=True)
        except (NotPlain, ValueError):
            pass
    return hashlib.sha256(f"{call.name}\0{arguments}".encode("utf-8", "surrogatepass")).digest()
