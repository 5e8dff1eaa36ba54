"""Names of packages and their files, each in the one form in which it is compared and becomes part of a path."""

from __future__ import annotations

import re

from bawn.packages.reasons import Refused

PIP, NPM = "pip", "npm"

_PIP = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?\Z")
_NPM = re.compile(r"(@[a-z0-9~_-][a-z0-9._~-]{0,100}/)?[a-z0-9~_-][a-zA-Z0-9._~-]{0,150}\Z")
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


def wheel(filename: str, project: str) -> str | None:
    """The version of a wheel of this project; None when the file is no wheel of it."""
    match = _WHEEL.match(filename)
    if match is None or len(filename) > 255:
        return None
    return match["version"] if re.sub(r"[-_.]+", "-", match["name"]).lower() == project else None
