"""A restore that is killed after any of its steps leaves the old state whole or the new one, and nothing beside them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bawn
from bawn.sandbox.pack import Pack, pack, unpack
from bawn.supervisor.restoring import JOURNAL, Restoring

STEPS = ("journal", "staging", "unpacked", "prepared", "committed", "exchanged", "kept", "clearing", "cleared")
DECIDED = STEPS.index("committed")

PROGRAM = """
import os, sys
from pathlib import Path
from bawn.supervisor.restoring import Restoring
place, snapshot, target, fatal = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

def step(name):
    if name == fatal:
        os._exit(9)

restoring = Restoring(place, step)
restoring.prepare_slowly(snapshot, target, {"home": "home.next"})
restoring.commit_slowly()
restoring.clear_slowly()
"""


def state(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_mode} {path.stat().st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def kept(folder: Path, place: Path) -> None:
    place.mkdir(parents=True)
    pack(os.open(folder, os.O_RDONLY), os.open(place, os.O_RDONLY))


@pytest.mark.parametrize("fatal", [*STEPS, "none"])
def test_a_restore_that_is_killed_leaves_one_state_whole(tmp_path: Path, fatal: str) -> None:
    work, home, place = tmp_path / "work", tmp_path / "home", tmp_path / "5c7e-place"
    for folder in (work, home, place):
        folder.mkdir()
    (work / "deep").mkdir()
    for name in ("a", "deep/b"):
        (work / name).write_text("new " * 1000)
    (home / "x").write_text("home of the snapshot")
    snapshot = tmp_path / "snapshot"
    kept(work, snapshot / "workspace")
    kept(home, snapshot / "home")
    new = state(work)
    (work / "a").write_text("old")
    (work / "only in the old").write_text("old")
    (home / "x").write_text("home before")
    kept(home, place / "home.next")
    old = state(work)

    argv = [sys.executable, "-c", PROGRAM, str(place), str(snapshot), str(work), fatal]
    env = {**os.environ, "PYTHONPATH": str(Path(bawn.__file__).parents[1])}
    ended = subprocess.run(argv, env=env, check=False)
    assert ended.returncode == (0 if fatal == "none" else 9)
    decided = fatal == "none" or STEPS.index(fatal) >= DECIDED
    if not decided:
        assert state(work) == old, "before it is decided nothing has changed"

    Restoring(place).recover()
    assert state(work) == (new if decided else old)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5c7e-place", "home", "snapshot", "work"]
    assert not (place / JOURNAL).exists()
    back = tmp_path / "back"
    back.mkdir()
    unpack(Pack.of(os.open(place / "home.next", os.O_RDONLY)), os.open(back, os.O_RDONLY), owners=os.geteuid() == 0)
    assert (back / "x").read_text() == ("home of the snapshot" if decided else "home before")


def test_recovering_twice_is_recovering_once(tmp_path: Path) -> None:
    Restoring(tmp_path).recover()
    Restoring(tmp_path).recover()
    assert list(tmp_path.iterdir()) == []
