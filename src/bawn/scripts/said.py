"""What a model has said, the same for every wire: tool calls, and an answer as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bawn.scripts.answer import Answered
from bawn.scripts.talk import Words
from bawn.terms.exchange import Usage
from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Spot
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Spoken


class Call:
    """A tool call, of a model that proposes it or in the history. What a script sets here goes out in its place."""

    def __init__(self, call: ToolCall) -> None:
        self.id = call.id
        self.name = call.name
        self.text = call.arguments_raw
        """The arguments as the model wrote them."""
        self.arguments: Any = _arguments(call)
        """As Python values; the text itself for a tool that takes a text, None where they cannot be read."""
        self._before = call
        self._instead: Outcome | None = None

    def say(self, text: str) -> None:
        """The call does not go out; the assistant says this in its place."""
        self._instead = Spoken(text)

    def drop(self) -> None:
        """The call does not go out."""
        self._instead = Dropped()

    @property
    def outcome(self) -> Outcome:
        before = self._before
        if self._instead is not None:
            return self._instead
        same = self.arguments == _arguments(before)
        if same and self.name == before.name:
            return Kept()
        if same:
            return Changed(self.name, before.arguments_raw)
        text = self.arguments if isinstance(self.arguments, str) else msgspec.json.encode(self.arguments).decode()
        return Changed(self.name, text)


def _arguments(call: ToolCall) -> Any:
    if call.free:
        return call.arguments_raw
    try:
        return msgspec.json.decode(call.arguments_raw or "{}")
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, in the history that the agent sends."""

    spot: Spot
    """To be given to `req.set_text`."""
    call: Call

    @property
    def text(self) -> str:
        return self.spot.text


class Said(Answered):
    """What a model has answered, the same for every wire."""

    __slots__ = ("_words", "status")

    def __init__(self, status: int, words: Words) -> None:
        self.status = status
        self._words = words

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def text(self) -> str:
        return self._words.text

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tool calls, as they went out."""
        return tuple(Call(call) for call in self._words.calls)

    @property
    def finished(self) -> str:
        """`stop`, `length`, `calls`, `filter` or `other`."""
        return self._words.finished

    @property
    def model(self) -> str:
        """As the provider names it."""
        return self._words.model

    @property
    def usage(self) -> Usage | None:
        """None where the answer does not tell; see `Request.counted`."""
        return self._words.usage

    @property
    def tokens(self) -> int:
        """In and out together; 0 where the answer does not tell."""
        used = self._words.usage
        return used.input_tokens + used.output_tokens if used is not None else 0

    @property
    def body(self) -> bytes:
        """The whole answer as JSON of its wire, also of one that was streamed; empty where it was too long to keep."""
        return self._words.body

    @property
    def json(self) -> Any:
        """The same as Python values, None for what is no JSON; returned by a script it is the answer again."""
        try:
            return msgspec.json.decode(self._words.body or b"null")
        except ValueError:
            return None


OnCall = Callable[[Call], "Awaitable[None] | None"]
Ending = Callable[[Said], "Awaitable[str] | str"]
