"""How our own short-lived programs are started: the same interpreter, the same source, and nothing of the operator's
environment (no proxies, no keys)."""

from __future__ import annotations

import sys
from pathlib import Path

import bawn

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def interpreter() -> list[str]:
    """-P: the working directory is never a place to import from; -s: neither is the user's own site folder."""
    return [sys.executable, "-P", "-s"]


def source_root() -> Path:
    """The folder that holds the package."""
    return Path(bawn.__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    return {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(source_root()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
