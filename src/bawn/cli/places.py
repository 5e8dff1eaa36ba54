"""Where this installation lies, from the environment and from who asks."""

from __future__ import annotations

import os
from pathlib import Path

from bawn.sdk import place


def home() -> Path:
    return place.home(os.environ, os.getuid())


def config_file() -> Path:
    return place.config_file(os.environ, os.getuid())
