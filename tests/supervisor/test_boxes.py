"""What a command inside a box sees, finds and cannot do; each as root and as an ordinary user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.supervisor.yard import Yard

pytestmark = pytest.mark.containers

CONNECT = "import socket; print(socket.create_connection(({0!r}, {1}), 2).recv(99).decode())"
BIND = """
import socket
for options in ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)):
    one = socket.socket()
    for option in options:
        one.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        one.bind(({0!r}, 80))
        one.listen()
        print("bound")
    except OSError as error:
        print(error.errno)
"""
DESCRIPTORS = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    if not os.access(f"/proc/{pid}/fd", os.R_OK):
        continue
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            print(pid, fd, os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
"""


def test_it_reaches_its_own_door_and_no_other(yard: Yard) -> None:
    one, other = yard.started(), yard.started()
    program = CONNECT.format("ai.bawn.internal", 80)
    assert yard.python(one, program)["out"].strip() == f"door of {one}"
    assert yard.python(other, program)["out"].strip() == f"door of {other}"


@pytest.mark.parametrize("address", ["1.1.1.1", "169.254.169.254", "10.0.0.1", "2606:4700::1111"])
def test_there_is_no_way_to_any_other_address(yard: Yard, address: str) -> None:
    assert "Network is unreachable" in yard.python(yard.started(), CONNECT.format(address, 80))["err"]


def test_names_are_not_resolved(yard: Yard) -> None:
    said = yard.python(yard.started(), "import socket; socket.getaddrinfo('example.org', 443)")
    assert "gaierror" in said["err"]


@pytest.mark.parametrize("family", [40, 38, 17, 44])
def test_sockets_that_pass_by_the_network_namespace_do_not_exist(yard: Yard, family: int) -> None:
    """AF_VSOCK, AF_ALG, AF_PACKET, AF_XDP."""
    assert (
        "OSError" in yard.python(yard.started(), f"import socket; socket.socket({family}, socket.SOCK_STREAM)")["err"]
    )


def test_nothing_inside_can_bind_the_address_of_a_door(yard: Yard) -> None:
    box = yard.started()
    assert "bound" not in yard.python(box, BIND.format("127.0.0.2"))["out"]
    assert "bound" not in yard.python(box, BIND.format("0.0.0.0"))["out"]


def test_no_descriptor_of_the_host_is_inside(yard: Yard, folder: Path) -> None:
    box = yard.started(workspace=str(folder))
    for tty in (False, True):
        for line in yard.python(box, DESCRIPTORS, tty=tty)["out"].splitlines():
            _, number, target = line.split(maxsplit=2)
            harmless = target.startswith(("/dev/null", "/dev/pts/", "pipe:", "anon_inode:[eventfd]", "/proc/"))
            assert harmless, line
            assert int(number) < 10, line


def test_the_environment_is_what_was_written_out_and_nothing_else(yard: Yard) -> None:
    box = yard.started(env={"FROM_SPEC": "a"})
    said = yard.run(box, "env", env={"FROM_EXEC": "b"})["out"].splitlines()
    names = {line.partition("=")[0] for line in said}
    expected = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "HOSTNAME", "TMPDIR", "FROM_SPEC", "FROM_EXEC"}
    assert names == expected


def test_first_process_does_not_tell_the_paths_of_the_host(yard: Yard, folder: Path) -> None:
    box = yard.started(workspace=str(folder))
    said = yard.run(box, "cat", "/proc/1/cmdline", "/proc/1/environ")["out"]
    assert folder.name not in said
    assert str(yard.home) not in said


def test_the_agent_has_no_rights_and_can_get_none(yard: Yard) -> None:
    box = yard.started()
    status = yard.run(box, "cat", "/proc/self/status")["out"]
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert yard.run(box, "id", "-u")["out"] == "1000\n"
    assert yard.run(box, "unshare", "--user", "true")["code"] != 0


