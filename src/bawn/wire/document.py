"""A request as a document that can be read and changed, whatever its wire.

Nothing here decides anything. What a document was changed to is written out as a body and read again by the wire's own
reader, so that what is decided on is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from bawn.terms.toolcall import ToolCall


class Said(StrEnum):
    """Who said a text."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """The result of a tool."""


class Spot(Struct, frozen=True):
    """A text of a request, and where it stands. Thinking is not among them: it is signed."""

    number: int
    """By which the document finds it again, whatever was added or changed meanwhile."""
    message: int
    """Index into `messages`; -1 for the system text that stands beside them."""
    said: Said
    text: str
    call: str = ""
    """For the result of a tool, the id of its call; where the wire has none, the name of the tool."""
    attached: bool = False
    """Whether it is a document beside what was said: an answer may cite it by its places, so only what must not be in it
    is changed."""


class Message(Struct, frozen=True):
    """One message as the wire sends it."""

    said: Said
    """Who said it; a message that holds only results of tools is of the tool."""
    spots: tuple[Spot, ...]
    calls: tuple[ToolCall, ...] = ()
    """The calls that an assistant's message holds."""

    @property
    def text(self) -> str:
        return "\n".join(spot.text for spot in self.spots)


class OfferedTool(Struct, frozen=True):
    """A tool that runs inside, as it is offered to the model."""

    name: str
    description: str
    schema: dict[str, object] | None


class RequestDocument(Protocol):
    """One request. Changes are made in place; `body` writes them out."""

    @property
    def model(self) -> str:
        """As it was set last. Where the path names it (Gemini), the body alone does not tell, so that whoever reads a
        changed body again takes it from here."""

    @property
    def system(self) -> str:
        """All system text, wherever the wire has it."""

    @property
    def messages(self) -> Sequence[Message]:
        """Without the system text that stands beside them; a system message among them is one of them."""

    @property
    def spots(self) -> Sequence[Spot]:
        """All texts: system, messages, results of tools."""

    @property
    def tools(self) -> Sequence[OfferedTool]: ...

    @property
    def changed(self) -> bool: ...

    def set_model(self, model: str) -> None: ...

    def set_text(self, spot: Spot, text: str) -> None:
        """Another text at a spot; everything beside it (cache marks, citations) stays."""

    def add_system(self, text: str, *, first: bool = False) -> None:
        """One more system text, behind what is there or before it."""

    def add_message(self, said: Said, text: str, at: int | None = None) -> None:
        """A message of the user or the assistant before `messages[at]`, at the end without `at`. Never between a call and its
        result: there it goes behind the result. Where the wire wants turns to alternate, it joins its neighbour."""

    def without_tool(self, name: str) -> None:
        """The tool is not offered any more."""

    def body(self) -> bytes:
        """The request as bytes; the client's own where nothing was changed."""
