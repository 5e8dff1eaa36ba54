"""Which rules fire on what happened: compiled once, one pass over the text for all patterns.

Content patterns of all rules of an event are one set of RE2, which reads the text once however many there are. Rules
without one are found by their tool's name. So what a decision costs hardly depends on how many rules there are.

Of a result whose call nobody knows, the tool is not known either: rules that refuse take it for theirs, others do not.

A set that runs out of memory says that nothing was found, which would let everything pass. So each set holds one more
expression that is always found; where it is not, the patterns are asked one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import re2

from bawn.config.patterns import Pattern, read, seen
from bawn.errors import Fault
from bawn.rules.condition import Condition
from bawn.rules.expression import Undecided
from bawn.rules.happening import Happening
from bawn.rules.model import Block, EventName, Rule, Trigger

_SET_BYTES = 256 * 2**20
"""What one set may take at most; it takes what its patterns need."""
_GLOB = frozenset("*?")


def _name(name: str) -> str:
    """As names are compared: `Bash` of one agent is `bash` of another."""
    return seen(name).casefold()


class _Names:
    """Names and globs, of which one has to fit."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = tuple(_name(each) for each in patterns)
        self._exact = frozenset(each for each in listed if not set(each) & _GLOB)
        self._globs = tuple(Pattern(each) for each in listed if each not in self._exact)

    def fit(self, name: str) -> bool:
        plain = _name(name)
        return plain in self._exact or any(glob.found(plain) for glob in self._globs)


class _Set:
    """Expressions that are looked for at once."""

    __slots__ = ("_always", "_one_by_one", "_set")

    def __init__(self, expressions: Sequence[str]) -> None:
        options = re2.Options()
        options.max_mem = _SET_BYTES
        options.dot_nl = True
        options.log_errors = False
        self._set: Any = re2.Set.SearchSet(options)
        for expression in expressions:
            self._set.Add(expression)
        self._always = self._set.Add(r"\A")
        try:
            self._set.Compile()
        except re2.error:
            self._set = None
        self._one_by_one = tuple(Pattern(f"re:{expression}") for expression in expressions)

    def found(self, text: str) -> set[int]:
        """Which of them are found in any reading of the text."""
        hits: set[int] = set()
        for reading in read(text):
            found: Sequence[int] = (self._set.Match(reading) or ()) if self._set is not None else ()
            if len(found) == 1 and found[0] == self._always:
                continue
            if self._always not in found:
                found = [at for at, each in enumerate(self._one_by_one) if each.found((reading,))]
            hits.update(found)
        hits.discard(self._always)
        return hits


class Candidate:
    """A rule, made ready to be held against what happened."""

    __slots__ = ("_containers", "_projects", "_role", "_roles", "_tags", "_tool", "at", "condition", "refuses", "rule")

    def __init__(self, at: int, rule: Rule) -> None:
        trigger: Trigger = rule.trigger
        self.at = at
        self.rule = rule
        self.refuses = isinstance(rule.action, Block) and not rule.dry_run
        self._tags = frozenset(trigger.tags)
        self._tool = _Names((trigger.tool_name,)) if trigger.tool_name else None
        self._role = trigger.role
        self._containers = _Names(trigger.containers) if trigger.containers else None
        self._projects = _Names(trigger.projects) if trigger.projects else None
        self._roles = _Names(trigger.roles) if trigger.roles else None
        self.condition = Condition(trigger.when, trigger.event.value) if trigger.when is not None else None

    def fits(self, happened: Happening) -> bool:
        return (
            (not self._tags or not self._tags.isdisjoint(happened.tags))
            and (self._tool is None or self._tool.fit(happened.tool) or (self.refuses and not happened.tool))
            and (self._role is None or self._role == happened.role)
            and (self._containers is None or self._containers.fit(happened.container))
            and (self._projects is None or self._projects.fit(happened.project))
            and (self._roles is None or self._roles.fit(happened.container_role))
        )


