"""The hashes that a project's lock files name: the only files that a container in locked mode may install.

Read from the text, whatever tool wrote it: `--hash=sha256:…` of pip's requirements, `hash = "sha256:…"` of other Python lock
files, `"integrity": "sha512-…"` of npm's. A text that is no lock file names nothing.
"""

from __future__ import annotations

import base64
import binascii
import re

NAMES = (
    "requirements.txt", "requirements.lock", "requirements-dev.txt", "requirements-test.txt", "constraints.txt",
    "requirements/base.txt", "requirements/runtime.txt", "requirements/dev.txt", "requirements/test.txt",
    "pylock.toml", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock",
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock",
)  # fmt: skip
"""Beneath the workspace."""
_HEX = re.compile(r"\b(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\b")
_INTEGRITY = re.compile(r"\b(sha512|sha384|sha1)-([A-Za-z0-9+/]{27,88}={0,2})")
_SIZES = {"sha512": 64, "sha384": 48, "sha1": 20}


def hashes(text: str) -> frozenset[str]:
    """As `algorithm:hex`."""
    found = set(_HEX.findall(text))
    for kind, digest in _INTEGRITY.findall(text):
        try:
            raw = base64.b64decode(digest, validate=True)
        except binascii.Error:
            continue
        if len(raw) == _SIZES[kind]:
            found.add(f"{kind}:{raw.hex()}")
    return frozenset(found)
