"""What is impossible inside, whatever is tried."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.e2e.conftest import Planted
from tests.e2e.installation import Container, Installation, until

NOTHING = {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}


def test_there_is_no_network_but_the_door(dev: Container) -> None:
    found = dev.found("look_around")
    connected = found["connected"]
    assert {connected[host] for host in ("198.51.100.7", "169.254.169.254", "10.0.0.1")} == {"ENETUNREACH"}
    assert connected["2001:db8::1"] in NOTHING
    assert connected["127.0.0.1"] == "ECONNREFUSED"
    assert connected["name"].startswith("gaierror")
    assert connected["door"] == "reached"
    assert set(found["datagrams"].values()) <= NOTHING
    assert found["interfaces"] == ["lo"]
    assert found["routes"] == []


def test_there_is_no_key_and_nothing_of_the_operators_environment(
    yard: Installation, dev: Container, planted: Planted
) -> None:
    secret = planted.key()
    yard.forget_keys("mirror")
    yard.done("keys", "add", "mirror", stdin=secret)
    found = dev.found("look_around")
    everything = str(found)
    for each in planted.secrets:
        assert each not in everything
        assert base64.b64encode(each.encode()).decode() not in everything
    keys = {value for name, value in found["environment"].items() if name.endswith(("_KEY", "_TOKEN", "_SECRET"))}
    assert keys == {dev.token}
    assert found["environments"]  # its own; what it read of others', if it could, is in `everything`
    assert found["sockets"] == []


def test_the_agent_is_not_root_and_has_no_capability(dev: Container) -> None:
    found = dev.found("look_around")
    assert found["uid"] != 0
    assert int(found["capabilities"], 16) == 0
    assert dev.sh("echo x > /etc/hosts").code != 0
    assert dev.sh("unshare --user true").code != 0
    assert dev.sh("mount -t tmpfs none /tmp").code != 0


def test_the_gateway_keeps_its_memory_from_others_of_its_user(yard: Installation) -> None:
    process = Path("/proc", str(yard.pid("gateway")))
    assert "NoNewPrivs:\t1" in (process / "status").read_text()
    # What is not dumpable belongs to root, so that no process of the same user may read its memory.
    assert (process / "mem").stat().st_uid == 0


def test_the_address_of_a_door_cannot_be_taken_while_the_gateway_is_dead(yard: Installation, dev: Container) -> None:
    before, pid = dev.first_process(), yard.pid("gateway")
    assert dev.ask() == (200, "hello")
    dev.leave("take_the_door", "6")
    dev.leave("keep_asking", "6")
    until(lambda: len(dev.left("keep_asking")) > 3, "the program inside is answered")
    assert yard.kill("gateway") == pid
    until(yard.runs, "the management API answers again")
    assert yard.pid("gateway") != pid
    # The container was not touched: it is the same, runs, and its next call is answered.
    assert yard.get(dev.name)["state"] == "running"
    assert dev.ask() == (200, "hello")
    assert dev.first_process() == before
    until(lambda: dev.left("take_the_door"), "the program inside has ended")
    found = dev.left("take_the_door")[-1]
    assert "taken" not in found
    assert sum(found.values()) > 1000
    answers = dev.left("keep_asking")
    assert answers[0][1] == answers[-1][1] == 200
    # Who called while nobody was there waited at the open door, or had an honest end; nobody was refused.
    assert {status for _, status in answers} <= {200, 0}


def test_a_right_withdrawn_before_the_gateway_died_stays_withdrawn(yard: Installation, dev: Container) -> None:
    yard.done("containers", "update", dev.name, "--no-ai")
    try:
        yard.kill("gateway")
        until(yard.runs, "the management API answers again")
        assert dev.ask()[0] == 401
    finally:
        yard.done("containers", "update", dev.name, "--ai")
    assert dev.ask() == (200, "hello")


def test_the_management_api_is_not_reached_from_inside_nor_by_a_containers_token(
    yard: Installation, dev: Container
) -> None:
    port = yard.json("status")["listening"][1].rpartition(":")[2]
    line = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
    assert dev.bawn("python3", "-c", line).out.strip() == "111"
    outside = yard.bawn("containers", "list")
    assert outside.code == 0
