"""One call to a model, as far as Bawn understands it; what it does not need stays bytes."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class WireName(StrEnum):
    """The format a client speaks."""

    OPENAI = "openai"
    """Chat completions, and everything else that has no wire of its own (embeddings, images, sound, rerank)."""
    RESPONSES = "responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    CONVERSE = "converse"
    """Of AWS Bedrock; spoken to providers only."""


class Endpoint(StrEnum):
    """What is asked for, whatever the path it was asked by."""

    CHAT_COMPLETIONS = "chat/completions"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    IMAGES = "images/generations"
    SPEECH = "audio/speech"
    TRANSCRIPTIONS = "audio/transcriptions"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    MODELS = "models"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"
    GENERATE = "generateContent"
    """Gemini, plain or streamed; the path says which."""
    GEMINI_COUNT = "countTokens"
    GEMINI_EMBED = "embedContent"
    GEMINI_EMBED_ALL = "batchEmbedContents"
    CONVERSE = "converse"
    KEPT_RESPONSES = "responses/{id}"
    CONVERSATIONS = "conversations"
    FILES = "files"
    BATCHES = "batches"
    VECTOR_STORES = "vector_stores"
    OTHER = "other"
    """A path that the operator opened by its name."""
    SCRIPT = "script"
    """A path that nothing but a script of the operator answers."""
    APPROVAL = "approvals/{id}"
    """What became of a question to a person, for the container that it is about."""
    HOOK = "hooks/{agent}"
    """What an agent reports by a hook of its own."""
    PROBE = "probe"
    """`HEAD /`, by which Claude Code looks whether its base URL answers."""


class HostedTool(Struct, frozen=True):
    """A tool that the provider itself would run: a way out of the wall, refused unless allowed."""

    type: str
    """The type as the wire names it, e.g. `web_search_20250305`."""


class Fetch(Struct, frozen=True):
    """A URL that the provider would fetch: a way out of the wall, refused unless allowed."""

    field: str
    """Where it stands, e.g. `messages[2].content[0].image_url.url`."""
    url: str


class Exchange(Struct, frozen=True):
    """The fields of a call that Bawn decides on, read once; `body` is what the client sent, byte for byte."""

    wire: WireName
    endpoint: Endpoint
    model: str
    """As the client wrote it; empty when it named none."""
    stream: bool
    body: bytes
    tools: tuple[str, ...] = ()
    """Names of the function tools offered to the model; these run inside the container."""
    hosted_tools: tuple[HostedTool, ...] = ()
    unknown_tools: tuple[str, ...] = ()
    """Types of tools that this version does not know; refused, since unknown is never fine."""
    fetches: tuple[Fetch, ...] = ()
    resources: tuple[str, ...] = ()
    """Ids of provider-side objects that the call refers to (files, containers, responses); they have an owner."""
    max_output_tokens: int | None = None
    session: str = ""
    """The conversation as the client names it, where its wire has a field for that."""
    after: str = ""
    """Id of the response that it goes on with, which the provider keeps with all that was said before."""
    within: str = ""
    """Id of the provider's conversation that it is a part of, likewise."""

    @property
    def kept(self) -> bool:
        """Whether a later request can go on with its answer without repeating it."""
        return self.wire is WireName.RESPONSES and (
            bool(self.within) or any(tool.type == "store" for tool in self.hosted_tools)
        )


class Usage(Struct, frozen=True):
    """What a call used, in tokens as the provider counted them."""

    input_tokens: int = 0
    """All input tokens, cached ones included."""
    output_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens read from the provider's cache."""
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
