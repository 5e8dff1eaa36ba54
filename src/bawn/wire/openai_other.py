"""Calls of OpenAI's format that are no conversation: embeddings, completions, images, moderations, rerank.

One reading for all: what may be asked stands in a table; the rest is content, which is looked through like any other for
what a provider would fetch or has kept. Rerank is that of Cohere and Jina, as many servers of this format have it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.wire import fields
from bawn.wire.ways_out import Found, sweep, switched_on, too_deep, unknown_fields


class Form(Struct, frozen=True):
    """What a call of one endpoint consists of."""

    needed: tuple[str, ...]
    """What it is about: a text or a list."""
    known: frozenset[str]
    streams: bool = False


FORMS: dict[Endpoint, Form] = {
    Endpoint.EMBEDDINGS: Form(
        ("input",), frozenset(("input", "model", "dimensions", "encoding_format", "user", "input_type"))
    ),
    Endpoint.COMPLETIONS: Form(
        ("prompt",),
        frozenset((
            "prompt", "model", "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n",
            "presence_penalty", "seed", "stop", "stream", "stream_options", "suffix", "temperature", "top_p", "user",
        )),
        streams=True,
    ),
    Endpoint.IMAGES: Form(
        ("prompt",),
        frozenset((
            "prompt", "model", "background", "moderation", "n", "output_compression", "output_format", "partial_images",
            "quality", "response_format", "size", "stream", "style", "user", "complexity", "frame_count", "frame_duration_ms",
            "safety_identifier",
        )),
    ),
    Endpoint.SPEECH: Form(
        ("input",),
        frozenset(("input", "model", "voice", "instructions", "response_format", "speed", "stream_format", "language")),
    ),
    Endpoint.MODERATIONS: Form(("input",), frozenset(("input", "model"))),
    Endpoint.RERANK: Form(
        ("query", "documents"),
        frozenset((
            "query", "documents", "model", "top_n", "top_k", "return_documents", "max_tokens_per_doc", "max_chunks_per_doc",
            "rank_fields", "truncation", "priority",
        )),
    ),
}  # fmt: skip
_HOSTED = {"store": "keeps what was asked at the provider", "svg": "names other models than the one that was permitted"}


def read_other(endpoint: Endpoint, read: dict[str, Any], body: bytes) -> Exchange:
    """The exchange of such a call. Fault `request.invalid` with the field that does not fit."""
    form = FORMS[endpoint]
    found = Found()
    for name in form.needed:
        if not isinstance(read.get(name), str | list):
            raise fields.invalid(name, "a text or a list")
        sweep(read[name], name, found)
    if too_deep(read, body):
        raise Fault("request.malformed_json", "The body is nested too deep.")
    stream = fields.switch(read, "stream")
    if stream and not form.streams:
        raise Fault("request.invalid", "The field 'stream' is not taken here.", remedy="Ask for the whole answer.")
    return Exchange(
        wire=WireName.OPENAI,
        endpoint=endpoint,
        model=fields.text(read, "model"),
        stream=stream,
        body=body,
        hosted_tools=tuple(HostedTool(name) for name in switched_on(read, _HOSTED)),
        unknown_tools=tuple(unknown_fields(read, form.known, _HOSTED)),
        fetches=tuple(found.fetches),
        resources=tuple(found.resources),
        max_output_tokens=fields.count(read, "max_tokens"),
    )
