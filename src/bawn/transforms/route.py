"""Which model answers, by rules over what is asked and who asks: the first rule that fits, else the default, else the model
that was asked for.

A rule fits when everything that it names does; a rule that names nothing is refused, since it would always fit, and that is
what the default is for. Size in words, code, steps and keywords are those of what the user asked last, so that all rounds
of tools of a turn go to one model. The estimate in tokens is of the whole request, which grows. Permissions judge the model
that comes out as if it had been asked for.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from bawn.config.patterns import Pattern, sound
from bawn.config.section import Section
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.exchange import Endpoint
from bawn.transforms.counts import Counts
from bawn.transforms.dedupe import BYTES_A_TOKEN
from bawn.transforms.fences import fences
from bawn.transforms.last_asked import last_asked

PatternText = Annotated[str, AfterValidator(sound)]
Count = Annotated[int, Field(ge=0, le=10**9)]

_CODE = re.compile(
    r"`[^`\n]+`"
    r"|^[ \t]*(?:def|class|async def|function|func|fn|import|const|let|var|public|private|package|use|struct|enum|interface"
    r"|#include|#!/)\b.*|^from \S+ import "
    r"|^[ \t]*(?:if|for|while|switch) ?\([^\n]*\)[ \t]*(?:\{[ \t]*)?$"
    r"|[;{}]$|=>|->|::|\w\(\w*\)|</\w+>|\bTraceback \(most recent|^[ \t]+at [\w$.<>]+\(",
    re.MULTILINE,
)
_STEPS = re.compile(
    r"\b(?:step by step|step \d|first(?:ly)?\b[^.?!\n]{0,80}[,;] ?(?:and )?then|and then|after that|afterwards|finally|workflow"
    r"|once (?:that|this) is done)\b",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^[ \t]{0,6}(?:\d{1,2}[.)]|[-*+])[ \t]+\S", re.MULTILINE)
_LOOKED_AT = 100_000
"""Characters of a text that are looked at for code, steps and keywords."""


def _keyword(source: str) -> str:
    Pattern(_whole_words(source))
    return source


def _whole_words(source: str) -> str:
    """A plain word as an expression that finds it as a word, in any case; an expression as it is."""
    if source.startswith("re:"):
        return source
    letters = "".join(
        each if each.isalnum() or each in " _" else f"\\{each}" if each.isascii() else each for each in source
    )
    return rf"re:(?i)(?:\A|[^\pL\pN_])(?:{letters})(?:\z|[^\pL\pN_])" if source.strip() else ""


Keyword = Annotated[str, AfterValidator(_keyword)]
Target = Annotated[str, Field(min_length=1, max_length=200)]


class RouteRule(Section):
    """One rule: what has to fit, and the model that answers then."""

    model: Target = Field(description="`provider/model`, or an alias.")
    name: str = Field(default="", max_length=100, description="For records; empty: the rule's place, counted from 1.")
    words_over: Count | None = Field(default=None, description="What the user asked last has more words than this.")
    words_under: Count | None = Field(default=None, description="It has fewer words than this.")
    tokens_over: Count | None = Field(
        default=None, description="The request is larger than this: bytes divided by four."
    )
    tokens_under: Count | None = Field(default=None, description="The request is smaller than this.")
    code: bool | None = Field(default=None, description="Whether there is code in what the user asked last.")
    steps: bool | None = Field(
        default=None, description="Whether it asks for several steps: a list, or words such as `and then`, `finally`."
    )
    keywords: tuple[Keyword, ...] = Field(
        default=(), description="One of these is in it: words as they are, in any case, or `re:` and an RE2 expression."
    )
    tools: bool | None = Field(default=None, description="Whether tools are offered to the model.")
    models: tuple[PatternText, ...] = Field(
        default=(), description="The model that was asked for is one of these: exact, with `*` and `?`, or `re:`."
    )
    environments: tuple[str, ...] = Field(default=(), description="The container is of one of these environments.")
    containers: tuple[PatternText, ...] = Field(default=(), description="The container's name is one of these.")
    projects: tuple[PatternText, ...] = Field(default=(), description="Its project is one of these.")
    endpoints: tuple[Endpoint, ...] = Field(default=(), description="What is called, e.g. `chat/completions`.")
    stream: bool | None = Field(default=None, description="Whether the answer is to be a stream.")

    @model_validator(mode="after")
    def _names_something(self) -> RouteRule:
        if not any(
            getattr(self, name) not in (None, ()) for name in type(self).model_fields if name not in ("model", "name")
        ):
            raise ValueError("the rule names nothing that has to fit; write its model as `default` instead")
        return self


class Route(Section):
    """The model by what is asked."""

    rules: tuple[RouteRule, ...] = Field(default=(), description="In their order; the first that fits decides.")
    default: Target | None = Field(default=None, description="Where no rule fits; none: the model that was asked for.")
    environments: dict[str, tuple[PatternText, ...]] = Field(
        default_factory=dict, description="Name → the containers of that environment, by patterns as in a rule."
    )

    @model_validator(mode="after")
    def _environments_are_known(self) -> Route:
        for number, rule in enumerate(self.rules):
            for name in rule.environments:
                if name not in self.environments:
                    raise ValueError(
                        f"rules[{number}] names the environment {name!r}, which `environments` does not have"
                    )
        return self

    def targets(self) -> dict[str, str]:
        """All models that can come out, by their place in the section."""
        found = {f"rules[{number}].model": rule.model for number, rule in enumerate(self.rules)}
        return found | ({"default": self.default} if self.default else {})


class Routing:
    """The stage."""

    name = "route"

    def __init__(self, settings: Route, counts: Counts | None = None) -> None:
        self._default = settings.default
        environments = {name: _patterns(names) for name, names in settings.environments.items()}
        self._rules = tuple(
            _Rule(rule, rule.name or str(number), environments) for number, rule in enumerate(settings.rules, 1)
        )
        self.counts = counts or Counts()

    async def request(self, asked: Asked) -> Given | None:
        document = asked.document
        if document is None:
            return None
        facts = _Facts(asked)
        rule = next((rule for rule in self._rules if rule.fits(facts)), None)
        model = rule.model if rule else self._default
        if model is None:
            return None
        by = rule.name if rule else "default"
        asked.notes += (("route.rule", by), ("route.asked_for", document.model), ("route.model", model))
        self.counts.add(f"rule:{by}")
        document.set_model(model)
        return None

    def view(self, asked: Asked) -> View | None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        return None


class _Facts:
    """What rules look at, found when a rule first asks for it."""

    def __init__(self, asked: Asked) -> None:
        assert asked.document is not None
        self.asked = asked
        self.document = asked.document
        self._text: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            last = last_asked(self.document)
            self._text = last.text[:_LOOKED_AT] if last else ""
        return self._text

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def tokens(self) -> int:
        return len(self.asked.exchange.body) // BYTES_A_TOKEN

    @property
    def code(self) -> bool:
        return has_code(self.text)

    @property
    def steps(self) -> bool:
        return has_steps(self.text)


class _Rule:
    """A rule, made ready."""

    def __init__(self, rule: RouteRule, name: str, environments: dict[str, tuple[Pattern, ...]]) -> None:
        self.model, self.name = rule.model, name
        self._rule = rule
        self._keywords = tuple(Pattern(_whole_words(word)) for word in rule.keywords)
        self._models, self._containers, self._projects = map(_patterns, (rule.models, rule.containers, rule.projects))
        self._environments = tuple(pattern for each in rule.environments for pattern in environments[each])

    def fits(self, facts: _Facts) -> bool:
        """What costs nothing is looked at first."""
        rule, asked = self._rule, facts.asked
        return (
            (rule.stream is None or rule.stream == asked.exchange.stream)
            and (not rule.endpoints or asked.exchange.endpoint in rule.endpoints)
            and _fits(self._containers, rule.containers, asked.container.name)
            and _fits(self._projects, rule.projects, asked.container.project)
            and _fits(self._environments, rule.environments, asked.container.name)
            and _fits(self._models, rule.models, facts.document.model)
            and (rule.tools is None or rule.tools == bool(asked.exchange.tools))
            and _between(rule.tokens_over, rule.tokens_under, facts, "tokens")
            and _between(rule.words_over, rule.words_under, facts, "words")
            and (rule.code is None or rule.code == facts.code)
            and (rule.steps is None or rule.steps == facts.steps)
            and (not self._keywords or any(word.found(facts.text) for word in self._keywords))
        )


def has_code(text: str) -> bool:
    """Whether a text looks as if there were code in it."""
    return bool(fences(text)) or _CODE.search(text) is not None


def has_steps(text: str) -> bool:
    """Whether a text asks for several things, one after another."""
    return len(_LISTED.findall(text)) > 1 or _STEPS.search(text) is not None


def _patterns(sources: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, sources))


def _fits(patterns: tuple[Pattern, ...], named: tuple[str, ...], value: str) -> bool:
    """An environment without containers is named, and nothing is in it."""
    return not named or any(pattern.fits(value) for pattern in patterns)


def _between(over: int | None, under: int | None, facts: _Facts, name: str) -> bool:
    if over is None and under is None:
        return True
    number: int = getattr(facts, name)
    return (over is None or number > over) and (under is None or number < under)
