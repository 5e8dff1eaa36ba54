"""A conversation in no provider's format: what requests, answers and streams are read into and written from.

Arguments of tools stay the JSON text that the model wrote, schemas the value that the client sent: neither is ours to
judge, and both come out as they went in.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct, structs

from bawn.terms.exchange import Usage, WireName
from bawn.translation.features import Feature
from bawn.wire.holding import Unsound

_OWNERS = frozenset(wire.value for wire in WireName)
_WORD = re.compile(r"[A-Za-z_]{1,40}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Text(Struct, frozen=True):
    text: str
    mark: bool = False
    """Whether the client wants everything up to here cached."""


class Image(Struct, frozen=True):
    media_type: str
    data: str
    """Base64; empty when there is an address."""
    url: str = ""
    mark: bool = False


class File(Struct, frozen=True):
    """A document, or a sound."""

    media_type: str
    data: str
    """Base64, or the text itself when the type is `text/plain`; empty when there is an address."""
    name: str = ""
    url: str = ""
    mark: bool = False


class Thinking(Struct, frozen=True):
    text: str
    proof: str = ""
    """What the provider signed or sealed, by which it knows its own thoughts again."""
    origin: WireName | None = None
    """Whose proof it is: it is worth nothing to anybody else."""
    sealed: bool = False
    """Whether there is nothing but the proof to it."""


class ToolUse(Struct, frozen=True):
    id: str
    name: str
    arguments: str
    proof: str = ""
    """Of the call itself, where the provider signs calls and not thoughts."""
    origin: WireName | None = None
    mark: bool = False


class ToolResult(Struct, frozen=True):
    id: str
    name: str
    """Of the tool; empty when the conversation does not hold its call."""
    parts: tuple[Text | Image | File, ...]
    is_error: bool = False
    mark: bool = False


Part = Text | Image | File | Thinking | ToolUse | ToolResult


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class Turn(Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]


class Tool(Struct, frozen=True):
    name: str
    """As it is called by the model; within a set of tools, the name of the set stands before it."""
    description: str
    schema: dict[str, Any] | None
    """JSON Schema of its arguments."""
    strict: bool | None = None
    free: bool = False
    """Whether it takes a text instead of an object; elsewhere it is a function with that text as `input`."""
    spaced: tuple[str, str] | None = None
    """The set and the name within it."""
    mark: bool = False


class Form(Struct, frozen=True):
    """The form that the answer has to have: JSON, of a schema if one is given."""

    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str = ""


class Conversation(Struct, frozen=True, kw_only=True):
    """A request."""

    says: frozenset[Feature]
    """What it makes use of."""
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    """`auto`, `none`, `required`, or `one`, which is named by `chosen`."""
    chosen: str = ""
    parallel: bool = True
    """Whether several tools may be called at once."""
    most: int | None = None
    """Tokens of the answer."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    form: Form | None = None
    effort: str = ""
    """How much to think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`; empty when nothing is said."""
    verbosity: str = ""
    user: str = ""
    cache_key: str = ""
    stream: bool = False
    include_usage: bool = True
    """Whether the client of a stream wants to be told the usage."""


_LEFT_OUT: dict[Feature, dict[str, Any]] = {
    Feature.EFFORT: {"effort": ""},
    Feature.TEMPERATURE: {"temperature": None},
    Feature.TOP_P: {"top_p": None},
    Feature.TOP_K: {"top_k": None},
    Feature.SEED: {"seed": None},
    Feature.PENALTIES: {"frequency_penalty": None, "presence_penalty": None},
    Feature.VERBOSITY: {"verbosity": ""},
    Feature.CACHE_KEY: {"cache_key": ""},
    Feature.USER: {"user": ""},
    Feature.ONE_BY_ONE: {"parallel": True},
}


def without(conversation: Conversation, features: Iterable[Feature]) -> Conversation:
    """The conversation as if it had not asked for these."""
    changes = {name: value for feature in features for name, value in _LEFT_OUT.get(feature, {}).items()}
    return structs.replace(conversation, **changes) if changes else conversation


