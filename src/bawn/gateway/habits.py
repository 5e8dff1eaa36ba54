"""What each kind of provider serves, by which path, and how its key is sent: a table, not branches.

A path may hold `{model}`; `serving` puts the model's name there. What is not in the table is not served, whatever the
provider could do: `capabilities` in the configuration adds to it, and takes away.
"""

from __future__ import annotations

from msgspec import Struct

from bawn.gateway.settings import ProviderKind
from bawn.terms.exchange import Endpoint, WireName


class Habits(Struct, frozen=True):
    """What holds for all providers of one kind."""

    base_url: str
    """Empty when the configuration has to say it."""
    paths: dict[Endpoint, str]
    """Endpoints it serves, and the path behind the base URL."""
    key_header: bytes
    key_prefix: bytes
    conversation: Endpoint
    """What a conversation is translated to when its own wire is not served."""
    stream_paths: dict[Endpoint, str] = {}
    """Where a stream has a path of its own."""
    addable: dict[Endpoint, str] = {}
    """Endpoints that some providers of this kind serve, and the path: there once `capabilities` says so."""
    keeps: tuple[WireName, ...] = ()
    """Wires by which calls about kept objects are passed on to it, behind the base URL."""


WIRE_OF: dict[Endpoint, WireName] = {
    Endpoint.CHAT_COMPLETIONS: WireName.OPENAI,
    Endpoint.EMBEDDINGS: WireName.OPENAI,
    Endpoint.COMPLETIONS: WireName.OPENAI,
    Endpoint.IMAGES: WireName.OPENAI,
    Endpoint.SPEECH: WireName.OPENAI,
    Endpoint.TRANSCRIPTIONS: WireName.OPENAI,
    Endpoint.MODERATIONS: WireName.OPENAI,
    Endpoint.RERANK: WireName.OPENAI,
    Endpoint.RESPONSES: WireName.RESPONSES,
    Endpoint.MESSAGES: WireName.ANTHROPIC,
    Endpoint.COUNT_TOKENS: WireName.ANTHROPIC,
    Endpoint.GENERATE: WireName.GEMINI,
    Endpoint.GEMINI_COUNT: WireName.GEMINI,
    Endpoint.GEMINI_EMBED: WireName.GEMINI,
    Endpoint.CONVERSE: WireName.CONVERSE,
}

CONVERSATIONS = frozenset(
    (Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE, Endpoint.CONVERSE)
)
"""Endpoints between which a call can be translated."""

_CHAT = {Endpoint.CHAT_COMPLETIONS: "/chat/completions", Endpoint.EMBEDDINGS: "/embeddings"}
_RESPONSES = {Endpoint.RESPONSES: "/responses"}
_COMPLETIONS = {Endpoint.COMPLETIONS: "/completions"}
_OPENAI_ONLY = {
    Endpoint.IMAGES: "/images/generations",
    Endpoint.SPEECH: "/audio/speech",
    Endpoint.TRANSCRIPTIONS: "/audio/transcriptions",
    Endpoint.MODERATIONS: "/moderations",
}
_RERANK = {Endpoint.RERANK: "/rerank"}
_ANTHROPIC = {Endpoint.MESSAGES: "/messages", Endpoint.COUNT_TOKENS: "/messages/count_tokens"}
_GEMINI = {
    Endpoint.GENERATE: "/models/{model}:generateContent",
    Endpoint.GEMINI_COUNT: "/models/{model}:countTokens",
    Endpoint.GEMINI_EMBED: "/models/{model}:embedContent",
}
_GEMINI_STREAM = {Endpoint.GENERATE: "/models/{model}:streamGenerateContent?alt=sse"}

HABITS: dict[ProviderKind, Habits] = {
    ProviderKind.ANTHROPIC: Habits(
        "https://api.anthropic.com/v1",
        _ANTHROPIC,
        b"x-api-key",
        b"",
        conversation=Endpoint.MESSAGES,
        keeps=(WireName.ANTHROPIC,),
    ),
    ProviderKind.OPENAI: Habits(
        "https://api.openai.com/v1",
        _CHAT | _RESPONSES | _COMPLETIONS | _OPENAI_ONLY,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        addable=_RERANK,
        keeps=(WireName.OPENAI,),
    ),
    ProviderKind.OPENAI_COMPATIBLE: Habits(
        "",
        _CHAT | _COMPLETIONS | _RERANK,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        addable=_RESPONSES | _OPENAI_ONLY | _ANTHROPIC,
        keeps=(WireName.OPENAI,),
    ),
    ProviderKind.GEMINI: Habits(
        "https://generativelanguage.googleapis.com/v1beta",
        _GEMINI,
        b"x-goog-api-key",
        b"",
        conversation=Endpoint.GENERATE,
        stream_paths=_GEMINI_STREAM,
    ),
    ProviderKind.SCRIPTED: Habits(
        "",
        _CHAT | _RESPONSES | _COMPLETIONS | _OPENAI_ONLY | _RERANK | _ANTHROPIC | _GEMINI,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        stream_paths=_GEMINI_STREAM,
        keeps=(WireName.OPENAI, WireName.ANTHROPIC),
    ),
}
