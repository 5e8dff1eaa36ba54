"""What a script says of itself in the comments at its top; pure.

    # @mode worker
    # @log-level standard
    # @timeout 300
    # @next 2

Other comments may stand between them; the first line that is neither a comment nor empty ends the header. A word that is
not known is refused with its line, since a limit that is misspelt would otherwise be none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Level = Literal["quiet", "standard", "debug"]

LEVELS: tuple[Level, ...] = ("quiet", "standard", "debug")
TIMEOUT_S = 300.0
TIMEOUT_LIMIT_S = 3600.0
EXEC = re.compile(r"[1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50}")
"""The id of an exec: a number, or a name."""
_WORD = re.compile(r"#\s*@([A-Za-z][\w-]*)[ \t]*(.*)\Z")


@dataclass(frozen=True, slots=True)
class Header:
    mode: str = "worker"
    """Where it runs; there is one place: a worker process of its project."""
    log_level: Level = "standard"
    """`quiet`: warnings and errors; `standard`: what is said with `info` as well; `debug`: everything."""
    timeout_s: float = TIMEOUT_S
    """How long one request may take in all, its stream included."""
    next: str = ""
    """The exec whose scripts stand behind this one; empty: none."""


class BadHeader(ValueError):
    """A line of the header that cannot be meant."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")
        self.line = line
        self.sentence = sentence


def read(text: str) -> Header:
    """The header of a script. Raises BadHeader."""
    said: dict[str, tuple[int, str]] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("\ufeff")
        if line and not line.startswith("#"):
            break
        found = _WORD.match(line)
        if found is None:
            continue
        word, value = found[1], found[2].strip()
        if word not in ("mode", "log-level", "timeout", "next"):
            raise BadHeader(number, f"@{word[:40]} is not known; there are @mode, @log-level, @timeout and @next")
        if word in said:
            raise BadHeader(number, f"@{word} stands twice")
        said[word] = (number, value)
    return _header(said)


def _header(said: dict[str, tuple[int, str]]) -> Header:
    number, mode = said.get("mode", (0, "worker"))
    if mode != "worker":
        raise BadHeader(number, "@mode must be worker")
    number, level = said.get("log-level", (0, "standard"))
    if level not in LEVELS:
        raise BadHeader(number, f"@log-level must be one of {', '.join(LEVELS)}")
    number, seconds = said.get("timeout", (0, ""))
    timeout_s = TIMEOUT_S
    if number:
        timeout_s = float(seconds) if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", seconds, re.ASCII) else 0.0
        if not 0 < timeout_s <= TIMEOUT_LIMIT_S:
            raise BadHeader(number, f"@timeout must be a number of seconds up to {TIMEOUT_LIMIT_S:g}")
    number, behind = said.get("next", (0, ""))
    if number and not EXEC.fullmatch(behind):
        raise BadHeader(number, "@next must be the number or the name of an exec")
    return Header(mode, level, timeout_s, behind)
