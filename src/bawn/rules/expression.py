"""A condition, ready to be computed: CEL, by a library in Rust that is loaded with the first condition and not before.

Computing gives up the interpreter's lock, so a thread does it for long texts. What goes wrong in it is `Undecided`: whoever
asked decides what follows from not knowing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from bawn.config.patterns import Pattern
from bawn.errors import quoted
from bawn.rules.wording import LISTS, MATCHES, Wording, read

_LIBRARY = "cel"
_MODULE = "cel.cel"
_LOADING = Lock()
_SUFFIXES = frozenset(Path(each).suffix for each in EXTENSION_SUFFIXES)
_EXPRESSIONS = 4096


class Undecided(Exception):
    """It is not known whether a condition holds. The sentence has nothing of what was said in a conversation."""


class Expression:
    """ValueError with what is wrong with `source` for this event, as far as that shows before anything happens."""

    __slots__ = ("_program", "fields")

    def __init__(self, source: str, event: str) -> None:
        wording = read(source, event)
        self.fields = wording.fields
        """Of the event; no others need be given."""
        self._program = _compiled(wording.source)
        self._typed(wording)

    def yes(self, fields: Mapping[str, Any]) -> bool:
        """Whether it holds for an event with these fields. `Undecided` where that cannot be computed."""
        found = _run(self._program, fields)
        if not isinstance(found, bool):
            raise Undecided("it is neither true nor false")
        return found

    def _typed(self, wording: Wording) -> None:
        """Each part is computed on an event that is made up: a text is one whatever it says."""
        made_up = {name: ["a"] if name in LISTS else "a" for name in wording.fields if name != "args"}
        for operand in wording.operands:
            try:
                found = _run(_compiled(operand), made_up)
            except Undecided as error:
                types = isinstance(error.__cause__, TypeError) or "Undefined" in str(error.__cause__)
                if types and "args" not in wording.fields:
                    raise ValueError(f"{quoted(operand)} does not fit: {error}") from None
                continue
            if not isinstance(found, bool):
                raise ValueError(f"{quoted(operand)} is neither true nor false")  # noqa: TRY004 - as all that is wrong here


@lru_cache(_EXPRESSIONS)
def expression(source: str, event: str) -> Expression:
    """The same for the same words. ValueError."""
    return Expression(source, event)


def _compiled(source: str) -> Any:
    try:
        return _engine().compile(source)
    except ValueError as error:
        raise ValueError(f"expected an expression of CEL: {_told(str(error))}") from None


def _told(complaint: str) -> str:
    """The first line of what the reader of expressions complains of, without its picture of the place."""
    first = complaint.partition("ERROR: <input>:")[2].partition("\n")[0].partition("expecting {")[0]
    return first.partition(": ")[2].removeprefix("Syntax error: ").strip() or "it cannot be read"


def _run(program: Any, fields: Mapping[str, Any]) -> Any:
    odd: list[object] = []

    def matches(text: object, source: str) -> bool:
        # What fails in here, the library would write to the log with what it failed on.
        if not isinstance(text, str):
            odd.append(text)
            return False
        return _pattern(source).found((text.encode("utf-8", "replace"),))

    try:
        found = program.execute(_engine().Context({"event": dict(fields)}, {MATCHES: matches}))
        if odd:
            raise TypeError("only texts match expressions")
        return found
    except Exception as error:
        raise Undecided(_reason(error)) from error
    except BaseException as error:
        # What the library could not foresee comes as this, which is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise Undecided("it cannot be computed") from error


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return "something that it asks for is not there"
        case IndexError():
            return "a list has no such place"
        case TypeError():
            return "types do not fit"
        case _ if "Undefined" in str(error):
            return "types do not fit"
        case _:
            return "it cannot be computed"


@lru_cache(_EXPRESSIONS)
def _pattern(source: str) -> Pattern:
    return Pattern(f"re:{source}")


def _engine() -> Any:
    """The library without its own command line, which would be loaded beside it with hundreds of modules.

    It can be loaded once in a process, so it stands where an import of its package would put it.
    """
    module = sys.modules.get(_MODULE)
    if module is None:
        with _LOADING:
            module = sys.modules.get(_MODULE) or _loaded()
    return module


def _loaded() -> ModuleType:
    package = find_spec(_LIBRARY)
    folders = package.submodule_search_locations if package is not None else None
    for path in (path for folder in folders or () for path in sorted(Path(folder).glob("cel.*"))):
        loader = ExtensionFileLoader(_MODULE, str(path))
        if path.suffix in _SUFFIXES and (spec := spec_from_loader(_MODULE, loader)) is not None:
            module = module_from_spec(spec)
            loader.exec_module(module)
            sys.modules[_MODULE] = module
            return module
    raise ImportError("The library that computes conditions is not installed.", name=_LIBRARY)
