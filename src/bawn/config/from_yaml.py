"""YAML, read as its core schema says: `no` is a text and `08` a number, not false and an error.

Built from PyYAML's nodes, which know their lines, and not from its constructors, which can be told to make
objects. Anchors are fine; tags other than the plain ones are refused, and the document's limits hold with
every alias counted each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from bawn.config.document import Document, Mark, Path, Unreadable

_TAG = "tag:yaml.org,2002:"
MOST_ALIASES = 100


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


def read_yaml(text: str) -> Document:
    """Raises Unreadable with the place."""
    try:
        return _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(_said(error), Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable("a character that YAML does not allow", Mark(line, 1)) from error
    except RecursionError:
        raise Unreadable("nested too deep", Mark(1, 1), "Nest less.") from None


def _read(text: str) -> Document:
    if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)) > MOST_ALIASES:
        raise Unreadable(f"more than {MOST_ALIASES} aliases", Mark(1, 1), "Write the values out.")
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    document = Document()
    document.value = None if root is None else _built(root, (), document)
    return document


def _built(node: yaml.Node, path: Path, document: Document) -> Any:
    mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
    document.note(path, mark)
    kind = node.tag.removeprefix(_TAG)
    match node:
        case yaml.MappingNode(value=pairs) if kind == "map":
            made: dict[str, Any] = {}
            for key_node, value_node in pairs:
                key_mark = Mark(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                if not isinstance(key_node, yaml.ScalarNode):
                    raise Unreadable("a key that is not a plain text", key_mark, "Write a name before the colon.", path)
                document.note_key((*path, key_node.value), key_mark)
                made[key_node.value] = _built(value_node, (*path, key_node.value), document)
            return made
        case yaml.SequenceNode(value=items) if kind == "seq":
            return [_built(item, (*path, at), document) for at, item in enumerate(items)]
        case yaml.ScalarNode(value=text) if kind in _SCALARS:
            try:
                return _SCALARS[kind](text)
            except ValueError:
                raise Unreadable(f"this is no {kind}", mark, path=path) from None
        case _:
            raise Unreadable(f"the tag {node.tag!r}", mark, "Leave the tag out: only plain values are read.", path)


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _nothing(_text: str) -> None:
    return None


_SCALARS: dict[str, Callable[[str], object]] = {
    "null": _nothing,
    "bool": _boolean,
    "int": _integer,
    "float": float,
    "str": str,
}


def _said(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part) or "not YAML"
