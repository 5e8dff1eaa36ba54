"""Where a client looks for Bawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from bawn.sdk import place


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BAWN_HOME", "BAWN_SOCKET", "BAWN_URL", "BAWN_TOKEN", "BAWN_CONFIG", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_home_of_root_and_of_others() -> None:
    assert place.home({}, 0) == Path("/var/lib/bawn")
    assert place.home({"HOME": "/home/ada"}, 1000) == Path("/home/ada/.local/state/bawn")
    assert place.home({"HOME": "/home/ada", "XDG_STATE_HOME": "/s"}, 1000) == Path("/s/bawn")
    assert place.home({"BAWN_HOME": "/b"}, 0) == Path("/b")


def test_the_environment_names_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAWN_SOCKET", "/x.sock")
    assert place.found().socket == "/x.sock"


def test_the_environment_names_an_address_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAWN_URL", "http://127.0.0.1:7420/")
    monkeypatch.setenv("BAWN_TOKEN", "bawn_pat_x")
    found = place.found()
    assert (found.base_url, found.headers) == ("http://127.0.0.1:7420", {"Authorization": "Bearer bawn_pat_x"})


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAWN_URL", "http://127.0.0.1:7420")
    assert place.found(socket="/y.sock").socket == "/y.sock"


def test_a_home_of_its_own_has_its_own_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAWN_HOME", "/b")
    assert place.found().socket == "/b/run/bawn.sock"
