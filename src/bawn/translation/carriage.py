"""One call between two wires: its request over, its answer back."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from bawn.errors import Fault
from bawn.terms.exchange import Exchange, Usage, WireName
from bawn.translation import (
    chat_answer,
    chat_request,
    claude_thinking,
    converse_answer,
    converse_request,
    gemini_answer,
    gemini_request,
    messages_answer,
    messages_request,
    responses_answer,
    responses_request,
)
from bawn.translation.carried_stream import CarriedStream, Events, Writer, inexpressible
from bawn.translation.features import Feature, judged
from bawn.translation.neutral import (
    Conversation,
    NotTranslatable,
    Reply,
    Role,
    Thinking,
    ToolUse,
    Turn,
    whole,
    without,
)
from bawn.translation.thoughts import KeptThoughts
from bawn.wire.holding import Unsound
from bawn.wire.interface import StreamReader
from bawn.wire.json_text import NotPlain, read_object, read_plain


class Destination(Struct, frozen=True):
    """Where a call goes."""

    wire: WireName
    model: str
    older: bool = False
    """Whether its server knows the older fields of chat completions only."""
    lacks: frozenset[Feature] = frozenset()
    """What it does not have although its wire has a word for it."""
    ids: bool = True
    """Whether calls of Gemini's wire have ids there."""


class Carriage:
    """A call that goes from the client's wire to the provider's, and its answer the other way."""

    __slots__ = (
        "_container",
        "_destination",
        "_model",
        "_thoughts",
        "client",
        "conversation",
        "dropped",
        "target",
        "usage",
    )

    def __init__(self, exchange: Exchange, destination: Destination, container: str, thoughts: KeptThoughts) -> None:
        """Faults `request.not_translatable` and `request.invalid`, before anything is sent."""
        self.client, self.target = exchange.wire, destination.wire
        self._model, self._destination = destination.model, destination
        self._container, self._thoughts = container, thoughts
        self.usage: Usage | None = None
        """Of a whole answer, as the provider counted: the client's wire may have no place for all of it."""
        lacks = destination.lacks
        if self.target is WireName.ANTHROPIC:
            lacks |= claude_thinking.lacking(self._model)
        asked = _read_request(exchange)
        says = asked.says
        if exchange.hosted_tools or exchange.unknown_tools:
            # Allowed or not: it is known to the provider of the client's wire, and to no other.
            says |= {Feature.HOSTED}
        if exchange.resources:
            says |= {Feature.KEPT}
        dropped = judged(says, self.target, lacks)
        self.dropped = tuple(feature.value for feature in dropped)
        """What of the request does not come through, by name."""
        self.conversation = thoughts.attached(container, without(asked, dropped), self.target)

    def request(self) -> bytes:
        """The body for the provider."""
        conversation, model = self.conversation, self._model
        match self.target:
            case WireName.OPENAI:
                return chat_request.write_request(conversation, model, older=self._destination.older)
            case WireName.RESPONSES:
                return responses_request.write_request(conversation, model)
            case WireName.ANTHROPIC:
                return messages_request.write_request(conversation, model)
            case WireName.GEMINI:
                return gemini_request.write_request(conversation, ids=self._destination.ids)
            case WireName.CONVERSE:
                return converse_request.write_request(conversation)

    def answer(self, body: bytes, call_id: str, now: int) -> bytes:
        """A whole answer, as the client's wire has it. Faults `upstream.broken` and `upstream.not_translatable`."""
        try:
            read = read_plain(body)
            if not isinstance(read, dict):
                raise Unsound("it is not an object")
            reply = self._read_answer(read, call_id)
            for part in reply.parts:
                if isinstance(part, ToolUse):
                    whole(part)
        except NotPlain as error:
            raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
        except Unsound as error:
            raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None
        except NotTranslatable as error:
            raise inexpressible(error) from None
        self.usage = reply.usage
        thoughts = [part for part in reply.parts if isinstance(part, Thinking)]
        self.keep(thoughts, [part for part in reply.parts if isinstance(part, ToolUse)])
        return self._write_answer(reply, call_id, now)

    def _read_answer(self, read: dict[str, Any], call_id: str) -> Reply:
        match self.target:
            case WireName.OPENAI:
                return chat_answer.read_answer(read)
            case WireName.RESPONSES:
                return responses_answer.read_answer(read)
            case WireName.ANTHROPIC:
                return messages_answer.read_answer(read)
            case WireName.GEMINI:
                return gemini_answer.read_answer(read, call_id)
            case WireName.CONVERSE:
                reply = converse_answer.read_answer(read)
                return Reply(self._model, reply.parts, reply.stop, reply.usage)

    def _write_answer(self, reply: Reply, call_id: str, now: int) -> bytes:
        tools = self.conversation.tools
        match self.client:
            case WireName.RESPONSES:
                return responses_answer.write_answer(reply, call_id, now, tools)
            case WireName.ANTHROPIC:
                return messages_answer.write_answer(reply, call_id)
            case WireName.GEMINI:
                return gemini_answer.write_answer(reply, call_id)
            case _:
                return chat_answer.write_answer(reply, call_id, now, tools)

    def stream(self, reader: StreamReader, call_id: str, now: int) -> CarriedStream:
        """The provider's stream as the client's, read once more by `reader`, which is of the client's wire."""
        events, writer = self._events(call_id), self._writer(call_id, now)
        return CarriedStream(events, writer, reader, self._model, self.target, self.keep)

    def _events(self, call_id: str) -> Events:
        match self.target:
            case WireName.OPENAI:
                return chat_answer.ChatEvents()
            case WireName.RESPONSES:
                return responses_answer.ResponsesEvents()
            case WireName.ANTHROPIC:
                return messages_answer.MessagesEvents()
            case WireName.GEMINI:
                return gemini_answer.GeminiEvents(call_id)
            case WireName.CONVERSE:
                return converse_answer.ConverseEvents()

    def _writer(self, call_id: str, now: int) -> Writer:
        tools = self.conversation.tools
        match self.client:
            case WireName.RESPONSES:
                return responses_answer.ResponsesWriter(call_id, now, tools, self.target)
            case WireName.ANTHROPIC:
                return messages_answer.MessagesWriter(call_id, self.target)
            case WireName.GEMINI:
                return gemini_answer.GeminiWriter(call_id)
            case _:
                return chat_answer.ChatWriter(call_id, now, tools, include_usage=self.conversation.include_usage)

    def keep(self, thoughts: list[Thinking], calls: list[ToolUse]) -> None:
        """Keep what the client may not be able to carry."""
        if calls:
            self._thoughts.keep(self._container, self.target, thoughts, calls)


def _read_request(exchange: Exchange) -> Conversation:
    read = read_object(exchange.body)
    try:
        match exchange.wire:
            case WireName.RESPONSES:
                conversation = responses_request.read_request(read)
            case WireName.ANTHROPIC:
                conversation = messages_request.read_request(read)
            case WireName.GEMINI:
                conversation = gemini_request.read_request(read, stream=exchange.stream)
            case _:
                conversation = chat_request.read_request(read)
    except NotPlain:
        raise Fault("request.invalid", "A number in the request is too large to be carried.") from None
    if not conversation.turns:
        # Elsewhere a conversation begins with the user.
        first = (Turn(Role.USER, conversation.system),) if conversation.system else ()
        conversation = structs.replace(conversation, turns=first, system=())
    return conversation
