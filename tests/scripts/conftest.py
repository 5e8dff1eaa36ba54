from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache

import pytest
from tests.scripts.standing import Standing


@cache
def _lacking() -> str:
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"bubblewrap does not work here: {tried.stderr.strip()}"


@pytest.fixture
async def standing() -> AsyncIterator[Standing]:
    if _lacking():
        pytest.skip(_lacking())
    made = Standing()
    await made.open()
    yield made
    await made.close()