def test_what_the_agent_writes_belongs_to_the_owner_of_the_folder(yard: Yard, folder: Path) -> None:
    (folder / "given").write_text("given")
    box = yard.started(workspace=str(folder))
    assert yard.run(box, "sh", "-c", "cat given && echo made > made && ls -ln made")["out"].startswith("given")
    assert (folder / "made").read_text() == "made\n"
    assert (folder / "made").stat().st_uid == folder.stat().st_uid
    assert yard.run(box, "stat", "-c", "%u", "/workspace")["out"] == "1000\n"


def test_the_root_of_the_box_is_read_only(yard: Yard) -> None:
    box = yard.started()
    for place in ("/x", "/usr/x", "/etc/x", "/dev/x", "/etc/hosts"):
        assert yard.run(box, "sh", "-c", f"echo x >> {place}")["code"] != 0, place
    assert yard.run(box, "sh", "-c", "echo x > /tmp/x && echo x > ~/x")["code"] == 0


def test_exit_codes_come_back(yard: Yard) -> None:
    box = yard.started()
    assert yard.run(box, "sh", "-c", "exit 7")["code"] == 7
    assert yard.run(box, "sh", "-c", "kill -9 $$")["code"] == 137
    assert yard.run(box, "no-such-program")["code"] == 127
    assert "not found" in yard.run(box, "no-such-program")["err"]


def test_input_output_and_errors_are_kept_apart(yard: Yard) -> None:
    said = yard.run(yard.started(), "sh", "-c", "read line; echo got $line; echo bad >&2", type="word\n")
    assert (said["out"], said["err"]) == ("got word\n", "bad\n")


def test_a_terminal_is_a_terminal_of_its_size(yard: Yard) -> None:
    said = yard.run(
        yard.started(), "sh", "-c", "tty; stty size; read x; echo got $x", tty=True, rows=33, cols=77, type="hi\n"
    )
    assert "/dev/pts/" in said["out"]
    assert "33 77" in said["out"]
    assert "got hi" in said["out"]


def test_a_terminal_can_be_resized(yard: Yard) -> None:
    # Written without a buffer: the signal may come while the first line is still being written.
    program = (
        "import signal,os; signal.signal(28, lambda *_: (os.write(1, str(os.get_terminal_size()).encode()), os._exit(0)));"
        " os.write(1, b'x'); signal.pause()"
    )
    said = yard.python(yard.started(), program, tty=True, then={"do": "resize", "rows": 11, "cols": 22})
    assert said["then"]["ok"]
    assert "columns=22, lines=11" in said["out"]


def test_a_signal_reaches_the_command(yard: Yard) -> None:
    box = yard.started()
    said = yard.run(box, "sh", "-c", "echo x; sleep 1000", then={"do": "signal", "signal": "TERM"})
    assert said["code"] == 143


def test_another_box_is_neither_seen_nor_touched(yard: Yard) -> None:
    one, other = yard.started(), yard.started()
    yard.run(one, "sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo secret > /tmp/secret")
    assert "sleep 1000" not in yard.run(other, "ps", "ax")["out"]
    assert yard.run(other, "cat", "/tmp/secret")["code"] != 0


def test_a_box_that_is_gone_runs_nothing(yard: Yard) -> None:
    box = yard.started()
    assert yard.ask("delete", uuid=box)["ok"]
    assert yard.ask("exec", uuid=box, argv=["true"])["code"] == "sandbox.not_running"
    assert not (yard.home / "containers" / box).exists()


@pytest.mark.parametrize(
    "field",
    [{"network": "host"}, {"mounts": []}, {"cap_add": ["ALL"]}, {"name": "7"}, {"workspace": "/etc"}, {"uuid": "../x"}],
)
def test_what_a_box_may_not_be_is_refused(yard: Yard, field: dict[str, Any]) -> None:
    said = yard.ask("start", spec=yard.spec(**field))
    assert said["code"] == "sandbox.invalid"
