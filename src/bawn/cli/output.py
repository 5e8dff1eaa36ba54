"""The one exit to the terminal.

Names, tasks and log lines come from agents and may be hostile: an escape sequence could repaint the screen, a
bidirectional override could make one command look like another. Everything outside the printable characters
is therefore written out, `\\x1b` for instance. Only a command that was asked for by `run` or `exec` writes to
the terminal itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bawn.errors import Fault
from bawn.terms.visible import visible

WIDE = 100_000
"""Columns of what is no terminal: nothing is cut that a program may read."""


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def clean(text: str, keep: str = "") -> str:
    """The text with everything invisible written out, but for the characters in `keep`."""
    return visible(text, keep)


def say(text: str) -> None:
    """One line, or several."""
    _write(sys.stdout, clean(text, keep="\n") + "\n")


def say_part(text: str) -> None:
    """Text of a log, as it comes; a terminal's way of ending lines is told as a line's end."""
    _write(sys.stdout, clean(text.replace("\r\n", "\n"), keep="\n\t"))


def difference(text: str) -> None:
    """A diff, in colours where a person sees it."""
    if not sys.stdout.isatty():
        say(text)
        return
    console = _console()
    for line in text.split("\n"):
        console.print(Text(clean(line), style=_STYLES.get(line[:1], "")), soft_wrap=True)


def note(text: str) -> None:
    """What is not the result: progress, hints."""
    _write(sys.stderr, clean(text, keep="\n") + "\n")


def tell(fault: Fault) -> None:
    """What went wrong, and what to do about it."""
    cause = f" ({fault.cause})" if fault.cause else ""
    note(f"bawn: {fault.sentence}{cause}\n      {fault.remedy} [{fault.code}]")


def show(items: Iterable[Any], columns: Sequence[str], form: Format) -> None:
    """A list: a table of these columns, or a plain array of whole objects."""
    rows = [plain(item) for item in items]
    if form is Format.JSON:
        _json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(row[column])) for column in columns))
    _console().print(table)


def show_one(item: Any, form: Format) -> None:
    """One object: a line for each field, or the object."""
    fields = plain(item)
    if form is Format.JSON:
        _json(fields)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name.replace("_", " "), Text(cell(value)))
    _console().print(table)


def plain(item: Any) -> dict[str, Any]:
    return asdict(item) if is_dataclass(item) and not isinstance(item, type) else dict(item)


def cell(value: Any) -> str:
    """A value in a table: unknown is a dash, never a zero."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
        case float():
            return f"{value:.4f}"
        case dict():
            return ", ".join(f"{clean(str(name))}: {cell(part)}" for name, part in value.items()) or "-"
        case list() | tuple():
            return ", ".join(cell(part) for part in value) or "-"
        case _:
            return clean(str(value))


def _json(value: Any) -> None:
    # ASCII only: what is hostile to a terminal stays escaped.
    _write(sys.stdout, json.dumps(value, default=_told, indent=2) + "\n")


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, emoji=False)


def _write(stream: Any, text: str) -> None:
    stream.write(text)
    stream.flush()