class _OfEvent:
    """The rules of one event."""

    __slots__ = ("_by_tool", "_patterns", "_plain", "_refusing", "_set")

    def __init__(self, rules: Sequence[Candidate]) -> None:
        self._patterns: list[Candidate] = []
        self._plain: list[Candidate] = []
        self._by_tool: dict[str, list[Candidate]] = {}
        self._refusing: list[Candidate] = []
        for each in rules:
            trigger = each.rule.trigger
            if trigger.content_match is not None:
                self._patterns.append(each)
            elif trigger.tool_name and not set(trigger.tool_name) & _GLOB:
                self._by_tool.setdefault(_name(trigger.tool_name), []).append(each)
                if each.refuses:
                    self._refusing.append(each)
            else:
                self._plain.append(each)
        self._set = _Set([str(each.rule.trigger.content_match) for each in self._patterns]) if self._patterns else None

    def candidates(self, text: str, tool: str) -> list[Candidate]:
        found = list(self._plain)
        if self._by_tool:
            found += self._by_tool.get(_name(tool), ()) if tool else self._refusing
        if self._set is not None:
            found += [self._patterns[hit] for hit in self._set.found(text)]
        return found


class RuleSet:
    """The rules of one configuration; replaced as a whole on reload."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        enabled = [Candidate(at, rule) for at, rule in enumerate(rules) if rule.enabled]
        self._events = {
            event: _OfEvent([each for each in enabled if each.rule.trigger.event is event])
            for event in EventName
            if any(each.rule.trigger.event is event for each in enabled)
        }
        self.rules = tuple(each.rule for each in enabled)
        self.by_id = {rule.id: rule for rule in self.rules}
        self.conditional = any(rule.trigger.when is not None for rule in self.rules)
        """Whether any rule has a condition."""
        self._order = {rule.id: (-rule.priority, at) for at, rule in enumerate(self.rules)}

    def order(self, rule: str) -> tuple[int, int]:
        """By which rewrites are sorted: those with higher priority first, then as they are written."""
        found = self._order.get(rule)
        return found if found is not None else (0, len(self.rules))

    def listens(self, event: EventName) -> bool:
        """Whether any rule could fire on such events."""
        return event in self._events

    def candidates(self, event: EventName, text: str, tool: str) -> list[Candidate]:
        """The rules that may fire, as far as text and tool tell; mostly none, and then nothing else need be known."""
        of_event = self._events.get(event)
        return of_event.candidates(text, tool) if of_event is not None else []

    def fired(self, happened: Happening, candidates: Sequence[Candidate] | None = None) -> list[Rule]:
        """The rules that fire, those with higher priority first, then in their order; cooldowns are the caller's.
        `candidates`: of this very event, where they are found already. Fault `rule.failed` where a condition fails."""
        fired, failed = self.held(happened, candidates)
        for rule, because in failed:
            raise unsure(rule, because)
        return fired

    def held(
        self, happened: Happening, candidates: Sequence[Candidate] | None = None
    ) -> tuple[list[Rule], Sequence[tuple[Rule, str]]]:
        """As `fired`; and the rules of which it is not known, since their condition could not be told, each with why."""
        if candidates is None:
            candidates = self.candidates(happened.event, happened.text, happened.tool)
        found = [each for each in candidates if each.fits(happened)]
        failed: Sequence[tuple[Rule, str]] = ()
        if self.conditional:
            found, failed = _met(found, happened)
        if len(found) > 1:
            found.sort(key=lambda each: (-each.rule.priority, each.at))
        return [each.rule for each in found], failed


def unsure(rule: Rule, because: str) -> Fault:
    return Fault("rule.failed", "The condition of a rule cannot be told.", cause=f"rule {rule.id}: {because}")


def _met(found: Iterable[Candidate], happened: Happening) -> tuple[list[Candidate], list[tuple[Rule, str]]]:
    """Those whose condition holds, and the rules whose condition cannot be told."""
    met: list[Candidate] = []
    failed: list[tuple[Rule, str]] = []
    for each in found:
        try:
            if each.condition is None or each.condition.holds(happened):
                met.append(each)
        except Undecided as error:
            failed.append((each.rule, str(error)))
    return met, failed
