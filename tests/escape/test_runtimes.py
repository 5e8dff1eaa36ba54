"""Which runtimes are refused, and what a box of each must be able to do all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.escape.grounds import Ground
from tests.supervisor.yard import Yard, open_yard

from bawn.sandbox.podman import FLAG, Podman, fixed

VERSIONS = {
    "1.1.5+ds1": False, "1.2.7": False, "1.2.8": True, "1.2.10": True, "1.3.0": False, "1.3.2": False, "1.3.3": True,
    "1.4.0-rc.2": False, "1.4.0-rc.3": True, "1.4.0": True, "1.5.0": True, "2.0.0": True, "": False, "unknown": False,
}  # fmt: skip


@pytest.mark.parametrize(("version", "good"), VERSIONS.items())
def test_a_runc_is_good_from_the_version_on_that_closes_its_known_ways_out(version: str, good: bool) -> None:
    assert fixed(version) is good


@pytest.mark.containers
def test_a_runc_with_known_ways_out_is_refused_unless_forced_and_then_the_status_keeps_saying_so(
    ground: Ground,
) -> None:
    if ground.program != "runc" or ground.ordinary:
        pytest.skip("about runc")
    with open_yard(None, ["--oci-runtime", "runc"]) as yard:
        said = yard.ask("start", spec=yard.spec("podman"))
        assert said["code"] == "sandbox.runtime_missing"
        assert FLAG in said["sentence"]
    with open_yard(None, ground.further) as yard:
        assert any(FLAG in sentence for sentence in yard.ready["degraded"])
        yard.started("podman")
        assert any(FLAG in sentence for sentence in yard.ask("look")["hello"]["degraded"])


@pytest.mark.containers
def test_a_box_of_every_runtime_does_what_a_box_is_for(yard: Yard, ground: Ground, folder: Path) -> None:
    (folder / "given").write_text("given")
    box = yard.started(ground.runtime, workspace=str(folder))
    reach = "import socket; print(socket.create_connection(('ai.bawn.internal', 80), 5).recv(99).decode())"
    assert yard.python(box, reach)["out"].strip() == f"door of {box}"
    assert yard.run(box, "sh", "-c", "cat given && echo made > made && id -u")["out"] == "given1000\n"
    assert (folder / "made").stat().st_uid == folder.stat().st_uid
    assert yard.run(box, "sh", "-c", "exit 7")["code"] == 7
    said = yard.run(box, "sh", "-c", "read line; echo got $line; echo bad >&2", type="word\n")
    assert (said["out"], said["err"]) == ("got word\n", "bad\n")
    said = yard.run(box, "sh", "-c", "tty; stty size; read x; echo got $x", tty=True, rows=33, cols=77, type="hi\n")
    assert ground.own_kernel or "/dev/pts/" in said["out"]
    assert "33 77" in said["out"]
    assert "got hi" in said["out"]
    said = yard.run(box, "sh", "-c", "echo x; sleep 1000", then={"do": "signal", "signal": "TERM"})
    assert said["code"] == 143
    assert yard.ask("delete", uuid=box)["ok"]
    assert yard.ask("exec", uuid=box, argv=["true"])["code"] == "sandbox.not_running"


def test_the_name_of_the_flag_is_the_one_that_the_command_line_has() -> None:
    assert FLAG == "--allow-vulnerable-runc"
    assert Podman.name == "podman"
