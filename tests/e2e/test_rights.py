"""Who may call: the container of the door, as long as it has the right, and not a moment longer."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.installation import INSIDE, Container, Installation, lives, until

from bawn import sdk

REFUSED = "This call is not authorised."


@pytest.fixture(scope="module")
def neighbour(yard: Installation, runtime: str) -> Iterator[Container]:
    box = yard.box(f"neighbour-{runtime}", runtime)
    yield box
    yard.bawn("containers", "delete", box.name)


def test_the_token_of_another_container_is_refused_through_this_door(
    yard: Installation, dev: Container, neighbour: Container
) -> None:
    assert dev.ask() == (200, "hello")
    assert neighbour.ask() == (200, "hello")
    status, answer = dev.ask(token=neighbour.token)
    assert status == 401
    assert REFUSED in answer
    assert neighbour.name not in answer
    assert f"which is '{dev.name}'" in yard.causes(dev.name)[0]
    # It was refused at the door of `dev`; the neighbour has nothing to do with it.
    assert yard.causes(neighbour.name) == []


def test_the_number_of_a_container_is_its_token_as_well(yard: Installation, dev: Container) -> None:
    number = yard.get(dev.name)["number"]
    assert dev.ask(token=f"container-{number}") == (200, "hello")
    assert dev.ask(token=f"container-{number + 1}")[0] == 401


def test_a_container_without_ai_is_refused_in_the_same_words(yard: Installation, dev: Container) -> None:
    _, wrong_token = dev.ask(token="container-nobody")
    yard.done("containers", "update", dev.name, "--no-ai")
    try:
        status, answer = dev.ask()
        assert status == 401
        assert json.loads(answer)["error"]["message"] == json.loads(wrong_token)["error"]["message"]
        assert yard.causes(dev.name)[0] == "AI is disabled for the container"
        told = yard.done("why", dev.name).out
        assert "AI is disabled" in told
        assert "POST /api/v1/chat/completions" in told
    finally:
        yard.done("containers", "update", dev.name, "--ai")
    assert dev.ask() == (200, "hello")


def test_a_container_can_be_made_without_ai(yard: Installation, runtime: str) -> None:
    box = yard.box(f"mute-{runtime}", runtime, "agent", "--no-ai")
    assert box.ask()[0] == 401
    assert yard.get(box.name)["ai"] is False
    yard.done("containers", "delete", box.name)


def by_client(yard: Installation, name: str) -> None:
    with sdk.Client(yard.socket) as client:
        client.containers.update(name, ai=False)


def by_command_line(yard: Installation, name: str) -> None:
    yard.done("containers", "update", name, "--no-ai")


@pytest.mark.parametrize(("withdraw", "most_s"), [(by_client, 0.1), (by_command_line, 0.5)])
def test_a_running_stream_is_cut_when_the_right_is_withdrawn(
    yard: Installation, dev: Container, withdraw: Callable[[Installation, str], None], most_s: float
) -> None:
    program = (INSIDE / "stream.py").read_text()
    with yard.start("exec", dev.name, "--", "python3", "-c", program, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        assert json.loads(reading.stdout.readline()) == "flowing"
        asked = time.time()
        withdraw(yard, dev.name)
        answered = time.time()
        end = json.loads(reading.stdout.readline())
    try:
        # The same clock inside and outside. The stream has a frame every 20 ms and would go on for ten seconds.
        assert end["ended"] - answered < most_s, end["ended"] - answered
        assert end["ended"] - asked < most_s + 1
        assert 20 <= end["tokens"] < 200
        assert not end["done"]
        assert "call.revoked" in end["error"]
        assert dev.ask()[0] == 401
    finally:
        yard.done("containers", "update", dev.name, "--ai")


def test_a_deleted_container_is_gone_with_its_door_and_its_name_is_free_but_not_its_number(
    yard: Installation, runtime: str
) -> None:
    first = yard.box(f"gone-{runtime}", runtime)
    number = yard.get(first.name)["number"]
    first_pid = json.loads((yard.home / "containers" / yard.get(first.name)["id"] / "state.json").read_text())["pid"]
    program = (INSIDE / "stream.py").read_text()
    with yard.start(
        "exec", first.name, "--", "python3", "-c", program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as reading:
        assert reading.stdout is not None
        assert json.loads(reading.stdout.readline()) == "flowing"
        yard.done("containers", "delete", first.name)
        reading.wait(10)
    until(lambda: not lives(first_pid), "the container's first process is gone")
    assert yard.bawn("containers", "get", first.name).code == 1
    assert yard.bawn("exec", first.name, "--", "true").code == 1
    again = yard.box(f"gone-{runtime}", runtime)
    assert yard.get(again.name)["number"] > number
    assert again.ask() == (200, "hello")
    assert again.ask(token=f"container-{number}")[0] == 401
    yard.done("containers", "delete", again.name)


def test_a_stopped_container_keeps_nothing_running_and_works_again_when_started(
    yard: Installation, runtime: str
) -> None:
    box = yard.box(f"pause-{runtime}", runtime)
    yard.done("containers", "stop", box.name, "--timeout", "0")
    assert yard.get(box.name)["state"] == "stopped"
    refused = box.bawn("true")
    assert refused.code == 1
    assert "sandbox.not_running" in refused.err
    yard.done("containers", "start", box.name)
    assert box.ask() == (200, "hello")
    yard.done("containers", "delete", box.name)


def test_an_expired_container_loses_its_right_and_is_stopped(yard: Installation, runtime: str) -> None:
    box = yard.box(f"brief-{runtime}", runtime)
    assert box.ask() == (200, "hello")
    box.leave("keep_asking", "30")
    yard.done("containers", "update", box.name, "--expires", "1s")
    until(lambda: yard.get(box.name)["state"] == "stopped", "the container is stopped")
    assert yard.get(box.name)["ai"] is False
    yard.done("containers", "delete", box.name)
