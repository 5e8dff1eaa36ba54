"""From a text to a model: every mistake with path, line and what to write instead, or the model.

One mistake in a file refuses the file; nothing is guessed, filled in or passed over. What a mistake quotes of
the file is short and escaped, and nothing is quoted where a secret may stand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bawn.config.document import Document, Path, Unreadable, shown
from bawn.config.from_json import read_json
from bawn.config.from_yaml import read_yaml
from bawn.errors import Fault, quoted

M = TypeVar("M", bound=BaseModel)

LARGEST = 1024 * 1024
_SECRET = re.compile(r"key|secret|token|password|passphrase|credential|authorization|cookie|headers", re.IGNORECASE)

# What is expected, for the kinds of mistakes that occur; others speak for themselves.
_EXPECTED: Mapping[str, str] = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "tuple_type": "a list",
    "list_type": "a list",
    "frozen_set_type": "a list",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "union_tag_invalid": "{discriminator} as one of {expected_tags}",
    "union_tag_not_found": "{discriminator} as a key",
    "string_pattern_mismatch": "a text like {pattern}",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters or fewer",
    "too_short": "{min_length} or more",
    "too_long": "{max_length} or fewer",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file."""

    path: str
    line: int
    column: int
    got: str
    """What stands there, quoted; empty when something is missing, `•••` where a secret may stand."""
    expected: str
    remedy: str

    def sentence(self, name: str) -> str:
        got = f"got {self.got}, " if self.got else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{name}:{self.line}: {self.path}: {got}{self.expected}{remedy}"


class ConfigFault(Fault):
    """A file that is refused, with every mistake in it."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("config.invalid", "\n".join(problem.sentence(name) for problem in problems))
        self.name = name
        """What the file is called."""
        self.problems = problems


def load(text: str, name: str, model: type[M], context: Mapping[str, Any] | None = None) -> M:
    """The file as a model. `name` is what the file is called; its ending chooses the format. `context`: what the model's own
    checks have to know that does not stand in the file."""
    if len(text) > LARGEST:
        raise ConfigFault(name, (Problem("the whole file", 1, 1, "", f"expected at most {LARGEST} characters", ""),))
    try:
        document = read_json(text) if _is_json(text, name) else read_yaml(text)
    except Unreadable as error:
        mark = error.mark
        problem = Problem(shown(error.path), mark.line, mark.column, "", error.sentence, error.remedy)
        raise ConfigFault(name, (problem,)) from None
    value = {} if document.value is None else document.value
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        problems = [_problem(details, document, model) for details in error.errors(include_url=False)]
        raise ConfigFault(name, tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))) from None


def _is_json(text: str, name: str) -> bool:
    return name.endswith((".json", ".jsonc")) or text.lstrip("\ufeff \t\r\n").startswith(("{", "//", "/*"))


def _problem(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    path = _path(details["loc"], document)
    if details["type"] == "extra_forbidden":
        return _unknown(path, document, model)
    mark = document.mark_of(path)
    if details["type"] == "missing":
        return Problem(shown(path), mark.line, mark.column, "", "is missing", _example(path, model))
    expected = _expected(details)
    remedy = "" if "write e.g." in expected else _example(path, model)
    return Problem(shown(path), mark.line, mark.column, _got(path, document), expected, remedy)


def _path(location: tuple[int | str, ...], document: Document) -> Path:
    """Where the mistake is in the file; the validator also names branches of its own, which are left out."""
    path: Path = ()
    for at, part in enumerate(location):
        known = (*path, part) in document.values
        if known or (at == len(location) - 1 and not str(part).startswith(("[", "function-", "tagged-"))):
            path = (*path, part)
    return path


def _unknown(path: Path, document: Document, model: type[BaseModel]) -> Problem:
    mark = document.keys.get(path) or document.mark_of(path)
    fields = _fields(path[:-1], model)
    near = difflib.get_close_matches(str(path[-1]), fields, 1, 0.6)
    remedy = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(fields))}" if fields else ""
    return Problem(shown(path), mark.line, mark.column, "", "there is no such key", remedy)


def _expected(details: ErrorDetails) -> str:
    if details["type"] in ("value_error", "assertion_error"):
        return details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if (words := _EXPECTED.get(details["type"])) is not None:
        return "expected " + words.format(**details.get("ctx", {}))
    return details["msg"][:1].lower() + details["msg"][1:]


def _got(path: Path, document: Document) -> str:
    value: Any = document.value
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if any(isinstance(part, str) and _SECRET.search(part) for part in path):
        return "•••"
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int() | float():
            return quoted(str(value)).strip("'")
        case list():
            return "a list"
        case _:
            return "a mapping"


def _example(path: Path, model: type[BaseModel]) -> str:
    """What could be written there: the field's own example, else its default."""
    found = _field(path, model)
    if found is None:
        return ""
    sample = found.examples[0] if found.examples else found.get_default()
    if not isinstance(sample, str | int | float) or sample == "" or (found.is_required() and not found.examples):
        return ""
    text = {True: "true", False: "false"}[sample] if isinstance(sample, bool) else str(sample)
    return f"write e.g. `{path[-1]}: {text}`"


def _field(path: Path, model: type[BaseModel]) -> FieldInfo | None:
    holder = _model_at(path[:-1], model)
    return holder.model_fields.get(str(path[-1])) if holder is not None and path else None


def _fields(path: Path, model: type[BaseModel]) -> list[str]:
    holder = _model_at(path, model)
    return [field.alias or name for name, field in holder.model_fields.items()] if holder is not None else []


def _model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model that a mapping at this path is read by; None when it is read by none."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            found = here.model_fields.get(str(part))
            here = found.annotation if found is not None else None
        else:
            here = next((inner for inner in reversed(_inner(here)) if inner is not ...), None)
        here = _unwrapped(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _inner(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _unwrapped(annotation: Any) -> Any:
    """Without Annotated and without `| None`."""
    if hasattr(annotation, "__metadata__"):
        return _unwrapped(annotation.__origin__)
    kinds = [kind for kind in _inner(annotation) if kind is not type(None)]
    if type(None) in _inner(annotation) and len(kinds) == 1:
        return _unwrapped(kinds[0])
    return annotation
