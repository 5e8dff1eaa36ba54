"""Whether what happened meets a rule's condition (`when`).

Texts are asked about as they stand and, where that is something else, as a person reads them: the condition holds where
either meets it, as a pattern is found where it is found in either.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from bawn.config.patterns import seen
from bawn.rules.expression import Undecided, expression
from bawn.rules.happening import Happening
from bawn.rules.model import EventName
from bawn.rules.wording import LONG

LONGEST_ARGS = 2**20
"""Characters of arguments that are read as JSON."""
MOST_VALUES = 10_000
"""In arguments, however deep."""
DEEPEST = 32
_OF_CALLS = frozenset(("args", "toolInput", "toolName"))
_LONGEST_NAME = 4096
"""Of what may be asked while a list is walked over."""


class Condition:
    __slots__ = ("_expression", "_fields")

    def __init__(self, source: str, event: str) -> None:
        self._expression = expression(source, event)
        self._fields = self._expression.fields

    def holds(self, happened: Happening) -> bool:
        """`Undecided` where that cannot be told."""
        fields = self._told(happened)
        failed: Undecided | None = None
        try:
            if self._expression.yes(fields):
                return True
        except Undecided as error:
            failed = error
        reading = {name: _seen(value) for name, value in fields.items()}
        if reading != fields and self._expression.yes(reading):
            return True
        if failed is not None:
            raise failed
        return False

    def _told(self, happened: Happening) -> dict[str, Any]:
        """Those fields that it asks for. Of a plain text there are no arguments; of an object that cannot be read in one way
        nothing is known, not even that it has none: else it would get past `has(event.args) && …`."""
        told: dict[str, Any] = {}
        unknown = happened.event is EventName.TOOL_AFTER and not happened.tool
        for name in self._fields:
            if unknown and name in _OF_CALLS:
                raise Undecided("the call that it is the result of is not known")
            if name == "args":
                args = arguments(happened.tool_input)
                if args is not None:
                    told[name] = args
                elif happened.tool_input.lstrip().startswith("{"):
                    # Whatever else is no object is a text for a tool that takes one: the gateway releases no other call.
                    raise Undecided("the arguments are too many, or can be read in two ways")
                continue
            value = field(happened, name)
            if name not in LONG and _size(value) > _LONGEST_NAME:
                raise Undecided(f"`{name}` is too long")
            told[name] = value
        return told


def field(happened: Happening, name: str) -> str | list[str]:
    """By the names that webhooks and commands are told it."""
    match name:
        case "tags":
            return sorted(happened.tags)
        case "operatorTags":
            return sorted(happened.operator_tags)
    return _text(_TEXTS[name](happened))


_TEXTS: Mapping[str, Any] = {
    "event": lambda happened: happened.event.value,
    "sessionID": lambda happened: happened.session,
    "sessionTitle": lambda happened: happened.title,
    "container": lambda happened: happened.container,
    "containerRole": lambda happened: happened.container_role,
    "projectID": lambda happened: happened.project,
    "directory": lambda happened: happened.directory,
    "toolName": lambda happened: happened.tool,
    "toolInput": lambda happened: happened.tool_input,
    "toolOutput": lambda happened: happened.tool_output,
    "messageRole": lambda happened: happened.role,
    "messageContent": lambda happened: happened.text,
    "error": lambda happened: happened.error,
}


def arguments(text: str) -> dict[str, Any] | None:
    """Arguments of a tool as an object; None where they are none, too many, or could be read in two ways."""
    if len(text) > LONGEST_ARGS:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        read = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        if isinstance(read, dict) and _fits(read):
            plain: dict[str, Any] = _each(read, _text)
            return plain
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _fits(value: Any) -> bool:
    count, level = 0, [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        count += len(below)
        if count > MOST_VALUES:
            return False
        if not below:
            return True
        level = below
    return False


def _each(value: Any, change: Any) -> Any:
    """The same with all texts changed; `_fits` has seen that it is not deep."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    if isinstance(value, dict):
        return {change(key): _each(each, change) for key, each in value.items()}
    return value


def _seen(value: Any) -> Any:
    return _each(value, lambda text: text if text.isascii() else seen(text))


def _text(text: str) -> str:
    """What can be written down: half a character cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _size(value: str | list[str]) -> int:
    return len(value) if isinstance(value, str) else sum(map(len, value))
