"""What each kind of provider serves, by which path, and how its key is sent: a table, not branches.

A path may hold `{model}`; `serving` puts the model's name there. What is not in the table is not served, whatever the
provider could do: `capabilities` in the configuration adds to it, and takes away.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bawn.gateway.settings import ProviderKind
from bawn.terms.exchange import Endpoint, WireName


class Proof(StrEnum):
    """How a key proves whose call it is."""

    HEADER = "header"
    """It is sent."""
    AWS = "aws"
    """It signs the request, if it is a key of AWS; an API key is sent."""
    SERVICE_ACCOUNT = "service-account"
    """It signs for a token, which is sent until it ends."""


class Family(Struct, frozen=True):
    """Models of one vendor among those of a provider."""

    endpoints: frozenset[Endpoint]
    conversation: Endpoint


class Habits(Struct, frozen=True):
    """What holds for all providers of one kind."""

    base_url: str
    """Empty when the configuration has to say it; may hold `{region}` and `{project}`."""
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
    seller: str = ""
    """Who has the prices of what is called at the kind's own address, by the name in the price list."""
    sellers_hosts: str = ""
    """The end of the hosts of that address, where the configuration has to say it."""
    lists: str = ""
    """Where its models are listed; only looked at to see whether it answers."""
    proof: Proof = Proof.HEADER
    needs: tuple[str, ...] = ()
    """Settings that have to be there although the base URL is said."""
    base_urls: dict[str, str] = {}
    """Base URLs of regions for which `base_url` does not hold."""
    families: dict[str, Family] = {}
    """Where vendors differ: what stands before the first `/` of a model's name."""
    fields: dict[Endpoint, tuple[tuple[str, str], ...]] = {}
    """Fields of a body that are other than on the endpoint's own wire; an empty one goes, `{model}` is the name."""
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
    Endpoint.GEMINI_EMBED_ALL: WireName.GEMINI,
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
    Endpoint.GEMINI_EMBED_ALL: "/models/{model}:batchEmbedContents",
}
_GEMINI_STREAM = {Endpoint.GENERATE: "/models/{model}:streamGenerateContent?alt=sse"}
_GOOGLE, _CLAUDE = "/publishers/google/models/", "/publishers/anthropic/models/"
_VERTEX_GOOGLE = {
    Endpoint.GENERATE: _GOOGLE + "{model}:generateContent",
    Endpoint.GEMINI_COUNT: _GOOGLE + "{model}:countTokens",
}
_VERTEX_CLAUDE = {
    Endpoint.MESSAGES: _CLAUDE + "{model}:rawPredict",
    Endpoint.COUNT_TOKENS: _CLAUDE + "count-tokens:rawPredict",
}
_VERTEX_VERSION = ("anthropic_version", "vertex-2023-10-16")
_VERTEX_BEHIND = "/v1/projects/{project}/locations/{region}"

HABITS: dict[ProviderKind, Habits] = {
    ProviderKind.ANTHROPIC: Habits(
        "https://api.anthropic.com/v1",
        _ANTHROPIC,
        b"x-api-key",
        b"",
        conversation=Endpoint.MESSAGES,
        seller="anthropic",
        lists="/models",
        keeps=(WireName.ANTHROPIC,),
    ),
    ProviderKind.OPENAI: Habits(
        "https://api.openai.com/v1",
        _CHAT | _RESPONSES | _COMPLETIONS | _OPENAI_ONLY,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        seller="openai",
        lists="/models",
        addable=_RERANK,
        keeps=(WireName.OPENAI,),
    ),
    ProviderKind.OPENAI_COMPATIBLE: Habits(
        "",
        _CHAT | _COMPLETIONS | _RERANK,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        lists="/models",
        addable=_RESPONSES | _OPENAI_ONLY | _ANTHROPIC,
        keeps=(WireName.OPENAI,),
    ),
    ProviderKind.GEMINI: Habits(
        "https://generativelanguage.googleapis.com/v1beta",
        _GEMINI,
        b"x-goog-api-key",
        b"",
        conversation=Endpoint.GENERATE,
        seller="google",
        lists="/models",
        stream_paths=_GEMINI_STREAM,
    ),
    ProviderKind.AZURE: Habits(
        "",
        _CHAT | _RESPONSES | _COMPLETIONS,
        b"api-key",
        b"",
        conversation=Endpoint.CHAT_COMPLETIONS,
        seller="azure",
        sellers_hosts=".azure.com",
        lists="/models",
        addable=_OPENAI_ONLY,
    ),
    ProviderKind.BEDROCK: Habits(
        "https://bedrock-runtime.{region}.amazonaws.com",
        {Endpoint.CONVERSE: "/model/{model}/converse"},
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CONVERSE,
        seller="aws",
        stream_paths={Endpoint.CONVERSE: "/model/{model}/converse-stream"},
        proof=Proof.AWS,
        needs=("region",),
    ),
    ProviderKind.VERTEX: Habits(
        "https://{region}-aiplatform.googleapis.com" + _VERTEX_BEHIND,
        _VERTEX_GOOGLE | _VERTEX_CLAUDE,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.GENERATE,
        seller="google",
        stream_paths={
            Endpoint.GENERATE: _GOOGLE + "{model}:streamGenerateContent?alt=sse",
            Endpoint.MESSAGES: _CLAUDE + "{model}:streamRawPredict",
        },
        proof=Proof.SERVICE_ACCOUNT,
        base_urls={
            "global": "https://aiplatform.googleapis.com" + _VERTEX_BEHIND,
            "us": "https://aiplatform.us.rep.googleapis.com" + _VERTEX_BEHIND,
            "eu": "https://aiplatform.eu.rep.googleapis.com" + _VERTEX_BEHIND,
        },
        families={
            "google": Family(frozenset(_VERTEX_GOOGLE), Endpoint.GENERATE),
            "anthropic": Family(frozenset(_VERTEX_CLAUDE), Endpoint.MESSAGES),
        },
        fields={
            Endpoint.MESSAGES: (("model", ""), _VERTEX_VERSION),
            Endpoint.COUNT_TOKENS: (("model", "{model}"), _VERTEX_VERSION),
        },
    ),
    ProviderKind.SCRIPTED: Habits(
        "",
        _CHAT | _RESPONSES | _COMPLETIONS | _OPENAI_ONLY | _RERANK | _ANTHROPIC | _GEMINI,
        b"authorization",
        b"Bearer ",
        conversation=Endpoint.CHAT_COMPLETIONS,
        lists="/models",
        stream_paths=_GEMINI_STREAM,
        keeps=(WireName.OPENAI, WireName.ANTHROPIC),
    ),
}