class Stop(StrEnum):
    """Why an answer ended."""

    END = "end"
    LENGTH = "length"
    CALLS = "calls"
    SEQUENCE = "sequence"
    FILTERED = "filtered"


class Reply(Struct, frozen=True):
    """A whole answer."""

    model: str
    parts: tuple[Text | Thinking | ToolUse, ...]
    stop: Stop
    usage: Usage | None


# A streamed answer, in the order in which it comes. A call is told when it is whole, since it is held until then anyway.


class Opened(Struct, frozen=True):
    model: str
    usage: Usage | None = None


class Said(Struct, frozen=True):
    text: str


class Thought(Struct, frozen=True):
    """A piece of thinking; with a proof it is the last."""

    text: str
    proof: str = ""
    sealed: bool = False


class Called(Struct, frozen=True):
    call: ToolUse


class Over(Struct, frozen=True):
    stop: Stop
    usage: Usage | None


StreamEvent = Opened | Said | Thought | Called | Over


class NotTranslatable(ValueError):
    """An answer says something that the client's wire has no word for; the message says what, in words of ours."""


def named(kind: object) -> str:
    """A provider's word for something, if it is one: whatever else it says there is not repeated."""
    return kind if isinstance(kind, str) and _WORD.fullmatch(kind) else "unknown"


FREE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as it is."}},
    "required": ["input"],
}
"""Of a tool that takes a text, told as a function."""
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def free_arguments(text: str) -> str:
    """The text that a tool took, as arguments of the function that it is told as."""
    return msgspec.json.encode({"input": text}).decode()


def free_text(arguments: str) -> str:
    """The text in such arguments; arguments that hold none are the text themselves."""
    try:
        read = msgspec.json.decode(arguments)
    except ValueError:
        return arguments
    said = read.get("input") if isinstance(read, dict) else None
    return said if isinstance(said, str) else arguments


def proof_written(origin: WireName | None, proof: str, native: WireName) -> str:
    """A proof as the client of the wire `native` keeps it for us: whose it is stands before those of others."""
    return proof if not proof or origin in (native, None) else f"{origin}:{proof}"


def proof_read(said: str, native: WireName) -> tuple[WireName, str]:
    """Whose proof it is, and the proof."""
    owner, colon, proof = said.partition(":")
    return (WireName(owner), proof) if colon and owner in _OWNERS else (native, said)


def document(media_type: str, data: str, name: str = "", *, mark: bool = False) -> File:
    """A document by its base64; of plain text, the text. Raises ValueError when it is none."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return File(kind, base64.b64decode(data, validate=True).decode("utf-8"), name, mark=mark)
    return File(kind, data, name, mark=mark)


def object_of(arguments: str) -> dict[str, Any]:
    """Arguments as the object that some wires want; what is none is carried within one."""
    try:
        read = msgspec.json.decode(arguments or "{}")
    except ValueError:
        return {"arguments": arguments}
    return read if isinstance(read, dict) else {"arguments": arguments}


def whole(call: ToolUse) -> None:
    """Raises Unsound when the arguments of a call are no object, as when the answer was cut within them."""
    try:
        read = msgspec.json.decode(call.arguments or "{}")
    except ValueError:
        raise Unsound("the arguments of a tool call are not whole") from None
    if not isinstance(read, dict):
        raise Unsound("the arguments of a tool call are no object")


def short(text: str) -> str:
    """A name of a user or a cache in the 64 letters that providers take; a longer one becomes its digest."""
    return text if len(text) <= 64 else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fitting_id(call_id: str) -> str:
    """The id of a call as every provider takes it: unchanged where it fits, else one that follows from it."""
    if _ID.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def merged(turns: list[tuple[Role, list[Part]]]) -> tuple[Turn, ...]:
    """Turns such that user and assistant take turns, and no turn is empty."""
    out: list[tuple[Role, list[Part]]] = []
    for role, parts in turns:
        if not parts:
            continue
        if out and out[-1][0] is role:
            out[-1][1].extend(parts)
        else:
            out.append((role, [*parts]))
    return tuple(Turn(role, tuple(parts)) for role, parts in out)
