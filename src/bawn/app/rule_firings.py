"""What became of rules since the start of this process: the last firings, and which rules fail. The record has all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from bawn.enforcement.effects import Doing
from bawn.errors import Fault, quoted
from bawn.rules.model import Shell
from bawn.sdk import shapes
from bawn.terms.clock import Clock
from bawn.terms.event import Event

_MOST = 2000
_TOLD = 10
"""Troubles that are told at once."""
_log = structlog.get_logger("bawn.app.rules")


class CommandFailed(Fault):
    """A command of a rule that did not end well. What it printed is apart from the cause, which everybody reads who may read
    the record: a command prints of prompts and files what it likes."""

    def __init__(self, cause: str, printed: str) -> None:
        super().__init__("rule.failed", "The command of a rule failed.", cause=cause)
        self.printed = printed


class Firings:
    def __init__(self, note: Callable[[Event], None], clock: Clock) -> None:
        """`note` puts something on record without waiting; a Fault where it cannot."""
        self._note = note
        self._clock = clock
        self._fired: deque[shapes.RuleFiring] = deque(maxlen=_MOST)
        self.failed: dict[str, str] = {}
        """Why the last effect of a rule failed."""

    def last(self, limit: int, rule: str | None) -> Sequence[shapes.RuleFiring]:
        """The newest first."""
        found = [each for each in reversed(self._fired) if rule is None or each.rule == rule]
        return found[:limit]

    def keep(self, rules: Mapping[str, object]) -> None:
        """Only these rules hold now."""
        self.failed = {name: why for name, why in self.failed.items() if name in rules}

    def troubles(self) -> list[str]:
        return [f"The rule {quoted(name)} fails: {because}." for name, because in sorted(self.failed.items())][:_TOLD]

    def noted(self, event: Event) -> None:
        """A firing, on record."""
        detail = dict(event.detail)
        self._add(detail, event.container, event.code and (event.cause or event.code))
        self._note(event)

    def ended(self, doing: Doing, fault: Fault | None, seconds: float) -> None:
        rule = doing.rule.id
        if fault is None:
            self.failed.pop(rule, None)
        else:
            self.failed[rule] = fault.cause or fault.sentence
            _log.warning("rule.effect_failed", rule=rule, code=fault.code)
        detail = {
            "rule": rule,
            "on": doing.happened.event.value,
            "session": doing.happened.session,
            "effect": f"{_kind(doing)} {'done' if fault is None else 'failed'}",
            "microseconds": str(round(seconds * 1_000_000)),
        }
        error = (fault.cause or fault.sentence) if fault is not None else ""
        self._add(detail, doing.container, error, fault.printed if isinstance(fault, CommandFailed) else "")
        self._note(
            Event(
                "rule.done" if fault is None else "rule.failed",
                principal="bawn",
                container=doing.container,
                code=fault.code if fault is not None else "",
                cause=error,
                detail=tuple(detail.items()),
            )
        )

    def _add(self, detail: Mapping[str, str], container: str, error: str, printed: str = "") -> None:
        self._fired.append(
            shapes.RuleFiring(
                at=self._clock.now(),
                rule=detail["rule"],
                event=detail["on"],
                container=container,
                session=detail["session"],
                effect=detail["effect"],
                microseconds=int(detail["microseconds"]),
                error=error,
                printed=printed,
            )
        )


def _kind(doing: Doing) -> str:
    action = doing.rule.action
    return f"{action.type} on the host" if isinstance(action, Shell) and action.host else action.type
