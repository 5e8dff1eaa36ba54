"""Bawn as an ordinary user: an own installation in the user's home, bubblewrap, the host's own programs."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.e2e.conftest import Planted
from tests.e2e.installation import Container, Installation, until


@pytest.fixture(scope="module", params=["bubblewrap", "podman"])
def box(own: Installation, request: pytest.FixtureRequest) -> Container:
    if (said := own.json("status")["runtimes"][request.param]) != "ready":
        pytest.skip(said)
    return own.box(f"mine-{request.param}", request.param, "host")


def test_an_ordinary_user_has_a_container_that_reaches_the_model(own: Installation, box: Container) -> None:
    status = own.json("status")
    assert status["rootless"] is True
    assert status["runtimes"]["runsc"] != "ready"
    assert any("ootless" in sentence for sentence in status["degraded"])
    assert box.ask() == (200, "hello")
    assert box.ask(token="container-other")[0] == 401


def test_there_is_no_network_and_no_key_of_the_user(box: Container, planted: Planted) -> None:
    found = box.found("look_around")
    assert {found["connected"][host] for host in ("198.51.100.7", "10.0.0.1")} == {"ENETUNREACH"}
    assert found["connected"]["door"] == "reached"
    assert found["interfaces"] == ["lo"]
    assert not any(secret in str(found) for secret in planted.secrets)


def test_the_users_files_stay_the_users(own: Installation, ordinary: dict[str, Any], box: Container) -> None:
    folder = own.place / f"work-{box.runtime}"
    folder.mkdir()
    uid = ordinary.get("user", os.geteuid())
    os.chown(folder, uid, ordinary.get("group", os.getegid()))
    words = ("--runtime", box.runtime, "--image", "host", "--mount", str(folder))
    own.done("run", "--rm", *words, "--", "sh", "-c", "echo made inside > file")
    assert (folder / "file").read_text() == "made inside\n"
    assert (folder / "file").stat().st_uid == uid


def test_what_an_ordinary_user_runs_is_closed_to_others(own: Installation) -> None:
    assert own.home.stat().st_mode & 0o777 == 0o700
    assert (own.config.parent / "master.key").stat().st_mode & 0o777 == 0o600


def test_a_right_is_withdrawn_and_the_gateway_comes_back_as_for_root(own: Installation, box: Container) -> None:
    own.done("containers", "update", box.name, "--no-ai")
    assert box.ask()[0] == 401
    own.done("containers", "update", box.name, "--ai")
    own.kill("gateway")
    assert own.bawn("status").code in (0, 3)
    until(own.runs, "the management API answers again")
    assert box.ask() == (200, "hello")
