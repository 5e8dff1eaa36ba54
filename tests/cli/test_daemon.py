"""`bawn up` and `bawn down` as far as they go without a supervisor; with one, see the whole-program tests."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from bawn.cli import daemon
from bawn.errors import Fault


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAWN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BAWN_CONFIG", str(tmp_path / "etc" / "bawn.yaml"))
    (tmp_path / "home").mkdir()


def test_the_first_configuration_names_the_starter_profile(tmp_path: Path) -> None:
    assert daemon.first_config() == tmp_path / "etc" / "bawn.yaml"
    assert "\nprofile: starter\n" in (tmp_path / "etc" / "bawn.yaml").read_text()


def test_a_configuration_that_is_there_is_left_alone(tmp_path: Path) -> None:
    daemon.first_config().write_text("profile: none\n")
    assert daemon.first_config().read_text() == "profile: none\n"


def test_a_left_over_lock_file_is_nobody(tmp_path: Path) -> None:
    assert daemon.running() is None
    (tmp_path / "home" / "supervisor.lock").write_text("1\n")
    assert daemon.running() is None


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "home" / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, b"4711\n")
    try:
        assert daemon.running() == 4711
        with pytest.raises(Fault, match="runs already"):
            daemon.up()
    finally:
        os.close(lock)


def test_what_does_not_run_cannot_be_stopped() -> None:
    with pytest.raises(Fault) as fault:
        daemon.down()
    assert fault.value.code == "daemon.unreachable"


def test_a_supervisor_that_ends_at_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Fault, match="ended with 1"):
        daemon.up(detach=True)
    assert stat.S_IMODE((tmp_path / "home" / "bawn.log").stat().st_mode) == 0o600
