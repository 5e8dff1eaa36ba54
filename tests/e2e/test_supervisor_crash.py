"""The supervisor dies by SIGKILL: its processes die with it, the boxes stay, and the next one takes them up."""

from __future__ import annotations

import json
import os
import signal

from tests.e2e.installation import Container, Installation, lives, until

UNREACHABLE = 3


def crash(yard: Installation) -> None:
    """All of Bawn's own processes are gone; nothing else is."""
    pids = {each["name"]: int(each["pid"]) for each in yard.json("status")["processes"]}
    os.kill(pids["supervisor"], signal.SIGKILL)
    until(lambda: not any(lives(pid) for pid in pids.values()), "all of Bawn's processes are gone")


def first_pid(box: Container) -> int:
    uuid = box.yard.get(box.name)["id"]
    return int(json.loads((box.yard.home / "containers" / uuid / "state.json").read_text())["pid"])


def test_running_containers_are_adopted_and_dead_ones_are_told_as_failed(yard: Installation, runtime: str) -> None:
    kept, lost = yard.box(f"kept-{runtime}", runtime), yard.box(f"lost-{runtime}", runtime)
    idle = f"idle-{runtime}"
    yard.done("containers", "create", "--name", idle, "--runtime", runtime)
    kept.leave("keep_asking", "60")
    until(lambda: len(kept.left("keep_asking")) > 3, "the program inside is answered")
    before, kept_pid, lost_pid = kept.first_process(), first_pid(kept), first_pid(lost)
    answered = len(kept.left("keep_asking"))
    crash(yard)
    try:
        refused = yard.bawn("containers", "list")
        assert refused.code == UNREACHABLE
        assert "daemon.unreachable" in refused.err
        assert lives(kept_pid)
        os.kill(lost_pid, signal.SIGKILL)
        until(lambda: not lives(lost_pid), "the other box is dead")
    finally:
        yard.up()
    states = {each["name"]: each["state"] for each in yard.json("containers", "list")}
    assert (states[kept.name], states[lost.name], states[idle]) == ("running", "failed", "created")
    # The same box, the same program in it, answered again without being started anew.
    assert kept.first_process() == before
    assert kept.ask() == (200, "hello")
    until(
        lambda: [status for _, status in kept.left("keep_asking")[answered:]][-3:] == [200] * 3,
        "the program inside is answered again",
    )
    assert lost.bawn("true").code == 1
    yard.done("containers", "start", lost.name)
    assert lost.ask() == (200, "hello")
    for name in (kept.name, lost.name, idle):
        yard.done("containers", "delete", name)
    until(lambda: not lives(kept_pid), "the adopted box can be ended")


def test_a_second_up_is_refused_while_one_runs(yard: Installation) -> None:
    refused = yard.bawn("up", "--detach")
    assert refused.code == 1
    assert "runs already" in refused.err


def test_down_stops_the_containers_and_up_can_start_them_again(yard: Installation, runtime: str) -> None:
    box = yard.box(f"over-{runtime}", runtime)
    pid = first_pid(box)
    yard.done("down")
    assert not lives(pid)
    assert yard.bawn("status").code == UNREACHABLE
    yard.up()
    assert yard.get(box.name)["state"] == "stopped"
    yard.done("containers", "start", box.name)
    assert box.ask() == (200, "hello")
    yard.done("containers", "delete", box.name)
