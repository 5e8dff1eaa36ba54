"""The files of a container from outside: only its own, as its own user, and whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.e2e.installation import Container, Installation

from bawn import sdk


def test_a_file_goes_in_and_comes_out_byte_for_byte(yard: Installation, dev: Container, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(os.urandom(5 << 20))
    yard.done("files", "put", str(sent), f"{dev.name}:/home/agent/data")
    assert dev.sh("sha256sum < /home/agent/data; id -un; stat -c %U /home/agent/data").out.split() == [
        hashlib.sha256(sent.read_bytes()).hexdigest(), "-", "agent", "agent",
    ]  # fmt: skip
    yard.done("files", "get", f"{dev.name}:/home/agent/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_folders_are_made_listed_and_removed(yard: Installation, dev: Container) -> None:
    yard.done("files", "mkdir", f"{dev.name}:a/b", "--parents")
    yard.done("files", "put", "-", f"{dev.name}:a/b/note", "--mode", "0600", stdin="a note")
    listed = yard.json("files", "list", f"{dev.name}:a/b")
    assert [(file["name"], file["kind"], file["mode"]) for file in listed] == [("note", "file", 0o600)]
    assert yard.done("files", "get", f"{dev.name}:/workspace/a/b/note", "-").out == "a note"
    assert yard.bawn("files", "remove", f"{dev.name}:a").code == 1
    yard.done("files", "remove", f"{dev.name}:a", "--recursive")
    assert "files.not_found" in yard.bawn("files", "stat", f"{dev.name}:a").err


def test_a_link_that_the_agent_laid_leads_nowhere(yard: Installation, dev: Container) -> None:
    dev.sh("ln -sf /etc/passwd /workspace/link; ln -sfn / /workspace/root; mkfifo /workspace/pipe; true")
    for path in ("link", "root/etc/passwd", "pipe"):
        assert "files.refused" in yard.bawn("files", "get", f"{dev.name}:{path}", "-").err
    assert yard.bawn("files", "get", f"{dev.name}:/etc/passwd", "-").code == 1
    assert yard.bawn("files", "put", "-", f"{dev.name}:root/tmp/x", stdin="x").code == 1
    assert "\\x1b" in _named(yard, dev, "$'\\033[2Jx'")


def _named(yard: Installation, dev: Container, name: str) -> str:
    dev.bawn("bash", "-c", f"touch /workspace/{name}")
    return yard.done("files", "list", f"{dev.name}:").out


def test_the_record_says_who_took_which_file(yard: Installation, dev: Container) -> None:
    yard.done("files", "put", "-", f"{dev.name}:recorded", stdin="x")
    said = yard.done("audit", "tail", "--lines", "5", "-o", "json").out
    assert "file.written" in said
    assert "/workspace/recorded" in said


def test_a_command_ends_when_its_time_is_over(yard: Installation, dev: Container) -> None:
    said = yard.bawn("exec", "--timeout", "1s", dev.name, "--", "sh", "-c", "echo begun; sleep 60")
    assert (said.code, said.out) == (124, "begun\n")
    assert "the time of 1 s is over" in said.err
    assert dev.sh("ps -A -o args 2>/dev/null | grep -c '[s]leep 60'").out.strip() in ("0", "")
    with sdk.Client(yard.socket) as client, client.containers.exec(dev.name, ["sleep", "60"], timeout_s=0.5) as session:
        assert session.wait() == 124
