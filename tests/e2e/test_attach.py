"""The AI door in containers that somebody else started: theirs alone, or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation, lives, until

from bawn.errors import Fault
from bawn.sandbox.foreign import examined, first_process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root attaches")

ASK = """
import json, urllib.request
body = json.dumps({"model": "scripted/echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
headers = {"authorization": "Bearer container-foreign", "content-type": "application/json"}
request = urllib.request.Request("http://127.0.0.2/api/v1/chat/completions", body, headers)
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A container of somebody else's: namespaces of its own, and a program that knows its pid as podman does."""
    # The first waits in the host's network, as podman's own watcher does.
    argv = ["unshare", "--pid", "--fork", "--kill-child", "unshare", "--net", "sleep", "300"]
    with subprocess.Popen(argv) as process:
        inside = 0

        def started() -> bool:
            nonlocal inside
            said = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            inside = int(said[0]) if said else 0
            return inside > 0

        until(started, "it runs")
        until(lambda: b"sleep" in Path(f"/proc/{inside}/cmdline").read_bytes().split(b"\0")[0], "it is in its network")
        yield inside
        process.kill()


def entered(pid: int, *argv: str) -> list[str]:
    # The processes first: whoever has the network and is not among them shares it, and the door is closed to that.
    inside = ["nsenter", f"--pid=/proc/{pid}/ns/pid", "--"]
    return [*inside, "nsenter", f"--net=/proc/{pid}/ns/net", "--", *argv]


def test_a_container_of_its_own_network_is_known(foreign: int) -> None:
    assert examined(foreign).pid == foreign


def test_the_host_s_network_is_refused() -> None:
    with pytest.raises(Fault, match="network of the host"):
        examined(os.getpid())


def test_a_network_that_others_share_is_refused(foreign: int) -> None:
    argv = ["nsenter", f"--net=/proc/{foreign}/ns/net", "--", "unshare", "--pid", "--fork", "sleep", "60"]
    with subprocess.Popen(argv) as other:
        until(lambda: Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split(), "it shares")
        with pytest.raises(Fault, match="shares its network"):
            examined(foreign)
        child = int(Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()[0])
        os.kill(child, signal.SIGKILL)
        other.kill()


@pytest.mark.parametrize("target", ["--format", "a b", "", "x;y", 7, "a/b"])
def test_a_name_that_is_none_is_not_asked_for(target: object) -> None:
    with pytest.raises(Fault) as refused:
        first_process(target)
    assert refused.value.code == "sandbox.invalid"


@pytest.fixture
def by_podman(yard: Installation, foreign: int) -> Iterator[str]:
    """The same by podman itself, which on this machine may need much persuasion."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    rootfs = next((path for path in (yard.home / "images").glob("agent*/rootfs") if path.is_dir()), None)
    if rootfs is None:
        pytest.skip("there is no unpacked image to run by podman")
    name = "bawn-test-foreign"
    said = None
    for oci in ("crun", "runc"):
        subprocess.run(["podman", "rm", "-f", name], capture_output=True, check=False)
        argv = ["podman", "--runtime", oci, "--cgroup-manager", "cgroupfs", "run", "--detach", "--name", name]
        argv += ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        said = subprocess.run(
            [*argv, "--rootfs", str(rootfs.resolve()), "sleep", "300"], capture_output=True, text=True, check=False
        )
        if said.returncode == 0:
            break
    if said is None or said.returncode != 0:
        pytest.skip(f"podman cannot run a container here: {said.stderr[-300:] if said else ''}")
    yield name
    subprocess.run(["podman", "rm", "-f", "-t", "0", name], capture_output=True, check=False)


def test_an_attached_container_calls_models_by_its_own_door_until_it_is_detached(
    yard: Installation, by_podman: str
) -> None:
    said = yard.done("attach", by_podman, "--name", "foreign")
    assert "not walled" in said.err
    record = yard.get("foreign")
    assert (record["attestation"], record["runtime"], record["state"]) == ("weak", "attached", "running")
    assert "foreign is attached" in yard.done("status").out
    pid = first_process(by_podman)
    ask = entered(pid, sys.executable, "-c", ASK)
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "200"
    yard.kill("gateway")
    until(yard.runs, "the gateway is there again")
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "200"
    assert yard.bawn("exec", "foreign", "--", "true").code == 1
    assert yard.bawn("files", "list", "foreign:").code == 1
    assert yard.bawn("attach", by_podman, "--name", "again").code == 1
    yard.done("containers", "update", "foreign", "--no-ai")
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "401"
    yard.done("containers", "delete", "foreign")
    assert lives(pid), "the container itself goes on"
    refused = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert "refused" in refused
    time.sleep(0.1)
