"""Crashes, restarts and ends: what survives, what does not, and that no port is ever free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.supervisor.yard import Yard

pytestmark = pytest.mark.containers

HOLD = """
import socket, time
until = time.monotonic() + {0}
print("x", flush=True)
while time.monotonic() < until:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.2", 80))
        one.listen()
    except OSError as error:
        assert error.errno == 98, error
        one.close()
        continue
    print("took it", flush=True)
    time.sleep(60)
print("never free", flush=True)
"""
REACH = "import socket; print(socket.create_connection(('ai.bawn.internal', 80), 5).recv(99).decode())"


def free_low_ports(pid: int) -> None:
    """Lets anybody in the box bind port 80, which the kernel would refuse for its own reasons: here the door must."""
    program = "from pathlib import Path; Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').write_text('0')"
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", program], check=True)


def gone(pid: int, within_s: float = 10) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to let the box bind low ports")
def test_a_gateway_that_crashes_leaves_no_free_port_and_gets_its_doors_back(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    free_low_ports(yard.state(box)["pid"])
    # A program of the box itself, written to a file so that the end of the gateway does not end it.
    yard.run(
        box, "sh", "-c", f"cat > /tmp/hold.py <<'E'\n{HOLD.format(4)}\nE\nsetsid python3 /tmp/hold.py > /tmp/out 2>&1 &"
    )
    before = yard.ask("look")["pid"]
    yard.ask("die")
    after = yard.ask("look")
    assert after["pid"] != before
    assert after["doors"] == [box]
    assert yard.python(box, REACH)["out"].strip() == f"door of {box}"
    time.sleep(4)
    assert yard.run(box, "cat", "/tmp/out")["out"] == "x\nnever free\n"


def test_a_supervisor_that_crashes_takes_all_its_processes_along_but_not_the_boxes(
    own_yard: Callable[[], Yard],
) -> None:
    yard = own_yard()
    box = yard.started()
    first = yard.state(box)["pid"]
    services = [yard.ask("look")["pid"], yard.ask("look")["hello"]["pids"]["audit"]]
    yard.crash()
    assert all(gone(pid) for pid in services)
    assert not gone(first, 0.1)
    yard.restart()


def test_a_new_supervisor_adopts_the_boxes_of_the_old(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    assert yard.python(box, REACH)["code"] == 0  # leaves connections behind in the box
    yard.run(box, "sh", "-c", "echo kept > /tmp/kept")
    first = yard.state(box)
    yard.crash()
    yard.restart()
    assert yard.ask("look")["doors"] == [box]
    assert yard.state(box) == first
    assert yard.run(box, "cat", "/tmp/kept")["out"] == "kept\n"
    assert yard.python(box, REACH)["out"].strip() == f"door of {box}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to let the box bind low ports")
def test_a_box_that_took_its_door_meanwhile_is_stopped(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    first = yard.state(box)["pid"]
    free_low_ports(first)
    yard.run(
        box,
        "sh",
        "-c",
        f"cat > /tmp/hold.py <<'E'\n{HOLD.format(60)}\nE\nsetsid python3 /tmp/hold.py > /tmp/out 2>&1 &",
    )
    yard.crash()
    time.sleep(1)
    yard.restart()
    assert gone(first)
    said = yard.ask("look")
    assert said["doors"] == []
    assert "holds the address" in next(event["reason"] for event in said["events"] if event.get("uuid") == box)


def test_a_box_whose_first_process_is_another_by_now_is_not_adopted(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    record = yard.home / "containers" / box / "state.json"
    first = yard.state(box)["pid"]
    yard.crash()
    record.write_text(record.read_text().replace(f'"pid": {first}', f'"pid": {os.getpid()}'))
    yard.restart()
    assert yard.ask("look")["doors"] == []
    os.kill(first, signal.SIGKILL)


def test_an_orderly_end_leaves_nothing_running(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    everything = [*descendants(yard.process.pid), yard.state(box)["pid"]]
    assert yard.end() == 0
    assert all(gone(pid) for pid in everything)


def test_a_box_that_dies_by_itself_is_told(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    box = yard.started()
    os.kill(yard.state(box)["pid"], signal.SIGKILL)
    until = time.monotonic() + 10
    while not yard.ask("look")["events"] and time.monotonic() < until:
        time.sleep(0.05)
    assert yard.ask("look")["events"][0]["uuid"] == box
    assert yard.ask("exec", uuid=box, argv=["true"])["code"] == "sandbox.not_running"


def test_a_second_supervisor_is_refused(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    second = yard.spawn()
    assert second.wait(10) == 1
    assert second.stdout is not None
    second.stdout.close()
    assert "runs already" in (yard.home.parent / "log").read_text()


def test_a_stop_does_not_wait_for_other_boxes(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    slow, quick = yard.started(), yard.started()
    yard.run(slow, "sh", "-c", "trap '' TERM; (while :; do sleep 1; done) > /dev/null 2>&1 &")
    waiting = threading.Thread(target=yard.ask, args=("stop",), kwargs={"uuid": slow, "timeout_s": 3})
    waiting.start()
    began = time.monotonic()
    assert yard.ask("stop", uuid=quick, timeout_s=0)["ok"]
    assert time.monotonic() - began < 1
    waiting.join()


def test_a_stopped_box_starts_again(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    spec = yard.spec()
    for _ in range(2):
        assert yard.ask("start", spec=spec)["ok"]
        assert yard.python(spec["uuid"], REACH)["out"].strip() == f"door of {spec['uuid']}"
        assert yard.ask("stop", uuid=spec["uuid"], timeout_s=0)["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have other users")
def test_the_gateway_has_no_rights_and_nothing_of_the_operators_environment(own_yard: Callable[[], Yard]) -> None:
    said = own_yard().ask("look")
    assert said["uid"] != 0
    assert said["groups"] == []
    assert said["caps"] == "0000000000000000"
    assert set(said["env"]) <= {"PATH", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "LC_CTYPE"}
    assert said["key_bytes"] == len("bawn-master-1:") + 64 + len("\n")


def test_the_master_key_is_made_once_and_outside_of_the_home(own_yard: Callable[[], Yard]) -> None:
    yard = own_yard()
    key = yard.home.parent / "config/master.key"
    made = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    yard.crash()
    yard.restart()
    assert key.read_bytes() == made
    assert subprocess.run(["grep", "-rlF", made[:16].hex(), str(yard.home)], check=False).returncode == 1


def test_a_gateway_that_never_starts_ends_the_supervisor_instead_of_being_tried_for_ever(tmp_path: Path) -> None:
    starting = (
        "import sys; from bawn.supervisor.main import main; from bawn.supervisor.processes import Programs; "
        "quiet = ('-c', 'import signal; signal.pause()'); bad = ('-c', 'raise SystemExit(1)'); "
        "sys.exit(main(sys.argv[1:], Programs(bad, quiet, quiet, quiet, quiet, quiet)))"
    )
    (tmp_path / "etc").mkdir()
    tmp_path.chmod(0o755)
    argv = [
        sys.executable,
        "-c",
        starting,
        "--home",
        str(tmp_path / "home"),
        "--config",
        str(tmp_path / "etc/bawn.yaml"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "the gateway does not start" in done.stderr
