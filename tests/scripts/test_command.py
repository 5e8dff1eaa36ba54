"""A command of a rule: what it is told, and what becomes of one that hangs, floods, forks or is missing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bawn.scripts.worker.command import run


def ran(place: Path, command: str, *, seconds: float = 10, most: int = 1000, **said: Any) -> dict[str, Any]:
    asked = {"command": command, "env": {}, "stdin": "", "seconds": seconds, "output_bytes": most, **said}
    return run(asked, place)


def test_it_has_the_event_in_its_environment_and_on_its_standard_input(tmp_path: Path) -> None:
    told = ran(tmp_path, 'echo "$MITM_TOOL_INPUT"; cat', env={"MITM_TOOL_INPUT": "$(id) `id`; '\""}, stdin='{"a": 1}')
    assert told == {"code": 0, "output": '$(id) `id`; \'"\n{"a": 1}', "failed": ""}


def test_all_of_a_long_input_can_be_read(tmp_path: Path) -> None:
    assert ran(tmp_path, "wc -c", stdin="x" * 5_000_000)["output"].strip() == "5000000"


def test_its_place_stays(tmp_path: Path) -> None:
    ran(tmp_path, "echo one >> log")
    ran(tmp_path, "echo two >> log")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("no-such-program", 127), ("kill -9 $$", -9)])
def test_how_it_ended_is_told(tmp_path: Path, command: str, code: int) -> None:
    assert ran(tmp_path, command)["code"] == code


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    told = ran(tmp_path, "echo begun; sleep 60", seconds=0.3)
    assert told == {"code": None, "output": "begun\n", "failed": "it took longer than 0.3 s"}
    assert time.monotonic() - began < 5


def test_one_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    told = ran(tmp_path, "yes")
    assert told["failed"] == "it printed more than 1000 bytes"
    assert len(told["output"]) == 1000


def test_one_that_leaves_something_running_is_through_when_it_is(tmp_path: Path) -> None:
    began = time.monotonic()
    assert ran(tmp_path, "sleep 60 & echo done")["output"] == "done\n"
    assert time.monotonic() - began < 5


def test_an_environment_that_is_too_large_is_told(tmp_path: Path) -> None:
    assert "could not be started" in ran(tmp_path, "true", env={"X": "x" * 200_000})["failed"]
