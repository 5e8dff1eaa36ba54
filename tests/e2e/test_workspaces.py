"""Copies that agents work in, bringing their work over, snapshots, and containers that end with their work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.installation import Container, Installation, until

IMAGE = "agent"


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".envrc", ".mcp.json")  # which stand in while a box runs
    }


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "safe.directory=*")
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def test_an_agent_works_in_a_copy_and_a_person_brings_over_what_they_want(
    yard: Installation, runtime: str, workspace: Path
) -> None:
    (workspace / ".env").write_text("SECRET=of the host")
    (workspace / "left").write_text("x")
    os.chown(workspace / "left", workspace.stat().st_uid, workspace.stat().st_gid)
    before = tree(workspace)
    box = yard.box(f"copy-{runtime}", runtime, IMAGE, "--mount", str(workspace), "--workspace", "copy")
    try:
        script = (
            "set -e; cd /workspace; test ! -e .env; echo more >> README.md; echo new > added; rm left;"
            "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch /tmp/owned\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit;"
            "touch \"$(printf 'a\\033[31mb')\""
        )
        said = box.sh(script)
        assert said.code == 0, said
        assert tree(workspace) == before, "nothing of the host is touched"
        shown = yard.done("diff", box.name).out
        assert "M README.md" in shown
        assert "+more" in shown
        assert "D left" in shown
        assert "A a\\x1b[31mb" in shown
        assert ".git/hooks/pre-commit  (executable, guarded)" in shown
        assert "\x1b" not in shown
        assert yard.bawn("apply", box.name, "added", stdin="n\n").code == 0
        assert not (workspace / "added").exists()
        yard.done("apply", box.name, "added", stdin="y\n")
        assert (workspace / "added").read_text() == "new\n"
        assert (workspace / "added").stat().st_uid == workspace.stat().st_uid
        assert (workspace / "left").exists()
        yard.done("apply", box.name, "--yes")
        assert not (workspace / "left").exists()
        assert (workspace / "README.md").read_text().endswith("more\n")
        assert not (workspace / ".git").exists(), "what the host would obey is left"
        (workspace / "README.md").write_text("a person's own\n")
        box.sh("echo again >> README.md")
        said = yard.bawn("apply", box.name, "--yes", "README.md")
        assert said.code == 1
        assert "workspace.conflict" in said.err
        assert (workspace / "README.md").read_text() == "a person's own\n"
        yard.done("containers", "stop", box.name, "--timeout", "0")
        assert "README.md" in yard.done("diff", box.name, "--stat").out, "a copy outlives the box"
    finally:
        yard.bawn("containers", "delete", box.name)
    copies = yard.home / "workspaces"
    assert list(copies.iterdir()) == []


def test_uncommitted_work_makes_a_copy_and_says_so(yard: Installation, workspace: Path, runtime: str) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git(workspace, "init", "-q")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "first")
    words = ("run", "--runtime", runtime, "--rm", "--mount", str(workspace))
    script = ("--", "sh", "-c", "echo agent > /workspace/by-agent")
    (workspace / "uncommitted").write_text("work")
    said = yard.done(*words, *script)
    assert "private copy" in said.err
    assert "1 change in the copy went with it" in said.err
    assert not (workspace / "by-agent").exists()
    said = yard.done(*words, "--apply", *script)
    assert (workspace / "by-agent").read_text() == "agent\n"
    assert [each["name"] for each in yard.json("containers", "list") if each["ephemeral"]] == []


def test_a_snapshot_brings_back_workspace_and_home_and_no_right(
    yard: Installation, workspace: Path, runtime: str
) -> None:
    box = yard.box(f"snap-{runtime}", runtime, IMAGE, "--mount", str(workspace))
    try:
        box.sh(
            "umask 077; echo at-home > ~/note; ln -s nowhere ~/link; mkdir -p /workspace/d;"
            "echo 1 > /workspace/d/f; ln /workspace/d/f /workspace/second"
        )
        before = tree(workspace)
        taken = yard.json("snapshots", "create", box.name, "--alias", "before")
        assert taken["name"].startswith("snap-")
        box.sh(
            "rm -rf ~/note /workspace/d; echo 2 > /workspace/second; echo spoiled > /workspace/README.md; echo x > ~/more"
        )
        yard.done("containers", "update", box.name, "--no-ai")
        number = yard.get(box.name)["number"]
        yard.done("snapshots", "restore", box.name, taken["name"], "--yes")
        assert tree(workspace) == before
        assert (workspace / "d" / "f").stat().st_ino == (workspace / "second").stat().st_ino
        assert (
            box.sh("cat ~/note; readlink ~/link; stat -c '%a %U' ~/note; ls ~/more").out
            == "at-home\nnowhere\n600 agent\n"
        )
        after = yard.get(box.name)
        assert (after["ai"], after["number"], after["state"]) == (False, number, "running")
        assert box.ask()[0] == 401
        assert [each["alias"] for each in yard.json("snapshots", "list", box.name)] == ["before"]
        yard.done("snapshots", "restore", box.name, "before", "--yes")
        yard.done("snapshots", "delete", box.name, taken["name"])
        assert yard.json("snapshots", "list", box.name) == []
        assert "api.not_found" in yard.bawn("snapshots", "restore", box.name, "--yes", taken["name"]).err
    finally:
        yard.bawn("containers", "delete", box.name)
    assert [path for path in workspace.parent.iterdir() if path.name.startswith(".")] == []


def test_a_container_stands_still_while_it_is_kept_and_goes_on_after(yard: Installation, dev: Container) -> None:
    dev.bawn(
        "sh",
        "-c",
        "exec setsid -f sh -c 'n=0; while :; do n=$((n+1)); echo $n > /workspace/a; echo $n > /workspace/b; done'"
        " </dev/null >/dev/null 2>&1",
    )
    try:
        taken = [yard.json("snapshots", "create", dev.name) for _ in range(3)]
        assert len({each["name"] for each in taken}) == 3
        before = dev.sh("cat /workspace/a").out
        until(lambda: dev.sh("cat /workspace/a").out != before, "it goes on")
    finally:
        dev.sh("pkill -f 'while :' || true")


def test_what_is_ephemeral_goes_when_nobody_can_wait_for_it_any_more(yard: Installation, runtime: str) -> None:
    words = ("run", "--name", f"eph-{runtime}", "--runtime", runtime, "--ephemeral", "--", "sleep", "600")
    with yard.start(*words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        until(
            lambda: any(
                each["name"] == f"eph-{runtime}" and each["state"] == "running"
                for each in yard.json("containers", "list")
            ),
            "it runs",
        )
        time.sleep(1)
        command.send_signal(signal.SIGKILL)
    yard.kill("gateway")
    until(yard.runs, "the gateway is there again")
    until(lambda: f"eph-{runtime}" not in [each["name"] for each in yard.json("containers", "list")], "it is gone")
    name = f"eph2-{runtime}"
    yard.done("run", "--name", name, "--runtime", runtime, "--keep", "--", "true")
    yard.done("containers", "delete", name)


@pytest.mark.parametrize("mode", ["live", "copy", "memory"])
def test_a_task_has_a_folder_of_its_own_and_nothing_beside_it(
    yard: Installation, runtime: str, workspace: Path, mode: str
) -> None:
    (workspace / ".env").write_text("SECRET=of the host")
    mount = () if mode == "memory" else ("--mount", str(workspace), "--workspace", mode)
    box = yard.box(f"task-{mode}-{runtime}", runtime, IMAGE, "--task", "tidy up", *mount)
    try:
        place = yard.get(box.name)["workdir"]
        assert place == f"/workspace/task-{yard.get(box.name)['number']}"
        assert box.sh("pwd").out.strip() == place
        assert box.sh("ls -A /workspace").out.split() == [place.rpartition("/")[2]]
        assert box.sh("echo x > /workspace/beside; mkdir /workspace/other").code != 0
        assert box.sh(f"mv {place} /workspace/renamed").code != 0
        assert box.sh("echo made > made; cat made").out == "made\n"
        assert box.sh("cat .env").out == ""
        assert yard.done("files", "get", f"{box.name}:made", "-").out == "made\n"
        assert "made" in yard.done("files", "list", f"{box.name}:").out
        assert yard.bawn("files", "list", f"{box.name}:/workspace").code != 0, "what is beside it is nobody's"
        name = yard.json("snapshots", "create", box.name)["name"]
        box.sh("echo spoiled > made")
        yard.done("snapshots", "restore", box.name, name, "--yes")
        assert box.sh("cat made").out == "made\n"
        if mode == "live":
            assert (workspace / "made").read_text() == "made\n"
            assert box.sh("mkdir -p .git/hooks; echo x > .envrc").code != 0
        elif mode == "copy":
            assert "A made" in yard.done("diff", box.name).out
    finally:
        yard.done("containers", "delete", box.name)
