"""Where a call stands in its conversation, as the agent sent it: before anything was put in."""

from __future__ import annotations

from collections.abc import Sequence

from bawn.enforcement import keys
from bawn.enforcement.conversations import Conversation
from bawn.stages.asked import Asked
from bawn.wire.document import Message


class Turn:
    __slots__ = ("_messages", "asked", "at", "conversation")

    def __init__(self, asked: Asked, messages: Sequence[Message]) -> None:
        self._messages = messages
        self.asked = asked
        self.conversation: Conversation | None = None
        """Found when something may fire: mostly nothing does."""
        self.at = len(messages)
        """How many messages the agent sent: by this the answer and its calls are told from those before."""

    @property
    def last(self) -> str:
        """The key of the last message or result; empty where there is none."""
        return keys.last(self._messages)

    @property
    def last_user(self) -> str:
        """The key of the last message of the user; empty where there is none."""
        return keys.last_user(self._messages)
