"""Which rules fire on what happened: compiled once, one pass over the text for all patterns.

Content patterns of all rules of an event are one set of RE2, which reads the text once however many there are. Rules
without one are found by their tool's name. So what a decision costs hardly depends on how many rules there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import translate

import re2

from bawn.config.patterns import readings
from bawn.rules.happening import Happening
from bawn.rules.model import EventName, Rule, Trigger


class _Names:
    """Names and globs, of which one has to fit."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = tuple(patterns)
        self._exact = frozenset(each for each in listed if not set(each) & set("*?["))
        # `translate` writes RE2 but for its possessive end.
        globs = [translate(each).removesuffix("\\Z") for each in listed if each not in self._exact]
        self._globs = tuple(re2.compile(each) for each in globs)

    def fit(self, name: str) -> bool:
        return name in self._exact or any(glob.fullmatch(name) is not None for glob in self._globs)


class _Compiled:
    __slots__ = ("_containers", "_projects", "_role", "_tags", "_tool", "at", "rule")

    def __init__(self, at: int, rule: Rule) -> None:
        trigger: Trigger = rule.trigger
        self.at = at
        self.rule = rule
        self._tags = frozenset(trigger.tags)
        self._tool = _Names((trigger.tool_name,)) if trigger.tool_name else None
        self._role = trigger.role
        self._containers = _Names(trigger.containers) if trigger.containers else None
        self._projects = _Names(trigger.projects) if trigger.projects else None

    def fits(self, happened: Happening) -> bool:
        return (
            (not self._tags or not self._tags.isdisjoint(happened.tags))
            and (self._tool is None or self._tool.fit(happened.tool))
            and (self._role is None or self._role == happened.role)
            and (self._containers is None or self._containers.fit(happened.container))
            and (self._projects is None or self._projects.fit(happened.project))
        )


class _OfEvent:
    """The rules of one event."""

    __slots__ = ("_by_tool", "_patterns", "_plain", "_set")

    def __init__(self, rules: Sequence[_Compiled]) -> None:
        self._patterns: list[_Compiled] = []
        self._set: re2.Set | None = None
        self._plain: list[_Compiled] = []
        self._by_tool: dict[str, list[_Compiled]] = {}
        for each in rules:
            trigger = each.rule.trigger
            if trigger.content_match is not None:
                self._patterns.append(each)
            elif trigger.tool_name and not set(trigger.tool_name) & set("*?["):
                self._by_tool.setdefault(trigger.tool_name, []).append(each)
            else:
                self._plain.append(each)
        if self._patterns:
            self._set = re2.Set.SearchSet()
            for each in self._patterns:
                self._set.Add(str(each.rule.trigger.content_match))
            self._set.Compile()

    def candidates(self, happened: Happening) -> list[_Compiled]:
        found = [*self._plain, *self._by_tool.get(happened.tool, ())]
        if self._set is not None and happened.text:
            hits: set[int] = set()
            for text in readings(happened.text):
                hits.update(self._set.Match(text) or ())
            found += [self._patterns[hit] for hit in hits]
        return found


class RuleSet:
    """The rules of one configuration; replaced as a whole on reload."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        enabled = [_Compiled(at, rule) for at, rule in enumerate(rules) if rule.enabled]
        self._events = {
            event: _OfEvent([each for each in enabled if each.rule.trigger.event is event])
            for event in EventName
            if any(each.rule.trigger.event is event for each in enabled)
        }
        self.rules = tuple(each.rule for each in enabled)

    def listens(self, event: EventName) -> bool:
        """Whether any rule could fire on such events."""
        return event in self._events

    def fired(self, happened: Happening) -> list[Rule]:
        """The rules that fire, those with higher priority first, then in their order; cooldowns are the caller's."""
        of_event = self._events.get(happened.event)
        if of_event is None:
            return []
        found = [each for each in of_event.candidates(happened) if each.fits(happened)]
        if len(found) > 1:
            found.sort(key=lambda each: (-each.rule.priority, each.at))
        return [each.rule for each in found]
