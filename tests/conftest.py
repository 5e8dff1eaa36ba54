"""`BAWN_TEST_COMPILED=1 pytest …` runs the tests against the hot path as machine code (`bawn.app.compiled`)."""

from __future__ import annotations

import gc
import os

from bawn.app import compiled

if os.environ.get("BAWN_TEST_COMPILED") and not compiled.use():
    raise RuntimeError("nothing was built from these sources: python -m bawn.app.compile --needed")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: looking through it again and again is time of the tests."""
    gc.collect()
    gc.freeze()
