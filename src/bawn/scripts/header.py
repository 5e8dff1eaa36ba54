"""What a script says of itself in the comments at its top. Pure.

    # @mode worker
    # @log-level standard
    # @timeout 300
    # @next 2

Only lines that begin with `#`, before the first other line that is not empty, are read; other comments may stand among
them. A word after `@` that is not known is refused, since a misspelt limit would be none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bawn.errors import Fault, quoted
from bawn.terms.value import Value

MODES = ("worker",)
LOG_LEVELS = ("none", "minimal", "standard", "verbose")
LONGEST_S = 600.0
EXEC = re.compile(r"[1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,62}")
"""The id of an exec: a number or a name."""
_LINE = re.compile(r"#\s*@([A-Za-z][A-Za-z-]*)(?:\s+(.*?))?\s*")


class Header(Value, frozen=True):
    mode: str = "worker"
    log_level: str = "standard"
    timeout_s: float | None = None
    """None: as the configuration has it."""
    next: str = ""
    """The exec whose scripts run behind this one; empty: none."""


def read_header(text: str, file: str) -> Header:
    """Fault `script.invalid` with the file and the line."""
    said: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            break
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, value = found[1], found[2] or ""
        if name not in _READ:
            raise _wrong(file, number, f"there is no @{name}; known are {', '.join('@' + each for each in _READ)}")
        if name in said:
            raise _wrong(file, number, f"@{name} stands twice")
        problem = _READ[name](value)
        if problem:
            raise _wrong(file, number, f"@{name} {problem}")
        said[name] = value
    return Header(
        mode=said.get("mode", "worker"),
        log_level=said.get("log-level", "standard"),
        timeout_s=float(said["timeout"]) if "timeout" in said else None,
        next=said.get("next", ""),
    )


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    return lambda value: "" if value in words else f"is one of {', '.join(words)}"


def _timeout(value: str) -> str:
    sound = re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) and 0 < float(value) <= LONGEST_S
    return "" if sound else f"is a number of seconds, at most {LONGEST_S:.0f}"


def _next(value: str) -> str:
    return "" if EXEC.fullmatch(value) else "names an exec: a number, or a name of lower-case letters, digits and hyphens"


_READ: dict[str, Callable[[str], str]] = {"mode": _one_of(MODES), "log-level": _one_of(LOG_LEVELS), "timeout": _timeout, "next": _next}


def _wrong(file: str, line: int, what: str) -> Fault:
    return Fault("script.invalid", f"{quoted(file, 200)}, line {line}: {what}.")
