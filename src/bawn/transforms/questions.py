"""What makes two requests the same question, and which questions may be answered from memory at all.

The key is one hash over everything that a provider sees of a request: wire, endpoint, the resolved model, the headers that
change what an answer means, and every field of the body as it was written, but for `IGNORED`. Fields are not read, only
told apart, so a prompt of a megabyte costs one pass of the hash; two requests that say the same in another form of JSON are
two questions, which costs a hit and nothing else.

Not answered from memory: what makes something (objects that a provider keeps, work in the background), what looks at the
world (URLs that a provider fetches, tools that it runs), what asks for several answers, what asks for chance by naming a
temperature above zero. A request that names no temperature does not ask for chance.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from bawn.stages.asked import Asked
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.value import Value

IGNORED = frozenset(
    {
        "model",  # as the client calls it; the resolved one is in the key
        "stream",  # how the answer comes, not what it says
        "stream_options",
        "user",  # who asks, for the provider's own records
        "metadata",
        "labels",
        "safety_identifier",
        "prompt_cache_key",  # where the provider keeps what it read
        "prompt_cache_retention",
    }
)
"""Fields that cannot change what an answer says."""
_HEADERS = (b"anthropic-version", b"anthropic-beta")
"""Headers that reach a provider and change what a request means."""
CONVERSATIONS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE})
CALCULATED = frozenset(
    {Endpoint.EMBEDDINGS, Endpoint.RERANK, Endpoint.MODERATIONS, Endpoint.GEMINI_EMBED, Endpoint.GEMINI_EMBED_ALL}
)
"""Endpoints without chance."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Generation(msgspec.Struct):
    temperature: float | None = None
    candidateCount: int | None = None  # noqa: N815 - the wire's own name


_numbers = msgspec.json.Decoder(float | None).decode
_switches = msgspec.json.Decoder(bool | None).decode
_options = msgspec.json.Decoder(_Options | None).decode
_generation = msgspec.json.Decoder(_Generation | None).decode


class Share(StrEnum):
    CONTAINER = "container"
    PROJECT = "project"
    ALL = "all"


class Form(StrEnum):
    """How an answer is wanted."""

    PLAIN = "plain"
    STREAM = "stream"
    """A stream of chat completions whose client did not ask for the usage."""
    TOLD = "told"
    """A stream that tells the usage at its end: every stream of the other wires."""


class Question(Value, frozen=True):
    key: bytes
    form: Form


def question(asked: Asked, target: str, share: Share, *, any_temperature: bool) -> Question | None:
    """None for a question that is not answered from memory. `target`: the resolved `provider/model`."""
    exchange = asked.exchange
    conversation = exchange.endpoint in CONVERSATIONS
    if not conversation and exchange.endpoint not in CALCULATED:
        return None
    if exchange.hosted_tools or exchange.unknown_tools or exchange.fetches or exchange.resources:
        return None
    try:
        fields = _fields(exchange.body)
        if conversation and not _steady(fields, any_temperature=any_temperature):
            return None
        return Question(_key(asked, target, share, fields), _form(asked, fields))
    except (msgspec.DecodeError, UnicodeError):
        return None


def scope(asked: Asked, share: Share) -> str:
    """Who shares an answer."""
    match share:
        case Share.CONTAINER:
            return f"container {asked.container.uuid}"
        case Share.PROJECT:
            return f"project {asked.container.project}"
        case Share.ALL:
            return "all"


def _key(asked: Asked, target: str, share: Share, fields: dict[str, msgspec.Raw]) -> bytes:
    exchange = asked.exchange
    parts = [scope(asked, share).encode(), exchange.wire.encode(), exchange.endpoint.encode(), target.encode()]
    if exchange.wire is WireName.ANTHROPIC:
        parts += [asked.header(name) for name in _HEADERS]
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(b"%d:%b" % (len(part), part))
    for name in sorted(fields.keys() - IGNORED):
        # Lengths before contents, so that no two rows of fields are one row of bytes.
        value = memoryview(fields[name])
        key = name.encode("utf-8", "surrogatepass")
        hashed.update(b"%d:%b%d:" % (len(key), key, len(value)))
        hashed.update(value)
    return hashed.digest()


def _steady(fields: dict[str, msgspec.Raw], *, any_temperature: bool) -> bool:
    if any(name in fields and _switches(fields[name]) for name in ("store", "background")):
        return False
    if "n" in fields and (_numbers(fields["n"]) or 1) > 1:
        return False
    generation = _generation(fields["generationConfig"]) if "generationConfig" in fields else None
    if generation is not None and (generation.candidateCount or 1) > 1:
        return False
    if any_temperature:
        return True
    if "temperature" in fields and (_numbers(fields["temperature"]) or 0) > 0:
        return False
    return generation is None or (generation.temperature or 0) <= 0


def _form(asked: Asked, fields: dict[str, msgspec.Raw]) -> Form:
    exchange = asked.exchange
    if not exchange.stream:
        return Form.PLAIN
    if exchange.wire is not WireName.OPENAI:
        return Form.TOLD
    options = _options(fields["stream_options"]) if "stream_options" in fields else None
    return Form.TOLD if options is not None and options.include_usage else Form.STREAM
