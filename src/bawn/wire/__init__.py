"""The formats that clients and providers speak: bytes to what is decided on, and refusals back to bytes. Pure."""

from __future__ import annotations

from bawn.terms.exchange import WireName
from bawn.wire.anthropic import AnthropicMessages
from bawn.wire.endpoints import Route, endpoint
from bawn.wire.gemini import GeminiContents
from bawn.wire.interface import Wire
from bawn.wire.openai import CHAT
from bawn.wire.responses import OpenAIResponses

__all__ = ["Route", "Wire", "endpoint", "wire"]

_WIRES: dict[WireName, Wire] = {
    WireName.OPENAI: CHAT,
    WireName.RESPONSES: OpenAIResponses(),
    WireName.ANTHROPIC: AnthropicMessages(),
    WireName.GEMINI: GeminiContents(),
}


def wire(name: WireName) -> Wire:
    """The wire of that name; wires have no state, their readers have."""
    return _WIRES[name]
