"""Versions in an order, each ecosystem's own: PEP 440 for Python, Semantic Versioning for npm. Pure.

A key is compared only with keys of the same ecosystem. What is no version has no key.
"""

from __future__ import annotations

import re

from bawn.packages.names import PIP

Key = tuple[object, ...]

_PEP440 = re.compile(
    r"v?(?:(?P<epoch>\d{1,9})!)?(?P<release>\d{1,18}(?:\.\d{1,18}){0,20})"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_number>\d{0,18}))?"
    r"(?P<post>-(?P<bare>\d{1,18})|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d{0,18}))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d{0,18}))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\Z",
    re.IGNORECASE,
)
_PHASES = {"a": 0, "alpha": 0, "b": 1, "beta": 1}
_SEMVER = re.compile(
    r"v?(\d{1,18})\.(\d{1,18})\.(\d{1,18})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?\Z"
)


def key(ecosystem: str, version: str) -> Key | None:
    return _pip(version.strip()) if ecosystem == PIP else _npm(version.strip())


def released(ecosystem: str, version: str) -> bool:
    """Whether it is a release, and not what comes before one."""
    if ecosystem == PIP:
        match = _PEP440.match(version)
        return match is not None and match["pre"] is None and match["dev"] is None
    found = _SEMVER.match(version)
    return found is not None and found[4] is None


def _pip(text: str) -> Key | None:
    match = _PEP440.match(text)
    if match is None:
        return None
    release = tuple(int(part) for part in match["release"].split("."))
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]  # 1.0 is 1.0.0
    post = -1 if match["post"] is None else int(match["bare"] or match["post_number"] or 0)
    if match["pre"] is not None:
        phase, number = _PHASES.get(match["pre"].lower(), 2), int(match["pre_number"] or 0)
    elif match["dev"] is not None and match["post"] is None:
        phase, number = -1, 0  # 1.0.dev1 comes before 1.0a1
    else:
        phase, number = 3, 0
    dev = (1, 0) if match["dev"] is None else (0, int(match["dev_number"] or 0))
    local = tuple(
        (1, int(part), "") if part.isdecimal() else (0, 0, part.lower())
        for part in re.split(r"[-_.]", match["local"] or "")
        if part
    )
    return (int(match["epoch"] or 0), release, phase, number, post, dev, local)


def _npm(text: str) -> Key | None:
    match = _SEMVER.match(text)
    if match is None:
        return None
    numbers = (int(match[1]), int(match[2]), int(match[3]))
    if match[4] is None:
        return (numbers, 1, ())
    words = tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in match[4].split("."))
    return (numbers, 0, words)
