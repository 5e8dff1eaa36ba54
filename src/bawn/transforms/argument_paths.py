"""Where a value stands in the arguments of a tool call: `path`, `options.cwd`, `edits[*].path`, `edits[0].path`, or `**`.

Names between dots are keys of objects, `[*]` is every item of a list, `[2]` one of them; `**` alone is every text at any
depth, keys of objects among them. Paths are read once, when the configuration is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bawn.terms.value import Value

EVERYTHING = "**"
_PART = re.compile(r"([^.\[\]*{}]+)|\[(\*|\d{1,6})\]")
_ALL = -1


class ArgumentPath(Value, frozen=True):
    """A path that was read; `parts` are keys, indexes, or -1 for every item."""

    source: str
    parts: tuple[str | int, ...]

    @property
    def everything(self) -> bool:
        return self.source == EVERYTHING

    @property
    def single(self) -> bool:
        """Whether it can be one place only, made of keys."""
        return not self.everything and all(isinstance(part, str) for part in self.parts)


def argument_path(source: str) -> ArgumentPath:
    """ValueError when it is no path."""
    if source == EVERYTHING:
        return ArgumentPath(source, ())
    parts: list[str | int] = []
    at = 0
    while at < len(source):
        if parts and source[at] == ".":
            at += 1
        found = _PART.match(source, at)
        if found is None or (found[1] and parts and source[at - 1] != "."):
            break
        parts.append(found[1] or (_ALL if found[2] == "*" else int(found[2])))
        at = found.end()
    if at < len(source) or not parts or source[-1] == "." or not isinstance(parts[0], str):
        raise ValueError("expected a path in the arguments; write e.g. `path`, `options.cwd`, `edits[*].path` or `**`")
    return ArgumentPath(source, tuple(parts))


def sound_path(source: str) -> str:
    """For a field of the configuration."""
    argument_path(source)
    return source


def values(path: ArgumentPath, arguments: Any) -> list[Any]:
    """What stands there; nothing where there is no such place."""
    if path.everything:
        return list(_texts(arguments))
    found = [arguments]
    for part in path.parts:
        found = [inner for each in found for inner in _inner(each, part)]
    return found


def texts(path: ArgumentPath, arguments: Any) -> list[str]:
    """What stands there as texts: a text is itself; numbers and switches as JSON writes them; of a list each text in it,
    and all of them with blanks between, since that is how a command is often given."""
    found: list[str] = []
    for value in values(path, arguments):
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, bool):
            found.append("true" if value else "false")
        elif isinstance(value, int | float):
            found.append(str(value))
        elif isinstance(value, list):
            inner = list(_texts(value))
            found += inner
            if len(inner) > 1:
                found.append(" ".join(inner))
        elif isinstance(value, dict):
            found += _texts(value)
    return found


def with_values(path: ArgumentPath, arguments: Any, change: Callable[[Any], Any]) -> Any:
    """The arguments with each value there changed; what is given stays as it is."""
    return _changed(arguments, path.parts, change)


def with_value(path: ArgumentPath, arguments: dict[str, Any], value: Any) -> dict[str, Any]:
    """The arguments with this value there, objects on the way being made. ValueError where something else is in the way."""
    assert path.single
    copy = dict(arguments)
    here = copy
    for part in path.parts[:-1]:
        inner = here.get(str(part), {})
        if not isinstance(inner, dict):
            raise ValueError(f"{part} is no object")  # noqa: TRY004 - of what was asked for, not of a mistake in here
        here[str(part)] = here = dict(inner)
    here[str(path.parts[-1])] = value
    return copy


def _inner(value: Any, part: str | int) -> list[Any]:
    if isinstance(part, str):
        return [value[part]] if isinstance(value, dict) and part in value else []
    if not isinstance(value, list):
        return []
    return value if part == _ALL else value[part : part + 1]


def _changed(value: Any, parts: tuple[str | int, ...], change: Callable[[Any], Any]) -> Any:
    if not parts:
        return change(value)
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        return (
            {**value, part: _changed(value[part], rest, change)} if isinstance(value, dict) and part in value else value
        )
    if not isinstance(value, list):
        return value
    return [_changed(each, rest, change) if part in (_ALL, at) else each for at, each in enumerate(value)]


def _texts(value: Any) -> Iterator[str]:
    """Every text at any depth; without recursion, since depth is the sender's choice."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            # Reversed, so that texts come in the order in which they stand.
            pending += [part for pair in reversed(each.items()) for part in (pair[1], pair[0])]
        elif isinstance(each, list):
            pending += reversed(each)
