"""The declarative judge of tool calls: which pass, which do not, and in which form.

Decisions first. Every rule that fits says its own; the strictest holds, so their order never matters. Rules that allow,
deny or confirm look at the call as it was proposed, and those that deny or confirm once more at what became of it, so no
change leads around them. Then changes, in their order, each upon what the one before left.

A rule that stops fits when any reading of a text fits, one that lets through only when all do and as a whole (`patterns`).
What is released is the call's own text, changed only where a rule changed it. A change that cannot be made (the argument is
no text, the path leaves its folder in some reading, the tool takes a text) denies the call: it was ordered, so without it
the call is not what the operator allows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from bawn.config.patterns import Pattern, Readings, read
from bawn.stages.judging import Judgement, Proposed
from bawn.terms.decision import Decision, Effect, combine
from bawn.terms.principal import Container
from bawn.transforms.argument_paths import ArgumentPath, argument_path, texts, values, with_value, with_values
from bawn.transforms.counts import Counts
from bawn.transforms.folders import Leaves, within
from bawn.transforms.tool_settings import Action, Default, ToolRule, Tools
from bawn.wire.json_text import NotPlain, read_plain, written

_EVERYTHING = argument_path("**")
_LARGE = 256 * 2**10
"""Characters of arguments from which on they are not judged on the event loop."""
_HOLE = re.compile(r"\{(\$?[^{}\s]{1,100})\}")
_EFFECTS = {Action.ALLOW: Effect.ALLOW, Action.DENY: Effect.DENY, Action.CONFIRM: Effect.ASK_PERSON}
_DEFAULTS = {
    Default.ALLOW: Decision(Effect.ALLOW, "tool.no_rule", "no rule is about it"),
    Default.DENY: Decision(Effect.DENY, "tool.no_rule", "no rule allows it"),
    Default.CONFIRM: Decision(Effect.ASK_PERSON, "tool.no_rule", "no rule is about it, so a person is asked"),
}


class Unfit(ValueError):
    """A change that was ordered cannot be made; the message says why."""

    rule = ""


class Call:
    """A tool call while rules look at it and change it."""

    __slots__ = ("_read", "_read_of", "arguments", "name", "text")

    def __init__(self, name: str, arguments: dict[str, Any] | None, text: str | None) -> None:
        self.name = name
        self.arguments = arguments
        """None for a tool that takes a text."""
        self.text = text
        self._read: dict[str, list[Readings]] = {}
        self._read_of: object = None

    def readings(self, path: ArgumentPath) -> list[Readings]:
        """Of the texts that stand there; of everything for a tool that takes a text. Found once, until a rule changes
        something."""
        state = self.text if self.arguments is None else self.arguments
        if state is not self._read_of:
            self._read, self._read_of = {}, state
        found = self._read.get(path.source)
        if found is None:
            said = [self.text or ""] if self.arguments is None else texts(path, self.arguments)
            found = self._read[path.source] = [read(text) for text in said]
        return found


class Rule:
    """One rule, compiled."""

    def __init__(self, settings: ToolRule, number: int) -> None:
        self.settings = settings
        self.action = settings.action
        self.name = settings.name or f"rules[{number}]"
        self._tools = [Pattern(each) for each in settings.tools]
        self._containers = [Pattern(each) for each in settings.containers]
        self._when = [(argument_path(path), Pattern(pattern)) for path, pattern in settings.when.items()]
        self._text = Pattern(settings.text) if settings.text is not None else None
        self._argument: ArgumentPath = argument_path(settings.argument)
        self._pattern = Pattern(settings.pattern) if settings.pattern is not None else None

    @property
    def decides(self) -> bool:
        return self.action in _EFFECTS

    @property
    def stops(self) -> bool:
        return self.action in (Action.DENY, Action.CONFIRM)

    def fits(self, containers: frozenset[str], call: Call) -> bool:
        # What lets through must be meant for exactly this; everything else holds when it may be meant.
        lets = self.action is Action.ALLOW
        if not any(pattern.fits(name) for pattern in self._containers for name in containers):
            return False
        if not any(pattern.fits(call.name) if lets else pattern.found(call.name) for pattern in self._tools):
            return False
        said = [(_said(path, call, lets=lets), pattern) for path, pattern in self._when]
        if self._text is not None:
            said.append((_said(_EVERYTHING, call, lets=False), self._text))
        if lets:
            return all(found and all(map(pattern.fits, found)) for found, pattern in said)
        return all(any(map(pattern.found, found)) for found, pattern in said)

    def decision(self) -> Decision:
        because = self.settings.reason or f"the rule {self.name} says {self.action.value}"
        return Decision(_EFFECTS[self.action], f"tool.rule_{self.action.value}", because, (("rule", self.name),))

    def change(self, call: Call) -> bool:
        """Make the change; whether it changed anything. Unfit when it cannot be made."""
        match self.action:
            case Action.RENAME:
                return self._rename(call)
            case Action.REPLACE if call.arguments is None:
                before = call.text or ""
                call.text = self._replaced(before)
                return call.text != before
            case _ if call.arguments is None:
                raise Unfit("the tool takes a text, in which no argument can be changed")
            case Action.SET:
                return self._set(call, call.arguments)
            case Action.PREFIX:
                return self._each(call, call.arguments, self._prefixed)
            case _:
                return self._each(call, call.arguments, self._replaced)

    def _set(self, call: Call, arguments: dict[str, Any]) -> bool:
        found = values(self._argument, arguments)
        # As JSON: 1 and true are one value in here, and not to a tool.
        if found and written(found) == written([self.settings.value]):
            return False
        try:
            call.arguments = with_value(self._argument, arguments, self.settings.value)
        except ValueError as error:
            raise Unfit(f"{self._argument.source} cannot be set: {error}") from None
        return True

    def _each(self, call: Call, arguments: dict[str, Any], change: Any) -> bool:
        if self._argument.everything:
            after = _every_text(arguments, change)
        else:
            after = with_values(self._argument, arguments, change)
        changed: bool = after != arguments
        call.arguments = after
        return changed

    def _prefixed(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit(f"{self._argument.source} is no text")
        try:
            return within(self.settings.value, value)
        except Leaves as leaves:
            raise Unfit(
                f"{self._argument.source} is no path that can be kept in {self.settings.value}: {leaves}"
            ) from None

    def _replaced(self, value: Any) -> str:
        if not isinstance(value, str) or self._pattern is None:
            raise Unfit(f"{self._argument.source} is no text")
        after = self._pattern.replaced(value, self.settings.value)
        if after is None:
            raise Unfit("what would be replaced is written with characters that hide it")
        return after

    def _rename(self, call: Call) -> bool:
        if call.name == self.settings.to:
            return False
        added = {name: self._filled(value, call) for name, value in self.settings.arguments.items()}
        kept = call.arguments if self.settings.keep and call.arguments is not None else {}
        if call.arguments is not None or added:
            call.arguments, call.text = {**kept, **added}, None
        call.name = self.settings.to
        return True

    def _filled(self, value: Any, call: Call) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(inner, call) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, call) for inner in value]
        if not isinstance(value, str):
            return value
        if (whole := _HOLE.fullmatch(value)) is not None:
            return self._value(whole[1], call)
        return _HOLE.sub(lambda found: _shown(self._value(found[1], call)), value)

    def _value(self, name: str, call: Call) -> Any:
        match name:
            case "$tool":
                return call.name
            case "$reason":
                return self.settings.reason
            case "$text":
                return call.text if call.arguments is None else written(call.arguments)
            case "$arguments":
                return call.arguments if call.arguments is not None else call.text
        try:
            found = values(argument_path(name), call.arguments) if call.arguments is not None else []
        except ValueError:
            return "{" + name + "}"
        return found[0] if len(found) == 1 else found or ""


def _itself(container: Container) -> str:
    return container.name


class ToolRules:
    """The judge; replaced as a whole on reload. `stands_for`: the name of the container whose task another does.

    A rule about the one is about the other as well, or a container would get round its rules by asking for a task.
    """

    name = "tools"

    def __init__(self, settings: Tools, counts: Counts, stands_for: Callable[[Container], str] = _itself) -> None:
        self._stands_for = stands_for
        self._rules = [Rule(rule, number) for number, rule in enumerate(settings.rules)]
        self._default = _DEFAULTS[settings.default]
        self.counts = counts

    async def judge(self, proposed: Proposed) -> Judgement:
        # The matching of what is large gives the interpreter up; streams of others go on meanwhile.
        large = len(proposed.call.arguments_raw) > _LARGE
        judgement = await asyncio.to_thread(self.judged, proposed) if large else self.judged(proposed)
        self.counts.add(judgement.decision.effect.name.lower())
        if judgement.name or judgement.arguments is not None:
            self.counts.add("changed")
        for _, rule in judgement.decision.facts:
            self.counts.add(f"rule.{rule}")
        return judgement

    def judged(self, proposed: Proposed) -> Judgement:
        container, raw = proposed.asked.container, proposed.call.arguments_raw
        names = frozenset((container.name, self._stands_for(container)))
        try:
            call = _read(proposed)
        except (NotPlain, UnicodeEncodeError):
            because = "its arguments have no one reading"
            return Judgement(Decision(Effect.DENY, "tool.unreadable", because))
        about = [rule for rule in self._rules if rule.decides and rule.fits(names, call)]
        decisions = [rule.decision() for rule in about]
        try:
            changes = self._changed(names, call)
        except Unfit as unfit:
            facts = (("rule", unfit.rule),)
            because = f"the rule {unfit.rule} cannot be followed: {unfit}"
            return Judgement(Decision(Effect.DENY, "tool.rule_unfit", because, facts))
        if changes:
            decisions += [rule.decision() for rule in self._rules if rule.stops and rule.fits(names, call)]
        return self._judgement(proposed, call, raw, decisions, changes, touched=bool(about))

    def _changed(self, names: frozenset[str], call: Call) -> list[str]:
        """Make the changes that are ordered for the call; the names of the rules by which it is another now."""
        changes: list[str] = []
        rule = None
        try:
            for rule in self._rules:
                if not rule.decides and rule.fits(names, call) and rule.change(call):
                    changes.append(rule.name)
        except Unfit as unfit:
            unfit.rule = rule.name if rule is not None else ""
            raise
        return changes

    def _judgement(
        self,
        proposed: Proposed,
        call: Call,
        raw: str,
        decisions: Sequence[Decision],
        changes: Sequence[str],
        *,
        touched: bool,
    ) -> Judgement:
        if not touched:
            decisions = [self._default, *decisions]
        decision = combine(decisions)
        if decision.effect is Effect.DENY or not changes:
            return Judgement(decision)
        if decision.effect is Effect.ALLOW:
            facts = tuple(("rule", name) for name in changes)
            decision = Decision(Effect.ALLOW, "tool.rule_changed", f"changed by {', '.join(changes)}", facts)
        after = call.text if call.arguments is None else written(call.arguments)
        name = call.name if call.name != proposed.call.name else ""
        return Judgement(decision, name, after if after != raw else None)


def _read(proposed: Proposed) -> Call:
    raw = proposed.call.arguments_raw
    raw.encode("utf-8")
    if proposed.text:
        return Call(proposed.call.name, None, raw)
    arguments = read_plain(raw.encode("utf-8")) if raw else {}
    if not isinstance(arguments, dict):
        raise NotPlain("they are no object")
    return Call(proposed.call.name, arguments, None)


def _said(path: ArgumentPath, call: Call, *, lets: bool) -> list[Readings]:
    """What a pattern is held against. A tool that takes a text has no arguments: what stops is held against all of it, and
    nothing that lets through fits."""
    return [] if call.arguments is None and lets and not path.everything else call.readings(path)


def _every_text(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _every_text(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_every_text(inner, change) for inner in value]
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else written(value)
