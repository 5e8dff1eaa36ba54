"""What both formats are read into: plain values, and where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Keys and indices from the root to a value."""

DEEPEST = 64
MOST_VALUES = 50_000
"""Values of one document, aliases counted each time: a small text must not become a large structure."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text, both counted from 1."""

    line: int
    column: int


class Unreadable(Exception):
    """The text is not a document; nothing in it can be looked at."""

    def __init__(self, sentence: str, mark: Mark, remedy: str = "", path: Path = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.mark = mark
        self.remedy = remedy
        self.path = path


@dataclass(slots=True)
class Document:
    value: Any = None
    values: dict[Path, Mark] = field(default_factory=dict)
    """Where each value begins."""
    keys: dict[Path, Mark] = field(default_factory=dict)
    """Where the key of each value of a mapping begins."""

    def note(self, path: Path, mark: Mark) -> None:
        """A value was met. Unreadable when there are too many or it lies too deep."""
        if len(path) > DEEPEST:
            raise Unreadable(f"more than {DEEPEST} levels deep", mark, "Nest less.")
        self.values[path] = mark
        if len(self.values) > MOST_VALUES:
            raise Unreadable(f"more than {MOST_VALUES} values", mark, "Say less, or use fewer aliases.")

    def note_key(self, path: Path, mark: Mark) -> None:
        """A key was met. Unreadable when the same mapping had it already."""
        if path in self.keys:
            first = self.keys[path].line
            raise Unreadable(f"the key was given already on line {first}", mark, "Keep one of the two.", path)
        self.keys[path] = mark

    def mark_of(self, path: Path) -> Mark:
        """Where a value stands; for one that is missing, where its parent does."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))


def shown(path: Path) -> str:
    """`providers.openai.models[2]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the whole file"
