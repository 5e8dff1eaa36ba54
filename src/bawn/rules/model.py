"""Rules as people write them: the `mitm` block, key for key as agents with rules of their own know it.

What goes beyond that is marked so in `docs/rules.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from bawn.config.patterns import sound
from bawn.config.section import Section
from bawn.errors import quoted
from bawn.rules.expression import expression
from bawn.rules.wording import LONGEST

MOST_RULES = 2000
_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
_Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_HEADER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_OURS = frozenset(("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"))
_Words = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


def _expression(source: str) -> str:
    sound(f"re:{source}")
    return source


class EventName(StrEnum):
    """What can happen, in the words of agents that have such hooks."""

    SESSION_CREATED = "session.created"
    SESSION_IDLE = "session.idle"
    SESSION_ERROR = "session.error"
    CHAT_MESSAGE = "chat.message"
    TOOL_BEFORE = "tool.execute.before"
    TOOL_AFTER = "tool.execute.after"
    SYSTEM = "chat.system.transform"

    @property
    def in_flight(self) -> bool:
        """Whether something can still be changed when it is told."""
        return self not in AFTER_THE_FACT


AFTER_THE_FACT = frozenset((EventName.SESSION_CREATED, EventName.SESSION_IDLE, EventName.SESSION_ERROR))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Written(Section):
    """Keys are written as the reference writes them: `toolName`, `cooldownMs`."""

    model_config = ConfigDict(alias_generator=_camel, populate_by_name=False, serialize_by_alias=True)


class Tag(_Written):
    """A label that sessions carry and rules ask for."""

    id: _Id
    label: str = Field(default="", max_length=200)
    color: str = Field(default="", max_length=40)


class Trigger(_Written):
    """When a rule fires: on this event, where all that is said fits."""

    event: EventName
    tags: tuple[_Id, ...] = Field(default=(), description="Sessions with one of these tags; none: all sessions.")
    tool_name: _Glob | None = Field(default=None, description="The tool, exact or with `*` and `?`.")
    role: Literal["user", "assistant"] | None = Field(default=None, description="Who said the message.")
    content_match: Annotated[str, AfterValidator(_expression)] | None = Field(
        default=None, description="RE2 expression that must be found in the text of the event."
    )
    containers: tuple[_Glob, ...] = Field(default=(), description="Names of containers; none: all.")
    projects: tuple[_Glob, ...] = Field(default=(), description="Names of projects; none: all.")
    roles: tuple[_Glob, ...] = Field(default=(), description="Roles of containers; none: all.")
    when: Annotated[str, StringConstraints(max_length=LONGEST)] | None = Field(
        default=None, description="A condition in CEL over `event`, asked last."
    )

    @field_validator("when")
    @classmethod
    def _can_be_asked(cls, value: str | None, info: ValidationInfo) -> str | None:
        event = info.data.get("event")
        if value is not None and event is not None:
            expression(value, event.value)
        return value

    @model_validator(mode="after")
    def _sensible(self) -> Trigger:
        if self.tool_name is not None and self.event not in (EventName.TOOL_BEFORE, EventName.TOOL_AFTER):
            raise ValueError("only events of tools have a toolName; leave it out")
        if self.role is not None and self.event is not EventName.CHAT_MESSAGE:
            raise ValueError("only chat.message has a role; leave it out")
        return self


class Shell(_Written):
    """Runs a command; what happened is in its environment (`MITM_…`) and on its standard input as JSON."""

    type: Literal["shell"]
    command: _Words
    timeout_seconds: float = Field(default=30, gt=0, le=600)
    host: bool = Field(default=False, description="On the host itself, outside of any box.")

    @field_validator("command")
    @classmethod
    def _words(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a command cannot have a zero byte")
        return value


class Webhook(_Written):
    """Sends what happened to an address."""

    type: Literal["webhook"]
    url: Annotated[str, StringConstraints(max_length=2000)]
    method: Literal["GET", "POST"] = "POST"
    headers: dict[str, Annotated[str, StringConstraints(max_length=4000)]] = Field(
        default_factory=dict, description="Beside those that are always sent.", max_length=32
    )

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            sound = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            sound = False
        plain = value.isascii() and value.isprintable() and not set(value) & set(' \\"<>')
        if not sound or not plain or "@" in urlsplit(value).netloc or "#" in value:
            raise ValueError("expected an address such as https://example.org/hook, without a user and a fragment")
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or not set(name.lower()) <= _HEADER:
                raise ValueError(f"{quoted(name)} cannot be the name of a header")
            if name.lower() in _OURS:
                raise ValueError(f"the header {quoted(name)} is ours to say; leave it out")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"the value of the header {quoted(name)} has characters that a header cannot have")
        return value


class Notification(_Written):
    """Tells the people who run the installation."""

    type: Literal["notification"]
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    body: str = Field(default="", max_length=4000)


class OnFailure(StrEnum):
    CLOSED = "closed"
    OPEN = "open"


class Message(_Written):
    """The model is told something, as if the user said it."""

    type: Literal["message"]
    content: _Words
    on_failure: OnFailure = OnFailure.CLOSED


class PromptInject(_Written):
    """Text before or behind the system text or what the user said."""

    type: Literal["prompt-inject"]
    content: _Words
    position: Literal["prepend", "append"] = "append"
    target: Literal["system", "user"] = "system"
    on_failure: OnFailure = OnFailure.CLOSED


class Block(_Written):
    """Refuses it, with the reason."""

    type: Literal["block"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Approve(_Written):
    """Asks a person."""

    type: Literal["approve"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


Action = Annotated[
    Shell | Webhook | Notification | Message | PromptInject | Block | Approve, Field(discriminator="type")
]
_CHANGING = (Message, PromptInject, Block, Approve)


class Rule(_Written):
    """One event, some filters, one action."""

    id: _Id
    name: str = Field(default="", max_length=200)
    enabled: bool = True
    description: str = Field(default="", max_length=2000)
    trigger: Trigger
    action: Action
    cooldown_ms: int = Field(default=0, ge=0, le=30 * 86_400_000, description="Per session, between two firings.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Of rewrites; the higher first.")
    dry_run: bool = Field(default=False, description="Only recorded.")

    @property
    def holds_back(self) -> bool:
        """Whether nothing goes on where this rule cannot do what it is there for."""
        if isinstance(self.action, Message | PromptInject):
            return not self.dry_run and self.action.on_failure is OnFailure.CLOSED
        return not self.dry_run and isinstance(self.action, Block | Approve)

    @model_validator(mode="after")
    def _can_be_done(self) -> Rule:
        event = self.trigger.event
        if isinstance(self.action, _CHANGING) and not event.in_flight:
            raise ValueError(f"{event.value} is told after the fact: {self.action.type!r} cannot change it")
        if isinstance(self.action, Approve) and event is not EventName.TOOL_BEFORE:
            raise ValueError("a person can be asked on tool.execute.before")
        return self


class Mitm(_Written):
    """The block as a whole."""

    tags: tuple[Tag, ...] = ()
    rules: tuple[Rule, ...] = Field(default=(), max_length=MOST_RULES)

    @model_validator(mode="after")
    def _agree(self) -> Mitm:
        wrong = [
            *_twice("tags", "tag", [tag.id for tag in self.tags]),
            *_twice("rules", "rule", [rule.id for rule in self.rules]),
            *self._unknown(),
        ]
        if wrong:
            raise ValidationError.from_exception_data("mitm", wrong)
        return self

    def on_host(self) -> Iterable[InitErrorDetails]:
        """A mistake for each command that is to run on the host; for files where nobody is named as whom it may."""
        sentence = (
            "commands run on the host only as the user whom `rules.host_user` of bawn.yaml names, and it names none"
        )
        for at, rule in enumerate(self.rules):
            if isinstance(rule.action, Shell) and rule.action.host:
                yield _wrong(
                    ("rules", at, "action", "host"),
                    True,
                    f"{sentence}; take `host` out, or name the user and restart Bawn",
                )

    def _unknown(self) -> Iterable[InitErrorDetails]:
        known = {tag.id for tag in self.tags}
        for at, rule in enumerate(self.rules):
            for number, tag in enumerate(rule.trigger.tags):
                if known and tag not in known:
                    yield _wrong(("rules", at, "trigger", "tags", number), tag, "this tag is not among `tags`")


def _twice(key: str, kind: str, names: list[str]) -> Iterable[InitErrorDetails]:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            yield _wrong((key, at, "id"), name, f"this {kind} is there twice; give each its own id")
        seen.add(name)


def _wrong(place: tuple[str | int, ...], got: str | bool, sentence: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("rules", "{sentence}", {"sentence": sentence}), loc=place, input=got
    )
