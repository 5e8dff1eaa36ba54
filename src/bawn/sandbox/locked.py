"""A project's `requirements.lock`: exact versions with their hashes, and nothing else; pure.

Everything that would have pip look elsewhere, read another file or build something is refused with its line: options,
addresses, paths, ranges, requirements without a hash. So what is installed is what the file names, whoever serves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bawn.errors import Fault, quoted

SIZE_LIMIT = 4 << 20
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,99})(?P<extras>\[[A-Za-z0-9._, -]{1,200}\])?"
    r"==(?P<version>[A-Za-z0-9.!+_-]{1,64})"
    r"\s*(?P<marker>;[A-Za-z0-9_ .,'<>=!~()\"*+-]{1,300}?)?"
    r"(?P<hashes>(\s+--hash=(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))+)\Z"
)


@dataclass(frozen=True, slots=True)
class Locked:
    name: str
    version: str
    line: str
    """As pip is told it."""


def read(text: str) -> list[Locked]:
    """The requirements. Fault `script.modules` with the line of what is none."""
    found: list[Locked] = []
    begun, number = "", 0
    for at, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not begun:
            number = at
        if line.startswith("#"):
            continue
        line = re.sub(r"\s+#.*\Z", "", line)
        begun = f"{begun} {line.removesuffix(chr(92)).strip()}".strip()
        if line.endswith("\\"):
            continue
        if begun:
            found.append(_locked(begun, number))
        begun = ""
    if begun:
        found.append(_locked(begun, number))
    return found


def _locked(line: str, number: int) -> Locked:
    said = _REQUIREMENT.match(line)
    if said is None or " -" in (said["marker"] or ""):
        raise Fault(
            "script.modules",
            f"line {number} of requirements.lock is no exact version with its hashes: {quoted(line)}",
            remedy="Lock with hashes, e.g. `uv pip compile --generate-hashes`, without options and addresses.",
        )
    return Locked(said["name"], said["version"], line)
