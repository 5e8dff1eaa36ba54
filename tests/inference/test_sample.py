"""The demo's sample and the scripted agent belong together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bawn.inference.script import built_in

SAMPLE = Path(__file__).parents[2] / "demo" / "sample"


def passing(folder: Path) -> bool:
    argv = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests"]
    return subprocess.run(argv, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("tool", "old", "new"), [("edit", "oldString", "newString"), ("Edit", "old_string", "new_string")]
)
def test_the_sample_fails_until_the_scripted_edit_is_made(tmp_path: Path, tool: str, old: str, new: str) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert not passing(folder)
    [edit] = [use for scene in built_in().scenes for use in scene.reply.tools if use.name == tool]
    path = folder / "tally" / "mean.py"
    text = path.read_text()
    assert text.count(edit.arguments[old]) == 1, json.dumps(edit.arguments)
    path.write_text(text.replace(edit.arguments[old], edit.arguments[new]))
    assert passing(folder)
