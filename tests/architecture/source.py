"""The source as these tests read it: modules with their trees, and what a name in one of them stands for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "bawn"


@dataclass(frozen=True, slots=True)
class Module:
    name: str
    """Dotted, e.g. `bawn.gateway.call`."""
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        return ".".join(self.name.split(".")[:2])

    @property
    def shown(self) -> str:
        return str(self.path.relative_to(PACKAGE))


@cache
def modules() -> tuple[Module, ...]:
    return tuple(read(path) for path in sorted(PACKAGE.rglob("*.py")))


def read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text("utf-8"), str(path)))


def meanings(module: Module) -> dict[str, str]:
    """What each plain name in a module stands for: imported from elsewhere, or a class of its own."""
    found: dict[str, str] = {}
    for node in ast.walk(module.tree):
        match node:
            case ast.ClassDef(name=name):
                found[name] = f"{module.name}.{name}"
            case ast.Import(names=names):
                for each in names:
                    # `import a.b` binds `a`; with `as` it binds the whole.
                    found[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else each.name.partition(".")[0]
                    )
            case ast.ImportFrom(module=str(source), names=names, level=0):
                found.update((each.asname or each.name, f"{source}.{each.name}") for each in names)
    return found


def dotted(node: ast.expr) -> str:
    """`a.b.c` as it is written; empty when it is anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            before = dotted(value)
            return f"{before}.{attr}" if before else ""
        case _:
            return ""


def uses(module: Module) -> Iterator[tuple[str, int]]:
    """Every class or function that the module calls, by its full name, with the line. `replace(x, …)` makes a value
    of x's class without naming it, and is told by its own name."""
    known = meanings(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            head, dot, rest = dotted(node.func).partition(".")
            if head in known:
                yield f"{known[head]}{dot}{rest}", node.lineno
