"""What happened, as rules are held against it and as their actions tell it."""

from __future__ import annotations

from msgspec import Struct

from bawn.rules.model import EventName


class Happening(Struct, frozen=True):
    event: EventName
    session: str
    container: str
    """Its name."""
    project: str
    tags: frozenset[str] = frozenset()
    key: str = ""
    """What it is about within the session: the id of a call, the digest of a message. A retry of the client has the same."""
    text: str = ""
    """What `contentMatch` is looked for in: the message, the tool's input or output, the system text, the error."""
    tool: str = ""
    """Empty for the result of a call that nobody knows."""
    role: str = ""
    title: str = ""
    directory: str = ""
    tool_input: str = ""
    tool_output: str = ""
    error: str = ""
    operator_tags: frozenset[str] = frozenset()
    """Those of `tags` that nobody inside a container can claim."""
    container_role: str = ""

    @property
    def size(self) -> int:
        """Characters of what may be long."""
        return len(self.text) + len(self.tool_input) + len(self.tool_output)
