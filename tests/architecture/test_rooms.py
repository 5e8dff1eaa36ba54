"""The rooms keep to what `docs/architecture.md` says of them, as far as the source alone can tell."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from tests.architecture.source import PACKAGE, Module, modules, uses

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}

MADE_IN = {
    # The walk of a call: a value that only one step makes proves that the step was taken.
    "bawn.gateway.call.RawCall": {"bawn.gateway.server"},
    "bawn.gateway.admission.Admitted": {"bawn.gateway.admission"},
    "bawn.gateway.pipeline.Prepared": {"bawn.gateway.pipeline"},
    "bawn.gateway.opening.Opened": {"bawn.gateway.opening"},
    "bawn.gateway.toolgate.Cleared": {"bawn.gateway.toolgate"},
    "bawn.gateway.toolgate.Rewritten": {"bawn.gateway.toolgate"},
    "bawn.gateway.toolgate.Judged": {"bawn.gateway.toolgate"},
}
PRINCIPALS = {f"bawn.terms.principal.{name}" for name in ("Container", "ApiKey", "Operator", "Internal")}
BEFORE_ITS_MAKER = {"ApiKey"}
"""Words of the plan that nothing makes yet."""


def strays(module: Module) -> list[str]:
    """Values that are made where only somebody else may make them."""
    found = []
    for name, line in uses(module):
        allowed = MADE_IN.get(name)
        outside = module.name not in allowed if allowed else name in PRINCIPALS and module.room != "bawn.identity"
        if outside:
            found.append(f"{module.name}:{line} makes {name}")
    return found


def written(name: str, text: str) -> Module:
    return Module(name, PACKAGE / "x.py", ast.parse(textwrap.dedent(text)))


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_value_that_proves_a_step_is_made_by_that_step_alone(module: Module) -> None:
    assert strays(module) == []


@pytest.mark.parametrize("name", sorted({*MADE_IN, *PRINCIPALS}))
def test_each_guarded_value_exists_and_is_made_somewhere(name: str) -> None:
    home, _, short = name.rpartition(".")
    owner = next(module for module in modules() if module.name == home)
    assert any(isinstance(node, ast.ClassDef) and node.name == short for node in ast.walk(owner.tree))
    made = any(used == name for module in modules() for used, _ in uses(module))
    assert made != (short in BEFORE_ITS_MAKER)


@pytest.mark.parametrize(
    "text",
    [
        "from bawn.gateway.opening import Opened\nOpened(1, 2)",
        "from bawn.gateway.opening import Opened as Ready\nReady(1, 2)",
        "from bawn.gateway import opening\nopening.Opened(1, 2)",
        "import bawn.gateway.opening\nbawn.gateway.opening.Opened(1, 2)",
        "import bawn.gateway.opening as o\no.Opened(1, 2)",
        "def late():\n    from bawn.terms.principal import Container\n    return Container('', 1, '', '')",
    ],
)
def test_a_stray_is_found_however_it_was_imported(text: str) -> None:
    assert len(strays(written("bawn.api.stray", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from bawn.sdk import shapes\nshapes.Container(1)",
        "from bawn.sandbox.runtime import Prepared\nPrepared(1)",
        "from bawn.terms.principal import Container\nmatch x:\n    case Container(number=n):\n        pass",
    ],
)
def test_another_class_of_the_same_name_and_a_pattern_are_no_strays(text: str) -> None:
    assert strays(written("bawn.api.fine", text)) == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {part for module in modules() for part in module.path.relative_to(PACKAGE).with_suffix("").parts}
    assert "gateway" in parts
    assert parts & NAMES_THAT_SAY_NOTHING == set()


def test_every_room_says_what_it_is() -> None:
    rooms = [folder for folder in PACKAGE.iterdir() if folder.is_dir() and any(folder.glob("*.py"))]
    assert len(rooms) > 10
    silent = [folder.name for folder in rooms if not _said(folder / "__init__.py")]
    assert silent == []


def test_every_file_opens_with_its_theory() -> None:
    silent = [module.shown for module in modules() if not ast.get_docstring(module.tree)]
    assert silent == []


def test_the_longest_files_and_functions_are_told() -> None:
    """A report for the reader of `pytest -rA`, not a limit."""
    files = sorted(((len(module.path.read_text().splitlines()), module.shown) for module in modules()), reverse=True)
    functions = sorted(
        (
            (node.end_lineno - node.lineno + 1, f"{module.shown}:{node.lineno} {node.name}")
            for module in modules()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
        ),
        reverse=True,
    )
    middle = files[len(files) // 2][0]
    print(f"{len(files)} files, median {middle} lines; {len(functions)} functions")
    for lines, where in (*files[:8], *functions[:8]):
        print(f"{lines:5} {where}")
    assert files, "no source was found"
    assert functions


def _said(file: Path) -> bool:
    return file.is_file() and bool(ast.get_docstring(ast.parse(file.read_text("utf-8"))))
