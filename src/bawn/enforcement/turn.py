"""Where a call stands in its conversation, as the agent sent it: before anything was put in."""

from __future__ import annotations

from collections.abc import Sequence

from bawn.enforcement import keys
from bawn.enforcement.conversations import Conversation
from bawn.enforcement.standing import Standing
from bawn.stages.asked import Asked
from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Message


class Turn:
    __slots__ = ("_messages", "asked", "at", "base", "conversation", "standing")

    def __init__(self, asked: Asked, messages: Sequence[Message], standing: Standing | None = None) -> None:
        """`standing`: of conversations of which an agent reports by itself."""
        self._messages = messages
        self.asked = asked
        self.standing = standing
        self.conversation: Conversation | None = None
        """Found when something may fire: mostly nothing does."""
        self.base = base(asked)
        """By which the places of its messages are told from those of others; see `keys`."""
        self.at = keys.place(len(messages), self.base)
        """How many messages the agent sent: by this the answer and its calls are told from those before."""

    def call(self, proposed: ToolCall) -> str:
        """The key of a call that the model proposes now."""
        return keys.call(self.at, proposed)

    @property
    def last(self) -> str:
        """The key of the last message or result; empty where there is none."""
        return keys.last(self._messages, self.base)

    @property
    def last_user(self) -> str:
        """The key of the last message of the user; empty where there is none."""
        return keys.last_user(self._messages, self.base)


def base(asked: Asked) -> str:
    """Of the places in this request. Of a conversation that the provider keeps it is not known how far it has come, so that
    each request stands for itself."""
    came = asked.came
    return keys.base(came.after or (came.within and f"{came.within} {asked.call}"))


class ReportTurn(Turn):
    """A report has no messages of its own: it stands where the last request did."""

    __slots__ = ("known",)

    def __init__(self, asked: Asked, standing: Standing) -> None:
        super().__init__(asked, (), standing)
        self.known = standing
        self.at = standing.at

    def call(self, proposed: ToolCall) -> str:
        return self.known.call(proposed)

    @property
    def last(self) -> str:
        return self.known.last

    @property
    def last_user(self) -> str:
        return self.known.last_user
