"""The hot path as machine code does what the same modules do as Python; and what the translator would change is not written."""

from __future__ import annotations

import ast
import importlib
import sys
from collections import Counter

import pytest
from msgspec import Struct

from bawn.app import compiled


@pytest.fixture(params=compiled.MODULES)
def module(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_value_is_as_its_keywords_say(module: str) -> None:
    """The translator drops the keywords of a class; what they say has to come from its base as well."""
    named = importlib.import_module(module)
    for node in ast.walk(ast.parse(compiled.source(module).read_text())):
        if isinstance(node, ast.ClassDef) and node.keywords:
            made = getattr(named, node.name)
            assert issubclass(made, Struct)
            base = next(each for each in made.__mro__[1:] if issubclass(each, Struct))
            for keyword in node.keywords:
                assert getattr(base.__struct_config__, str(keyword.arg)), (
                    f"{node.name} is not {keyword.arg} by its base"
                )


def test_errors_of_two_own_kinds_are_caught_under_two_names(module: str) -> None:
    """The translator gives a name one type, also when two clauses of a function bind it."""
    own = {
        node.name
        for each in compiled.MODULES
        for node in ast.walk(ast.parse(compiled.source(each).read_text()))
        if isinstance(node, ast.ClassDef)
    }
    for function in ast.walk(ast.parse(compiled.source(module).read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            bound = Counter(
                handler.name
                for handler in ast.walk(function)
                if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type is not None
                for kind in ast.walk(handler.type)
                if isinstance(kind, ast.Name) and kind.id in own and isinstance(handler.type, ast.Name)
            )
            assert all(times == 1 for times in bound.values()), function.name


def test_what_was_imported_already_is_not_imported_in_another_form(module: str) -> None:
    importlib.import_module(module)
    before = list(sys.meta_path)
    assert not compiled.use()
    assert sys.meta_path == before
