"""The workers of scripts, as the whole supervisor starts them: for root with users of their own, and for anybody."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from tests.supervisor.yard import Yard

LOOK = """
import os
async def handle(req, res, ctx):
    with open("/data/kept", "a") as file:
        file.write("x")
    return {"uid": os.getuid(), "kept": os.path.getsize("/data/kept"), "door": os.access("/run/bawn/door/door.sock", os.W_OK),
            "env": dict(ctx.env)}
"""


class Calling(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("worker", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


def call(path: str) -> Any:
    connection = Calling(path)
    container = json.dumps({"uuid": "c", "number": 1, "name": "one", "project": "shop"})
    connection.request("POST", "/handle", b"{}", {"x-bawn-script": "api/v1/look.py", "x-bawn-container": container})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, said
    return said


def gateway(yard: Yard) -> int:
    if yard.uid is not None:
        return yard.uid
    return pwd.getpwnam("bawn").pw_uid if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def project(yard: Yard) -> str:
    """The folders that the gateway makes, and one script; all its own and closed to others."""
    yard.number += 1
    name, uid = f"shop{yard.number}", gateway(yard)
    folders = [
        "run/scripts",
        "run/scripts/door",
        f"run/scripts/{name}",
        f"run/scripts/{name}/egress",
        f"scripts/{name}",
    ]
    folders += [f"scripts/{name}/1", f"scripts/{name}/1/api", f"scripts/{name}/1/api/v1"]
    for folder in folders:
        (yard.home / folder).mkdir(exist_ok=True, mode=0o700)
        os.chown(yard.home / folder, uid, uid)
    script = yard.home / f"scripts/{name}/1/api/v1/look.py"
    script.write_text(LOOK)
    script.chmod(0o600)
    os.chown(script, uid, uid)
    door = yard.home / "run/scripts/door/door.sock"
    door.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
    door.chmod(0o600)
    os.chown(door, uid, uid)
    return name


def start(yard: Yard, project: str) -> dict[str, Any]:
    said = yard.ask("script.start", project=project, exec="1", env={"TOKEN": "t"})
    assert said["ok"], said
    return said


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def inside(pid: int) -> list[int]:
    """All processes of a worker's box."""
    below = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return below + [each for one in below for each in inside(one)]


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not lives(pid)


def test_a_worker_sees_what_is_the_gateways_and_keeps_what_is_its_projects(yard: Yard, project: str) -> None:
    said = start(yard, project)
    assert call(said["socket"]) == {"uid": 1000, "kept": 1, "door": True, "env": {"TOKEN": "t"}}
    place = Path(said["socket"])
    assert (place.stat().st_mode & 0o777, place.stat().st_uid) == (0o600, gateway(yard))
    assert yard.ask("script.stop", project=project, exec="1")["ok"]
    assert gone(said["pid"])
    assert not place.exists()
    assert call(start(yard, project)["socket"])["kept"] == 2
    assert yard.ask("script.stop", project=project, exec="1")["ok"]


def test_as_root_no_worker_is_a_user_that_anybody_else_is(yard: Yard, project: str) -> None:
    if yard.uid is not None or os.geteuid() != 0:
        pytest.skip("not root")
    said = start(yard, project)
    call(said["socket"])
    uids = Path(f"/proc/{said['pid']}/status").read_text().split("Uid:")[1].split()[:4]
    assert set(uids) == {str(0x7FF00000)}
    kept = yard.home / f"workers/data/{project}/kept"
    assert kept.stat().st_uid == pwd.getpwnam("bawn-scripts").pw_uid
    assert yard.ask("script.stop", project=project, exec="1")["ok"]


def test_workers_end_with_their_gateway(yard: Yard, project: str) -> None:
    said = start(yard, project)
    call(said["socket"])
    pids = [yard.ask("look")["pid"], said["pid"], *inside(said["pid"])]
    yard.ask("die")
    assert all(gone(pid) for pid in pids)
    again = start(yard, project)
    assert call(again["socket"])["kept"] == 2
    assert yard.ask("script.stop", project=project, exec="1")["ok"]


def test_workers_end_with_their_supervisor(yard: Yard, project: str) -> None:
    said = start(yard, project)
    call(said["socket"])
    pids = [said["pid"], *inside(said["pid"])]
    assert len(pids) == 3
    yard.crash()
    assert all(gone(pid) for pid in pids)
    yard.restart()
    assert call(start(yard, project)["socket"])["kept"] == 2


def test_the_end_of_a_worker_is_told(yard: Yard, project: str) -> None:
    said = start(yard, project)
    os.kill(said["pid"], 9)
    until = time.monotonic() + 10
    event: dict[str, Any] = {}
    while not event and time.monotonic() < until:
        told = yard.ask("look")["events"]
        event = next((each for each in told if each["event"] == "script.ended" and each["pid"] == said["pid"]), {})
    assert (event["project"], event["exec"], event["reason"]) == (project, "1", "it was killed by signal 9")
