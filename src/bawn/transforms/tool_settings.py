"""What the operator may say about tool calls, rule by rule."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from bawn.config.patterns import sound
from bawn.config.section import Section
from bawn.transforms.argument_paths import argument_path, sound_path
from bawn.transforms.folders import sound_folder

PatternText = Annotated[str, AfterValidator(sound)]


def _some(given: tuple[str, ...]) -> tuple[str, ...]:
    """After each was read, so that one that is wrong is told once."""
    if not given:
        raise ValueError("expected 1 or more")
    return given


Patterns = Annotated[tuple[PatternText, ...], AfterValidator(_some)]
PathText = Annotated[str, AfterValidator(sound_path)]


class Action(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    CONFIRM = "confirm"
    RENAME = "rename"
    SET = "set"
    PREFIX = "prefix"
    REPLACE = "replace"


class Default(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    CONFIRM = "confirm"


_FIELDS: dict[Action, tuple[frozenset[str], frozenset[str]]] = {
    # which fields an action needs, and which it may have besides
    Action.ALLOW: (frozenset(), frozenset()),
    Action.DENY: (frozenset(), frozenset()),
    Action.CONFIRM: (frozenset(), frozenset()),
    Action.RENAME: (frozenset({"to"}), frozenset({"arguments", "keep"})),
    Action.SET: (frozenset({"argument", "value"}), frozenset()),
    Action.PREFIX: (frozenset({"argument", "value"}), frozenset()),
    Action.REPLACE: (frozenset({"argument", "pattern", "value"}), frozenset()),
}
_OF_ACTIONS = frozenset({"to", "arguments", "keep", "argument", "pattern", "value"})


class ToolRule(Section):
    """One rule: for which calls, and what becomes of them."""

    name: str = Field(default="", max_length=100, description="For records and for the model; empty: its place.")
    tools: Patterns = Field(description="Names of tools: exact, with `*` and `?`, or `re:` and an RE2 expression.")
    containers: Patterns = Field(default=("*",), description="Names of containers, by the same patterns.")
    when: dict[PathText, PatternText] = Field(
        default_factory=dict,
        description="Argument (`path`, `options.cwd`, `edits[*].path`, `**` for any) → pattern; all must fit.",
    )
    text: PatternText | None = Field(
        default=None, description="A pattern for everything the call says; what tools that take a text are known by."
    )
    action: Action = Field(
        description="`allow`, `deny`, `confirm` (a person is asked), `rename`, `set`, `prefix` or `replace`."
    )
    reason: str = Field(default="", max_length=500, description="Told to the model and to whoever is asked.")
    to: str = Field(default="", max_length=128, description="`rename`: the other tool.")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="`rename`: arguments to add. In texts `{path}` is an argument of the call, `{$tool}` its name, "
        "`{$arguments}` all of them, `{$text}` the text, `{$reason}` the reason.",
    )
    keep: bool = Field(default=True, description="`rename`: whether the call's own arguments stay.")
    argument: PathText = Field(default="**", description="`set`, `prefix`, `replace`: which argument.")
    pattern: PatternText | None = Field(default=None, description="`replace`: what is replaced in it.")
    value: Any = Field(
        default=None,
        description="`set`: the value; `prefix`: the folder that paths are kept in; `replace`: the text instead.",
    )

    @model_validator(mode="after")
    def _fits_its_action(self) -> ToolRule:
        needed, possible = _FIELDS[self.action]
        said = self.model_fields_set & _OF_ACTIONS
        if missing := sorted(needed - said):
            raise ValueError(f"the action `{self.action}` needs `{missing[0]}`")
        if foreign := sorted(said - needed - possible):
            raise ValueError(f"the action `{self.action}` has no `{foreign[0]}`")
        if self.action is Action.RENAME and not self.to:
            raise ValueError("the action `rename` needs the name of the other tool in `to`")
        if self.action is Action.SET and not argument_path(self.argument).single:
            raise ValueError("`set` needs one place, without `*` and numbers in `argument`")
        if self.action in (Action.PREFIX, Action.REPLACE):
            if self.argument == "**" and self.action is Action.PREFIX:
                raise ValueError("`prefix` needs the argument that is a path; not every text is one")
            if not isinstance(self.value, str):
                raise ValueError(f"`value` of the action `{self.action}` is a text")
        if self.action is Action.PREFIX:
            sound_folder(self.value)
        return self


class Tools(Section):
    """Which tool calls pass, and in which form."""

    default: Default = Field(
        default=Default.ALLOW, description="What becomes of calls that no rule is about: `allow`, `deny` or `confirm`."
    )
    rules: tuple[ToolRule, ...] = Field(
        default=(), description="All that fit hold: the strictest decides, changes are made in their order."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Tools:
        if not self.rules and self.default is Default.ALLOW:
            raise ValueError("without rules nothing is decided here; leave `tools` out or write a rule")
        return self
