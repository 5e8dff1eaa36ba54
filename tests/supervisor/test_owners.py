"""The processes of the other doors: what they are handed, and that each may end without the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.supervisor.yard import Yard

_DIAL = """
import socket, sys
caller = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
print(caller.makefile().readline().strip())
"""
EGRESS, PACKAGES = ("127.0.0.3", "3128"), ("127.0.0.5", "80")


def said_at(yard: Yard, box: str, place: tuple[str, str]) -> str:
    return str(yard.run(box, "python3", "-c", _DIAL, *place)["out"]).strip()


def told(yard: Yard, owner: str) -> dict[str, Any]:
    """What the owner says to the gateway, as soon as the two are connected."""
    until = time.monotonic() + 20
    while "pid" not in (said := yard.ask("owner", name=owner)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return said


def again(yard: Yard, owner: str, before: int) -> dict[str, Any]:
    """As `told`, once it is another process than before."""
    until = time.monotonic() + 20
    while (said := told(yard, owner))["pid"] == before:
        assert time.monotonic() < until
        time.sleep(0.05)
    return said


def test_every_door_is_answered_by_the_process_that_owns_its_kind(yard: Yard) -> None:
    one, other = yard.started(), yard.started()
    for place, kind in ((EGRESS, "egress"), (PACKAGES, "packages")):
        pid = told(yard, kind)["pid"]
        assert said_at(yard, one, place) == f"{kind} of {one} by {pid}"
        assert said_at(yard, other, place) == f"{kind} of {other} by {pid}"


def test_the_owners_of_doors_are_a_user_of_their_own(own_yard: Callable[[], Yard]) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    yard = own_yard()
    gateway = yard.ask("look")["uid"]
    owners = {told(yard, name)["uid"] for name in ("egress", "packages")}
    assert len(owners) == 1
    assert not owners & {0, gateway}


def test_an_owner_that_dies_comes_back_with_every_door_and_a_new_gateway_pair(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    first = told(yard, "egress")["pid"]
    os.kill(first, signal.SIGKILL)
    second = again(yard, "egress", first)["pid"]
    assert said_at(yard, box, EGRESS) == f"egress of {box} by {second}"


def test_a_gateway_that_comes_anew_is_connected_with_the_owners_that_stayed(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    before = {name: told(yard, name)["pid"] for name in ("egress", "packages")}
    gateway = yard.ask("look")["pid"]
    yard.ask("die")
    until = time.monotonic() + 20
    while yard.ask("look").get("pid") in (gateway, None):
        assert time.monotonic() < until
    assert {name: told(yard, name)["pid"] for name in ("egress", "packages")} == before


def test_an_owner_is_told_when_the_doors_of_a_box_close(yard: Yard) -> None:
    box = yard.started()
    yard.ask("stop", uuid=box, timeout_s=0)
    assert box in told(yard, "egress")["closed"]
    assert box in told(yard, "packages")["closed"]


def test_only_the_mirror_is_told_the_registries_of_the_host(yard: Yard) -> None:
    assert told(yard, "egress")["told"] is None
    assert set(told(yard, "packages")["told"]) <= {"pip", "npm", "proxies"}
