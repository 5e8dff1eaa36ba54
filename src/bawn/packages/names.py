"""Names of packages and their files, each in the one form in which it is compared and becomes part of a path."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from bawn.packages.reasons import Refused

PIP, NPM = "pip", "npm"

_PIP = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?\Z")
_NPM = re.compile(r"(@[a-z0-9~_-][a-z0-9._~-]{0,100}/)?[a-zA-Z0-9~_-][a-zA-Z0-9._~-]{0,150}\Z")
"""Old packages have large letters, which mean another package than small ones."""
_SCOPE = re.compile(r"@[a-z0-9~_-][a-z0-9._~-]{0,100}/\*\Z")
_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>[A-Za-z0-9.!+_]+)(-[0-9][A-Za-z0-9._]*)?"
    r"-[A-Za-z0-9._]+-[A-Za-z0-9._]+-[A-Za-z0-9._]+\.whl\Z"
)
"""The file name convention of wheels, PEP 427."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_!~-]{0,127}\Z")


def pip_name(text: str) -> str:
    """Normalised as PEP 503 says. Refused for what is none."""
    name = re.sub(r"[-_.]+", "-", text).lower()
    if not _PIP.match(name):
        raise Refused("packages.not_found", "This is not the name of a package.")
    return name


def npm_name(text: str) -> str:
    if not _NPM.match(text) or ".." in text:
        raise Refused("packages.not_found", "This is not the name of a package.")
    return text


def version_text(text: str) -> str:
    if not _VERSION.match(text) or ".." in text:
        raise Refused("packages.not_found", "This is not a version.")
    return text


def npm_tarball(parts: Sequence[str]) -> tuple[str, str] | None:
    """Package and version of the end of a path as registries have it, `[@scope/]name/-/name-version.tgz`; None when it is none.

    Lock files hold such addresses, of whatever registry they were made with, and npm keeps their path.
    """
    match list(parts):
        case [*_, scope, name, "-", last] if scope.startswith("@"):
            package = f"{scope}/{name}"
        case [*_, name, "-", last]:
            package = name
        case _:
            return None
    if not last.startswith(f"{name}-") or not last.endswith(".tgz"):
        return None
    return npm_name(package), version_text(last[len(name) + 1 : -len(".tgz")])


def written(text: str) -> frozenset[str]:
    """A name as an operator writes it, as `ecosystem:name`: of both ecosystems, unless `pip:` or `npm:` stands before it."""
    ecosystem, colon, name = text.strip().partition(":")
    if not colon or ecosystem not in (PIP, NPM):
        ecosystem, name = "", text.strip()
    found = set()
    if ecosystem != PIP and (_NPM.match(name) or _SCOPE.match(name)):
        found.add(f"{NPM}:{name}")
    if ecosystem != NPM and not name.startswith("@"):
        with contextlib.suppress(Refused):
            found.add(f"{PIP}:{pip_name(name)}")
    return frozenset(found)


def wheel(filename: str, project: str) -> str | None:
    """The version of a wheel of this project; None when the file is no wheel of it."""
    match = _WHEEL.match(filename)
    if match is None or len(filename) > 255:
        return None
    return match["version"] if re.sub(r"[-_.]+", "-", match["name"]).lower() == project else None
