"""The script: which scene is played for which request, as people write it in YAML.

A scene is chosen by the first `when` that fits, from top to bottom, the user's own files before the
built-in ones. Unknown keys are refused: a misspelt condition would otherwise fit everything.
Nothing here speaks HTTP; the wire's own form is given in the modules named `…_shape`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bawn.errors import Fault


class TroubleKind(StrEnum):
    """Every way in which a provider's answer can be wrong; `fault-<name>` as a model plays it."""

    STATUS = "status"
    CLOSE_BEFORE_HEADERS = "close-before-headers"
    CLOSE_AFTER_HEADERS = "close-after-headers"
    CLOSE_MID_STREAM = "close-mid-stream"
    RESET_MID_STREAM = "reset-mid-stream"
    TRUNCATED = "truncated"
    """The HTTP body ends properly, the wire's stream does not."""
    STALL_BEFORE_HEADERS = "stall-before-headers"
    STALL_AFTER_HEADERS = "stall-after-headers"
    STALL_MID_STREAM = "stall-mid-stream"
    HTML = "html"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    EMPTY_BODY = "empty-body"
    CONTENT_LENGTH_TOO_LONG = "content-length-too-long"
    CONTENT_LENGTH_TOO_SHORT = "content-length-too-short"
    TWO_DOCUMENTS = "two-documents"
    TRUNCATED_JSON = "truncated-json"
    BAD_CHUNKING = "bad-chunking"
    BAD_STATUS_LINE = "bad-status-line"
    HUGE_HEADERS = "huge-headers"
    GARBAGE_FRAME = "garbage-frame"
    DUPLICATE_KEYS = "duplicate-keys"
    ERROR_EVENT = "error-event"
    ECHO_AUTHORIZATION = "echo-authorization"
    GZIP = "gzip"
    ENDLESS = "endless"
    TOOL_CUT = "tool-cut"
    HUGE_FRAME = "huge-frame"
    REDIRECT = "redirect"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Part):
    """The conditions of a scene; all that are given must hold, and none given fits every request."""

    model: str | None = None
    """The model's name, with `*` and `?` as wildcards; `scripted/` in front is ignored."""
    contains: str | None = None
    """Stands in the last message of the user."""
    matches: Pattern | None = None
    """A regular expression found in the last message of the user; its named groups become templates."""
    system_contains: str | None = None
    tool_results: bool | None = None
    """Whether the request brings results of tools called since the user's last message."""
    last_tool: str | None = None
    """The name of the tool whose result came last."""
    result_contains: str | None = None
    """Stands in the result that came last."""
    offers: tuple[str, ...] = ()
    """Names of tools, all of which the request offers."""
    offers_nothing: bool | None = None
    """True when the request offers no tool at all, as the calls do by which agents make a title."""
    turn: int | None = Field(default=None, ge=1)
    """1 for the first answer of the conversation."""
    step: int | None = Field(default=None, ge=1)
    """1 for the first answer since the user's last message."""


class ToolUse(_Part):
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    arguments_raw: str | None = None
    """Sent as it stands instead of `arguments`, for arguments that are no JSON."""
    id: str | None = None


class Tokens(_Part):
    """Usage as the provider would report it; what is not given is counted from the texts."""

    input: int | None = Field(default=None, ge=0)
    output: int | None = Field(default=None, ge=0)
    cached: int = Field(default=0, ge=0)
    cache_write: int = Field(default=0, ge=0)
    reasoning: int = Field(default=0, ge=0)


class Trouble(_Part):
    kind: TroubleKind
    status: int = Field(default=500, ge=300, le=599)
    retry_after_s: int | None = Field(default=None, ge=0)
    message: str = "The scripted provider was told to fail."
    after_frames: int = Field(default=3, ge=0)
    """How many frames of a stream go out before it goes wrong."""
    size_bytes: int = Field(default=1_000_000, ge=1)
    """How large the huge frame is."""


class Reply(_Part):
    text: str = ""
    thinking: str = ""
    tools: tuple[ToolUse, ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    """Items in the wire's own form, said before the text as they stand: what no other wire has a word for."""
    numbered: int = Field(default=0, ge=0)
    """This many tokens `t0 t1 t2 …` after the text, so that a reader can tell whether one was lost."""
    find: dict[str, Pattern] = Field(default_factory=dict)
    """Template name → regular expression over the whole conversation; group 1 of its last match is put in."""
    usage: Tokens = Tokens()
    first_byte_s: float = Field(default=0, ge=0)
    """Waited before the status line."""
    first_token_s: float = Field(default=0, ge=0)
    """Waited between the headers and the first frame of a stream."""
    per_token_s: float = Field(default=0, ge=0)
    chunk: int = Field(default=0, ge=0)
    """Characters in one frame of a stream; 0 means a word."""
    stop: str | None = None
    """The stop reason in the words of the client's wire, instead of the usual one."""
    fault: Trouble | None = None


class Scene(_Part):
    when: When = When()
    reply: Reply


class Script(_Part):
    models: tuple[str, ...] = ()
    """What `GET /models` lists."""
    keys: tuple[str, ...] = ()
    """The keys this provider accepts; with none given it asks for none."""
    scenes: tuple[Scene, ...] = ()

    def followed_by(self, other: Script) -> Script:
        return Script(
            models=self.models + tuple(name for name in other.models if name not in self.models),
            keys=self.keys + other.keys,
            scenes=self.scenes + other.scenes,
        )


def parse(text: str, name: str) -> Script:
    """The script that `text` says; a `Fault` names the place of what does not fit."""
    try:
        return Script.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise Fault("config.invalid", f"{name} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Fault("config.invalid", f"{name}: {place}: {first['msg']}") from error


def load(path: Path) -> Script:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise Fault("config.unreadable", f"{path.name} cannot be read: {error.strerror}") from error
    return parse(text, path.name)


def built_in() -> Script:
    """The scripts that come with Bawn, and one model for every kind of trouble."""
    whole = Script()
    for entry in sorted((files("bawn.inference") / "scripts").iterdir(), key=lambda entry: entry.name):
        whole = whole.followed_by(parse(entry.read_text("utf-8"), entry.name))
    return whole.followed_by(Script(scenes=_troubles()))


STATUSES = (400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 529)


def _troubles() -> tuple[Scene, ...]:
    text = "one two three four five six seven eight"
    tool = ToolUse(name="bash", arguments={"command": "echo whole", "description": "say that the call came whole"})
    by_status = {
        f"fault-{status}": Trouble(
            kind=TroubleKind.STATUS, status=status, retry_after_s=7 if status in {429, 503, 529} else None
        )
        for status in STATUSES
    }
    by_kind = {f"fault-{kind}": Trouble(kind=kind) for kind in TroubleKind if kind is not TroubleKind.STATUS}
    return tuple(
        Scene(
            when=When(model=model),
            reply=Reply(text=text, tools=(tool,) if trouble.kind is TroubleKind.TOOL_CUT else (), fault=trouble),
        )
        for model, trouble in (by_status | by_kind).items()
    )
