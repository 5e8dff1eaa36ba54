"""The seven examples that people copy from, as they are written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLES = (Path(__file__).parent / "examples.json").read_text("utf-8")


def example(id_: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in json.loads(EXAMPLES) if each["id"] == id_)
    return {**found, **changes}
