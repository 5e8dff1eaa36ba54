"""The wires by name, as the tests of translation go through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bawn.terms.exchange import WireName
from bawn.translation import (
    chat_answer,
    chat_request,
    converse_request,
    gemini_answer,
    gemini_request,
    messages_answer,
    messages_request,
    responses_answer,
    responses_request,
)
from bawn.translation.neutral import Conversation, Reply

CLIENTS = (WireName.OPENAI, WireName.RESPONSES, WireName.ANTHROPIC, WireName.GEMINI)
TARGETS = (*CLIENTS, WireName.CONVERSE)

READ: dict[WireName, Callable[[dict[str, Any]], Conversation]] = {
    WireName.OPENAI: chat_request.read_request,
    WireName.RESPONSES: responses_request.read_request,
    WireName.ANTHROPIC: messages_request.read_request,
    WireName.GEMINI: lambda read: gemini_request.read_request(read, stream=False),
}


def written(target: WireName, conversation: Conversation) -> dict[str, Any]:
    """A conversation as the request of a wire."""
    match target:
        case WireName.OPENAI:
            body = chat_request.write_request(conversation, "m", older=False)
        case WireName.RESPONSES:
            body = responses_request.write_request(conversation, "m")
        case WireName.ANTHROPIC:
            body = messages_request.write_request(conversation, "m")
        case WireName.GEMINI:
            body = gemini_request.write_request(conversation)
        case _:
            body = converse_request.write_request(conversation)
    said: dict[str, Any] = json.loads(body)
    return said


def answered(client: WireName, reply: Reply, conversation: Conversation) -> dict[str, Any]:
    """A reply as the answer of a wire."""
    match client:
        case WireName.RESPONSES:
            body = responses_answer.write_answer(reply, "call_1", 1, conversation.tools)
        case WireName.ANTHROPIC:
            body = messages_answer.write_answer(reply, "call_1")
        case WireName.GEMINI:
            body = gemini_answer.write_answer(reply, "call_1")
        case _:
            body = chat_answer.write_answer(reply, "call_1", 1, conversation.tools)
    said: dict[str, Any] = json.loads(body)
    return said


def read_answer(target: WireName, said: dict[str, Any]) -> Reply:
    match target:
        case WireName.RESPONSES:
            return responses_answer.read_answer(said)
        case WireName.ANTHROPIC:
            return messages_answer.read_answer(said)
        case WireName.GEMINI:
            return gemini_answer.read_answer(said, "call_1")
        case _:
            return chat_answer.read_answer(said)


def events_of(target: WireName) -> Any:
    """A reader of that provider's streams."""
    match target:
        case WireName.RESPONSES:
            return responses_answer.ResponsesEvents()
        case WireName.ANTHROPIC:
            return messages_answer.MessagesEvents()
        case WireName.GEMINI:
            return gemini_answer.GeminiEvents("call_1")
        case _:
            return chat_answer.ChatEvents()


def writer_of(client: WireName, origin: WireName) -> Any:
    """A writer of that client's streams."""
    match client:
        case WireName.RESPONSES:
            return responses_answer.ResponsesWriter("call_1", 1, (), origin)
        case WireName.ANTHROPIC:
            return messages_answer.MessagesWriter("call_1", origin)
        case WireName.GEMINI:
            return gemini_answer.GeminiWriter("call_1")
        case _:
            return chat_answer.ChatWriter("call_1", 1, (), include_usage=True)
