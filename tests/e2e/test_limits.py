"""What one container may take, whose kernel it runs on, and what of its workspace it does not see."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.installation import Container, Installation, until
from tests.e2e.test_supervisor_crash import crash

HOLD = "x = bytearray(160 << 20); print(len(x))"
FORK = """
import os, signal
made = []
try:
    while len(made) < 200:
        child = os.fork()
        if child == 0:
            signal.pause()
        made.append(child)
except OSError:
    pass
for child in made:
    os.kill(child, signal.SIGKILL)
print(len(made))
"""
BURN = """
import os, time
begin = time.process_time(), time.monotonic()
while time.monotonic() - begin[1] < 1.0:
    pass
print((time.process_time() - begin[0]) / (time.monotonic() - begin[1]))
"""


def test_the_limits_of_one_container_hold_and_are_shown(yard: Installation, runtime: str) -> None:
    asked = ("--memory", "128m", "--pids", "40", "--cpus", "0.3", "--disk", "8m")
    box = yard.box(f"small-{runtime}", runtime, "agent", *asked)
    try:
        assert yard.get(box.name)["limits"] == {
            "memory_bytes": 128 << 20, "pids": 40, "cpus": 0.3, "scratch_bytes": 8 << 20
        }  # fmt: skip
        assert box.bawn("python3", "-c", HOLD).code != 0, "it may hold 128 MiB"
        filled = box.sh("head -c 20000000 /dev/zero > /tmp/full; stat -c %s /tmp/full; rm -f /tmp/full")
        assert int(filled.out.split()[0]) <= 8 << 20
        assert float(box.bawn("python3", "-c", BURN).out) < 0.6
        assert int(box.bawn("python3", "-c", FORK).out.split()[0]) < 40
    finally:
        yard.done("containers", "delete", box.name)


def test_the_limits_of_one_container_are_not_those_of_another(yard: Installation, runtime: str) -> None:
    box = yard.box(f"roomy-{runtime}", runtime)
    try:
        assert yard.get(box.name)["limits"] == {}
        assert box.bawn("python3", "-c", HOLD).out.strip() == str(160 << 20)
    finally:
        yard.done("containers", "delete", box.name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--memory", "lots"), "is not like 512m or 2g"),
        (("--memory", "1m"), "limits.memory_bytes"),
        (("--pids", "1"), "limits.pids"),
        (("--isolation", "strong", "--runtime", "bubblewrap"), "does not give the isolation"),
    ],
)
def test_what_no_container_can_have_is_refused_with_its_name(
    yard: Installation, words: tuple[str, ...], said: str
) -> None:
    refused = yard.bawn("containers", "create", "--name", "impossible", *words)
    assert refused.code != 0
    assert said in " ".join(refused.err.split()), refused
    assert "impossible" not in yard.done("containers", "list").out


def test_strong_isolation_is_a_kernel_of_its_own_or_a_refusal(yard: Installation) -> None:
    made = yard.bawn("run", "--rm", "--name", "own-kernel", "--isolation", "strong", "--", "cat", "/proc/version")
    if made.code == 0:
        assert made.out != Path("/proc/version").read_text()
    else:
        assert "sandbox.runtime_missing" in made.err or "runsc" in made.err, made
        assert "own-kernel" not in yard.done("containers", "list").out


def test_hidden_secrets_are_named_by_run_and_remembered_over_a_crash(
    yard: Installation, workspace: Path, runtime: str
) -> None:
    (workspace / ".env").write_text("SECRET=1")
    (workspace / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    name = f"hidden-{runtime}"
    words = ("--runtime", runtime, "--mount", str(workspace), "--workspace", "live")
    said = yard.bawn("run", "--name", name, *words, "--", "cat", "/workspace/.env", "/workspace/id_rsa")
    try:
        assert ".env, id_rsa look like secrets and are hidden from it." in said.err, said
        assert "SECRET" not in said.out
        assert sorted(yard.get(name)["masked"]) == [".env", "id_rsa"]
        pid = yard.kill("gateway")
        until(lambda: yard.runs() and yard.pid("gateway") != pid, "there is a gateway again")
        until(lambda: sorted(yard.get(name)["masked"]) == [".env", "id_rsa"], "the new gateway knows it")
        crash(yard)
        yard.up()
        assert sorted(yard.get(name)["masked"]) == [".env", "id_rsa"]
        covered = Container(yard, name, runtime).sh("cat /workspace/.env; ls -A /workspace/.codex")
        assert (covered.code, covered.out) == (0, ""), "to Codex, which looks, it is empty and no trouble"
        yard.done("containers", "stop", name, "--timeout", "0")
        assert yard.get(name)["masked"] == []
    finally:
        yard.bawn("containers", "delete", name)
