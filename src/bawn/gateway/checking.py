"""Whether a provider answers: small real calls, each judged by itself.

With models configured, one conversation of a word by every wire that the provider speaks itself, with the first of
them; without, the list of its models. Each is made with each of the provider's keys. What cannot be checked counts as
not working. Nothing of a container is involved, and nothing is settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bawn import __version__
from bawn.errors import Fault, quoted
from bawn.gateway.asking import Told, ask
from bawn.gateway.credentials import ABOUT_KEYS, Key, Keyring
from bawn.gateway.habits import CONVERSATIONS, HABITS, WIRE_OF
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Address, served, serving
from bawn.gateway.settings import ProviderKind
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint, WireName
from bawn.wire.fields import with_fields

SECONDS = 20.0
_GREETING = [{"role": "user", "content": "Hi"}]
_NEWER = (ProviderKind.OPENAI, ProviderKind.AZURE)
"""Kinds whose newer models no longer know `max_tokens`."""


def _chat(model: str, kind: ProviderKind) -> dict[str, Any]:
    return {"model": model, "messages": _GREETING, "max_completion_tokens" if kind in _NEWER else "max_tokens": 1}


def _responses(model: str, kind: ProviderKind) -> dict[str, Any]:
    # Fewer than 16 are refused.
    return {"model": model, "input": "Hi", "max_output_tokens": 16, "store": False}


def _messages(model: str, kind: ProviderKind) -> dict[str, Any]:
    return {"model": model, "messages": _GREETING, "max_tokens": 1}


def _generate(model: str, kind: ProviderKind) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 1}}


def _converse(model: str, kind: ProviderKind) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 1}}


_BODIES: dict[Endpoint, tuple[Callable[[str, ProviderKind], dict[str, Any]], str]] = {
    Endpoint.CHAT_COMPLETIONS: (_chat, "choices"),
    Endpoint.RESPONSES: (_responses, "output"),
    Endpoint.MESSAGES: (_messages, "content"),
    Endpoint.GENERATE: (_generate, "candidates"),
    Endpoint.CONVERSE: (_converse, "output"),
}
"""What is asked, and a field that every good answer has."""
_LISTED = ("data", "models")


class Checked(Struct, frozen=True):
    """What came of one call with one key."""

    provider: str
    call: str
    model: str
    key: str
    problem: str
    """Empty when it works."""
    sentence: str
    ms: int


class _Probe(Struct, frozen=True):
    """One call that says whether a provider works."""

    call: str
    model: str
    method: str
    path: str
    body: bytes
    wire: WireName
    fields: tuple[str, ...]
    """One of them stands in a good answer."""


async def check(address: Address, models: Sequence[str], keys: Keyring, pool: Pool, clock: Clock) -> Sequence[Checked]:
    """Everything that can be said about one provider; no Fault."""
    try:
        probes = _probes(address, models)
        ready = keys.all(address)
    except Fault as fault:
        return [_faulty(address, fault)]
    if not probes:
        sentence = f"Nothing to call: name a model under providers.{address.name}.models."
        return [Checked(address.name, "", "", "", "not_checked", sentence, 0)]
    each = (_tried(address, probe, key, keys, pool, clock) for key in ready for probe in probes)
    return await asyncio.gather(*each)


def _probes(address: Address, models: Sequence[str]) -> list[_Probe]:
    habits = HABITS[address.kind]
    if not models:
        wire = WIRE_OF[habits.conversation]
        listing = _Probe("GET /models", "", "GET", address.prefix + habits.lists, b"", wire, _LISTED)
        return [listing] if habits.lists else []
    firsts = {model.partition("/")[0] if habits.families else "": model for model in reversed(models)}
    return [
        _conversation(address, endpoint, model)
        for model in firsts.values()
        for endpoint in served(address, model)
        if endpoint in CONVERSATIONS
    ]


def _conversation(address: Address, endpoint: Endpoint, model: str) -> _Probe:
    found = serving(address, endpoint, WIRE_OF[endpoint], model)
    make, field = _BODIES[endpoint]
    body = with_fields(msgspec.json.encode(make(model, address.kind)), found.fields)
    return _Probe(endpoint.value, model, "POST", found.path, body, WIRE_OF[endpoint], (field,))


async def _tried(address: Address, probe: _Probe, key: Key, keys: Keyring, pool: Pool, clock: Clock) -> Checked:
    begun = clock.monotonic()
    try:
        await key.ready()
        head = _head(address, probe, key)
        told = await ask(pool, clock.monotonic, address.origin, head, probe.body, SECONDS)
        problem, sentence = _judged(told, probe, key.secret)
        if told.status in ABOUT_KEYS:
            keys.told(address, key, told.status, told.headers)
        elif not problem:
            key.rests_until = 0.0
    except Fault as fault:
        problem, sentence = fault.code.partition(".")[2], _sentence(fault)
    took = round((clock.monotonic() - begun) * 1000)
    return Checked(address.name, probe.call, probe.model, key.label, problem, sentence, took)


def _head(address: Address, probe: _Probe, key: Key) -> bytes:
    lines = [
        f"{probe.method} {probe.path} HTTP/1.1".encode("ascii"),
        f"host: {address.origin.authority}".encode("ascii"),
        b"accept: application/json",
        b"accept-encoding: identity",
        f"user-agent: bawn/{__version__}".encode("ascii"),
    ]
    if probe.body:
        lines += [b"content-type: application/json", b"content-length: %d" % len(probe.body)]
    if probe.wire is WireName.ANTHROPIC:
        lines.append(b"anthropic-version: 2023-06-01")
    key.put_on(lines, probe.method, probe.path, probe.body)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _judged(told: Told, probe: _Probe, secret: bytes) -> tuple[str, str]:
    """A word and a sentence about what is wrong; two empty texts when nothing is."""
    if told.status in (401, 403):
        return "key_refused", f"It answered {told.status}{_reason(told, secret)}."
    if told.status != 200:
        return "refused", f"It answered {told.status}{_reason(told, secret)}."
    if told.content_type != "application/json":
        return "wrong_content_type", f"It answered with the content type {quoted(told.content_type)}."
    try:
        body = msgspec.json.decode(told.body)
    except (msgspec.MsgspecError, RecursionError):
        return "not_json", "Its answer is not JSON."
    if not isinstance(body, dict) or not any(field in body for field in probe.fields):
        return "other_wire", f"Its answer has no {probe.fields[0]!r}, as every answer of this call has."
    return "", ""


def _reason(told: Told, secret: bytes) -> str:
    """The provider's own words, short and without the key."""
    data = told.body.replace(secret, b"[redacted]") if secret else told.body
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    error = body.get("error", body) if isinstance(body, dict) else None
    words = error.get("message") if isinstance(error, dict) else error
    return f": {quoted(words, 160)}" if isinstance(words, str) and words else ""


def _faulty(address: Address, fault: Fault) -> Checked:
    return Checked(address.name, "", "", "", fault.code.partition(".")[2], _sentence(fault), 0)


def _sentence(fault: Fault) -> str:
    return f"{fault.sentence} ({fault.cause})" if fault.cause else fault.sentence
