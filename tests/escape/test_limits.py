"""Each limit is run into, in every runtime, and holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.escape.grounds import Ground
from tests.supervisor.yard import Yard

from bawn.sandbox.cgroup import Cgroups

pytestmark = pytest.mark.containers

FORKS = """
import os, time
made = 0
try:
    while made < 400:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        made += 1
except OSError as error:
    print(error.errno, made)
"""
EATS = """
held = []
for _ in range(400):
    held.append(bytearray(1 << 20))
print("ate it all")
"""
FILLS = """
import os, sys
written = 0
try:
    with open(sys.argv[1] + "/big", "wb") as file:
        while written < 200 << 20:
            written += file.write(bytes(1 << 20))
            file.flush()
except OSError as error:
    print(error.errno, written >> 20)
"""
SPINS = """
import os, time
begin = time.monotonic()
while time.monotonic() - begin < 1.5:
    pass
print(sum(os.times()[:2]))
"""


def box(yard: Yard, ground: Ground, **limits: Any) -> str:
    """A box with these limits; skipped, with the reason, where this machine cannot hold them."""
    spec = yard.spec(ground.runtime, limits=limits)
    said = yard.ask("start", spec=spec)
    if said.get("code") == "sandbox.limit_unenforceable":
        pytest.skip(f"{ground}: {said['sentence']}")
    assert said["ok"], said
    return str(spec["uuid"])


def test_a_fork_bomb_meets_the_limit_of_processes(yard: Yard, ground: Ground) -> None:
    one = box(yard, ground, pids=64)
    said = yard.python(one, FORKS)
    if ground.own_kernel:
        assert said["code"] != 0  # its own kernel cannot go on: the box ends, and nothing else
    else:
        number, made = map(int, said["out"].split()[:2])
        assert number == 11
        assert made < 64
    # Whoever comes after the bomb still gets in, and the machine never noticed.
    assert yard.python(box(yard, ground), "print(1)")["out"] == "1\n"


def test_a_memory_bomb_meets_the_limit_of_memory(yard: Yard, ground: Ground) -> None:
    one = box(yard, ground, memory_bytes=128 << 20)
    said = yard.python(one, EATS)
    assert "ate it all" not in said["out"]
    assert said["code"] != 0


def test_what_is_written_to_scratch_folders_counts_as_memory(yard: Yard, ground: Ground) -> None:
    one = box(yard, ground, memory_bytes=96 << 20, scratch_bytes=1 << 30)
    said = yard.python(one, FILLS.replace("sys.argv[1]", "'/tmp'"))
    assert said["code"] != 0
    assert not said["out"]


@pytest.mark.parametrize("place", ["/tmp", "/home/agent", "/dev/shm", "/workspace"])
def test_a_disk_bomb_meets_the_size_of_the_scratch_folder(yard: Yard, ground: Ground, place: str) -> None:
    one = box(yard, ground, scratch_bytes=16 << 20)
    said = yard.python(one, FILLS.replace("sys.argv[1]", repr(place)))
    assert said["out"], said
    number, written = map(int, said["out"].split())
    assert number == 28
    assert written <= 16


def test_a_busy_loop_gets_the_processor_time_it_may_have(yard: Yard, ground: Ground) -> None:
    one = box(yard, ground, cpus=0.2)
    before = time.monotonic()
    used = float(yard.python(one, SPINS)["out"])
    assert Cgroups().events(one)["cpus"] > 0
    if not ground.own_kernel:  # its own kernel takes waiting for running
        assert used < 0.5 * (time.monotonic() - before)


def test_a_limit_that_nothing_holds_refuses_the_start_unless_it_may_be_soft(
    yard: Yard, ground: Ground, folder: Path
) -> None:
    spec = yard.spec(ground.runtime, workspace=str(folder), limits={"workspace_bytes": 1 << 30})
    said = yard.ask("start", spec=spec)
    assert said["code"] == "sandbox.limit_unenforceable"
    assert "workspace_bytes" in said["sentence"]
    said = yard.ask("start", spec=spec | {"allow_soft_limits": True})
    assert said["ok"], said
    assert any("workspace_bytes" in sentence for sentence in said["degraded"])
    assert yard.ask("delete", uuid=spec["uuid"])["ok"]


@pytest.mark.parametrize(
    "limits", [{"pids": 1}, {"cpus": 0}, {"memory_bytes": "1g"}, {"cpus": True}, {"disk": 1}, {"pids": None}]
)
def test_a_limit_that_makes_no_sense_is_refused(yard: Yard, ground: Ground, limits: dict[str, Any]) -> None:
    assert yard.ask("start", spec=yard.spec(ground.runtime, limits=limits))["code"] == "sandbox.invalid"
