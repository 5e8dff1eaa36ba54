"""Which call a path means, at whichever provider it is spoken: one path of our own for the many of theirs.

OpenAI, Anthropic     /v1/chat/completions, /v1/messages, …, also behind /api and at the root
Gemini                /v1beta/models/{model}:{verb}, and OpenAI's wire behind /v1beta/openai
Vertex                /v1/projects/…/publishers/{google|anthropic}/models/{model}:{verb}
Azure OpenAI          /openai/deployments/{model}/chat/completions, and /openai/v1/…
Bedrock               /model/{model}/converse, /model/{model}/converse-stream
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

from msgspec import Struct

from bawn.inference.conversation import Wire


class Place(Struct, frozen=True):
    wire: Wire
    """Of the errors, when the call is none of a conversation."""
    path: str
    """As OpenAI and Anthropic would write it, behind the root; for the others one of the words below."""
    model: str = ""
    """When the path names it."""
    stream: bool = False
    """When the path says so."""
    events: bool = True
    """Whether the stream is asked for as events; Gemini has another form."""
    query: dict[str, list[str]] = {}


GENERATE, GEMINI_COUNT, GEMINI_EMBED, GEMINI_EMBED_ALL = ":generate", ":count", ":embed", ":embed-all"
CONVERSE = ":converse"
RAW_PREDICT = ":raw-predict"

_VERBS = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE,
    "countTokens": GEMINI_COUNT,
    "embedContent": GEMINI_EMBED,
    "batchEmbedContents": GEMINI_EMBED_ALL,
    "rawPredict": RAW_PREDICT,
    "streamRawPredict": RAW_PREDICT,
}
_MODEL_VERB = re.compile(
    r"/v1(?:beta|alpha)?[0-9]*(?:/projects/[^/]+/locations/[^/]+/publishers/(?:google|anthropic))?/models/(.+):([A-Za-z]+)"
)
_BEDROCK = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
_AZURE = re.compile(r"/openai/deployments/([^/]+)(/.+)")
_ROOTS = re.compile(r"(?:/api)?(?:/v1beta/openai|/openai/v1|/anthropic/v1|/anthropic|/v1)?(?=/|$)")
_GEMINI_MODELS = re.compile(r"/v1(?:beta|alpha)(/models(?:/.*)?)")


def placed(target: str, *, anthropic: bool) -> Place:
    """The call that `target` of a request line means; `anthropic` when a header says that it is of that wire."""
    path, _, query = target.partition("?")
    asked = parse_qs(query)
    if found := _MODEL_VERB.fullmatch(path):
        model, verb = unquote(found[1]), found[2]
        if (model, verb) == ("count-tokens", "rawPredict"):
            return Place(Wire.ANTHROPIC, "/messages/count_tokens", query=asked)
        wire = Wire.ANTHROPIC if verb.lower().endswith("rawpredict") else Wire.GEMINI
        events = wire is Wire.ANTHROPIC or asked.get("alt") == ["sse"]
        return Place(wire, _VERBS.get(verb, path), model, verb.startswith("stream"), events, asked)
    if found := _BEDROCK.fullmatch(path):
        return Place(Wire.CONVERSE, CONVERSE, unquote(found[1]), found[2] == "converse-stream", query=asked)
    if found := _GEMINI_MODELS.fullmatch(path):
        return Place(Wire.GEMINI, found[1], query=asked)
    if found := _AZURE.fullmatch(path):
        return Place(Wire.OPENAI, found[2], unquote(found[1]), query=asked)
    root = _ROOTS.match(path)
    path = "/" + path[root.end() if root else 0 :].strip("/")
    wire = Wire.ANTHROPIC if anthropic or path.startswith("/messages") else Wire.OPENAI
    return Place(wire, path, query=asked)
