"""Notices to people when a call passes a threshold: tokens, cost, time, length of code, or an error.

Looked at is each call by itself, when it has ended, however it did. One rule speaks of one container once in its time of
rest, so a loop of an agent is one notice and not a thousand; how many were kept back is told with the next one. Notices
hold figures and names, never prompts, answers or secrets.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field, model_validator

from bawn.config.patterns import Pattern
from bawn.config.section import Section
from bawn.notify.notice import Notice, Priority
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import WireName
from bawn.terms.principal import Container
from bawn.transforms.collecting import Collected
from bawn.transforms.counts import Counts
from bawn.transforms.enhance import code_length
from bawn.transforms.questions import CONVERSATIONS
from bawn.transforms.tool_settings import Patterns
from bawn.wire.editing import Answers

ERRORS = frozenset({"upstream_error", "cut", "revoked"})
"""Outcomes that are errors; a refusal is the wall at work, and a client that left has its reasons."""
_REMEMBERED = 10_000
_CODE_BYTES = 2 * 2**20


class AlertRule(Section):
    """When somebody is told."""

    name: str = Field(default="", max_length=100, description="Stands in the title; empty: what was passed.")
    containers: Patterns = Field(default=("*",), description="For whose calls.")
    tokens: int | None = Field(default=None, ge=0, description="Input and output tokens of a call, more than this.")
    usd: float | None = Field(default=None, ge=0, description="US dollars of a call, more than this.")
    seconds: float | None = Field(default=None, ge=0, description="Time of a call, longer than this.")
    code_characters: int | None = Field(
        default=None, ge=0, description="Code between fences in an answer, more than this."
    )
    errors: bool = Field(default=False, description="Calls that end in an error of the provider, or cut.")
    refusals: bool = Field(default=False, description="Calls that are refused.")
    priority: Priority = Field(default=Priority.NORMAL, description="`low`, `normal`, `high` or `urgent`.")
    rest_seconds: float = Field(default=300, ge=0, le=7 * 86400, description="Time between two notices of a container.")

    @model_validator(mode="after")
    def _about_something(self) -> AlertRule:
        if not (self.errors or self.refusals or any(value is not None for value in self.thresholds())):
            raise ValueError("a rule needs one of `tokens`, `usd`, `seconds`, `code_characters`, `errors`, `refusals`")
        return self

    def thresholds(self) -> tuple[float | None, ...]:
        return self.tokens, self.usd, self.seconds, self.code_characters


class Alert(Section):
    """Notices about calls."""

    rules: tuple[AlertRule, ...] = Field(min_length=1, description="Each by itself.")


class AlertStage:
    name = "alert"

    def __init__(
        self,
        settings: Alert,
        notify: Callable[[Notice, Container], None],
        answers: Callable[[WireName], Answers],
        clock: Clock,
        counts: Counts,
        told: dict[tuple[str, str], tuple[float, int]] | None = None,
    ) -> None:
        """`told`: when a rule last spoke of a container, and what it kept back since; given over from the stage before a
        reload."""
        self._rules = [(rule, [Pattern(each) for each in rule.containers]) for rule in settings.rules]
        self._notify = notify
        self._answers = answers
        self._clock = clock
        self.counts = counts
        self._told = told if told is not None else {}
        self._code = any(rule.code_characters is not None for rule in settings.rules)
        self._seen: dict[str, Collected] = {}

    async def request(self, asked: Asked) -> Given | None:
        return None

    def view(self, asked: Asked) -> View | None:
        if not self._code or asked.exchange.endpoint not in CONVERSATIONS:
            return None
        self._seen[asked.call] = seen = Collected(_CODE_BYTES)
        return seen

    def over(self, asked: Asked, ending: Ending) -> None:
        seen = self._seen.pop(asked.call, None)
        container = asked.container
        code: int | None = None
        for number, (rule, containers) in enumerate(self._rules):
            if not any(each.fits(container.name) for each in containers):
                continue
            if rule.code_characters is not None and code is None:
                code = self._code_of(asked, seen)
            passed = _passed(rule, ending, code or 0)
            if passed:
                self._tell(f"{number}:{rule.name}", rule, asked, ending, passed)

    def _code_of(self, asked: Asked, seen: Collected | None) -> int:
        exchange = asked.exchange
        told = seen.said(self._answers(exchange.wire), exchange.endpoint) if seen is not None else None
        return code_length(told.text) if told is not None else 0

    def _tell(self, key: str, rule: AlertRule, asked: Asked, ending: Ending, passed: list[tuple[str, str]]) -> None:
        now = self._clock.monotonic()
        container = asked.container
        last, kept_back = self._told.get((key, container.uuid), (float("-inf"), 0))
        if now - last < rule.rest_seconds:
            self._told[key, container.uuid] = (last, kept_back + 1)
            self.counts.add("kept_back")
            return
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[key, container.uuid] = (now, 0)
        self.counts.add("told")
        title, icon = rule.name or passed[0][0], "warning" if ending.outcome != "ok" else "info"
        sentences = [f"{container.name}: {sentence}." for _, sentence in passed]
        sentences.append(f"Model {ending.model or asked.exchange.model or 'unknown'}, call {asked.call}.")
        if kept_back:
            sentences.append(f"{kept_back} more since the last notice.")
        self._notify(Notice(title, " ".join(sentences), rule.priority, icon), container)


def _passed(rule: AlertRule, ending: Ending, code: int) -> list[tuple[str, str]]:
    """What of a rule the call passed: a title and a sentence each."""
    usage = ending.usage
    tokens = usage.input_tokens + usage.output_tokens if usage is not None else 0
    found: list[tuple[str, str]] = []
    if rule.errors and (ending.outcome in ERRORS or ending.status >= 500):
        found.append(("AI request failed", f"a call ended with {ending.outcome} and status {ending.status}"))
    if rule.refusals and ending.outcome == "refused":
        found.append(("AI request refused", f"a call was refused with status {ending.status}"))
    if rule.tokens is not None and tokens > rule.tokens:
        found.append(("High token usage", f"a call used {tokens} tokens"))
    if rule.usd is not None and (ending.cost_usd or 0) > rule.usd:
        found.append(("High cost", f"a call cost {ending.cost_usd:.4f} US dollars"))
    if rule.seconds is not None and ending.total_ms > rule.seconds * 1000:
        found.append(("Slow answer", f"a call took {ending.total_ms / 1000:.1f} seconds"))
    if rule.code_characters is not None and code > rule.code_characters:
        found.append(("AI generated code", f"an answer holds {code} characters of code"))
    return found
