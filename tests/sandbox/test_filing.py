"""The program that reads and writes a box's files, against a folder in which an agent has prepared everything it can."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bawn.errors import Fault
from bawn.sandbox.inside import located
from bawn.supervisor.programs import spawn

NOBODY = 61235
PLAIN: dict[str, Any] = {"mode": None, "limit_bytes": 1 << 20, "parents": False, "recursive": False}


class Room:
    """A folder as a box's workspace, with what an agent can put into it."""

    def __init__(self, folder: Path, uid: int | None) -> None:
        self.folder = folder
        self.uid = uid

    def begin(self, act: str, path: str, **further: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
        fd = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            asked = {**PLAIN, **further, "act": act, "path": path, "uid": self.uid, "folder": fd}
            return spawn("bawn.sandbox.filing", asked, [fd])
        finally:
            os.close(fd)

    def ask(self, act: str, path: str, data: bytes | None = None, *, whole: bool = True, **further: Any) -> list[Any]:
        """Every line that it answers, content last as bytes."""
        process, stream = self.begin(act, path, **further)
        with process, stream:
            stream.settimeout(20)
            if data is not None:
                pieces = struct.pack("!I", len(data)) + data if data else b""
                stream.sendall(pieces + (struct.pack("!I", 0) if whole else b""))
                stream.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := stream.recv(65536):
                answer += piece
        if act == "read" and answer.startswith(b'{"ok":true'):
            head, _, content = answer.partition(b"\n")
            return [json.loads(head), content]
        return [json.loads(line) for line in answer.splitlines()]

    def refusal(self, act: str, path: str, data: bytes | None = None, **further: Any) -> str:
        said = self.ask(act, path, data, **further)[-1]
        assert said["ok"] is False, said
        return str(said["code"])


@pytest.fixture
def room(tmp_path: Path) -> Room:
    uid = NOBODY if os.geteuid() == 0 else None
    folder = tmp_path / "box" / "workspace"
    folder.mkdir(parents=True)
    (folder / "plain").write_bytes(b"hello")
    (folder / "deep").mkdir()
    (tmp_path / "secret").write_bytes(b"the host's own")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    os.link(folder / "plain", folder / "second")
    if uid is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
    return Room(folder, uid)


def test_what_is_in_a_folder_is_told_and_links_are_told_as_links(room: Room) -> None:
    head, *files = room.ask("list", ".")
    assert head == {"ok": True, "cut": False}
    assert {file["name"]: file["kind"] for file in files} == {
        "away": "link", "deep": "folder", "out": "link", "pipe": "fifo", "plain": "file", "second": "file",
    }  # fmt: skip
    assert next(file for file in files if file["name"] == "out")["target"].endswith("/secret")


def test_a_file_comes_out_as_it_is(room: Room) -> None:
    head, content = room.ask("read", "plain")
    assert content == b"hello"
    assert head["size_bytes"] == 5


@pytest.mark.parametrize("path", ["out", "away/secret", "deep/../../../secret"])
def test_no_link_and_no_way_up_leads_out(room: Room, path: str) -> None:
    assert room.refusal("read", path) == "files.refused"
    assert room.refusal("write", path, b"gone") == "files.refused"


def test_a_pipe_is_neither_waited_for_nor_read(room: Room) -> None:
    assert room.refusal("read", "pipe") == "files.refused"
    assert room.refusal("write", "pipe", b"x") == "files.refused"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_not_opened(room: Room) -> None:
    os.mknod(room.folder / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    assert room.refusal("read", "zero") == "files.refused"


def test_a_file_with_a_second_name_is_not_written(room: Room) -> None:
    assert room.refusal("write", "second", b"x") == "files.refused"
    assert (room.folder / "plain").read_bytes() == b"hello"


def test_a_written_file_is_there_with_its_rights_and_keeps_them_when_replaced(room: Room) -> None:
    assert room.ask("write", "deep/tool", b"#!", mode=0o755)[-1]["size_bytes"] == 2
    room.ask("write", "deep/tool", b"#!/bin/sh")
    made = room.folder / "deep" / "tool"
    assert (made.read_bytes(), made.stat().st_mode & 0o7777) == (b"#!/bin/sh", 0o755)
    assert made.stat().st_uid == (os.geteuid() if room.uid is None else room.uid)


def test_what_is_given_up_half_way_leaves_nothing(room: Room) -> None:
    (room.folder / "second").unlink()
    assert [line["ok"] for line in room.ask("write", "plain", b"half", whole=False)] == [True]
    assert (room.folder / "plain").read_bytes() == b"hello"
    assert sorted(path.name for path in room.folder.iterdir()) == ["away", "deep", "out", "pipe", "plain"]


def test_more_than_the_limit_is_refused_and_leaves_nothing(room: Room) -> None:
    assert room.refusal("write", "large", b"12345", limit_bytes=4) == "files.too_large"
    assert not (room.folder / "large").exists()


def test_removing_a_folder_needs_to_be_meant_and_spares_what_links_lead_to(room: Room) -> None:
    (room.folder / "deep" / "link").symlink_to(room.folder.parent.parent)
    assert room.refusal("remove", "deep") == "files.failed"
    assert room.ask("remove", "deep", recursive=True) == [{"ok": True}]
    assert not (room.folder / "deep").exists()
    assert (room.folder.parent.parent / "secret").exists()


def test_the_folder_itself_stays(room: Room) -> None:
    assert room.refusal("remove", ".", recursive=True) == "files.refused"


def test_folders_on_the_way_are_made_but_not_through_a_link(room: Room) -> None:
    assert room.ask("mkdir", "a/b/c", parents=True)[0]["kind"] == "folder"
    assert room.ask("mkdir", "a/b/c", parents=True)[0]["ok"] is True
    assert room.refusal("mkdir", "a/b/c") == "api.conflict"
    assert room.refusal("mkdir", "away/x", parents=True) in ("files.refused", "files.failed")
    assert not (room.folder.parent.parent / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_the_agent_may_not_write_is_not_written_for_it(room: Room) -> None:
    (room.folder / "foreign").mkdir(mode=0o755)
    assert room.refusal("write", "foreign/x", b"x") == "files.refused"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/workspace/../etc", "workspace/x", "/workspaces", "/", "/home/agent\0", 7]
)
def test_paths_elsewhere_are_not_asked_for_at_all(path: object) -> None:
    with pytest.raises(Fault) as refused:
        located(path, "/workspace")
    assert refused.value.code == "sandbox.invalid"


def test_paths_are_brought_to_one_form() -> None:
    assert located("/workspace", "/workspace") == ("/workspace", ".")
    assert located("//workspace/./a//b/", "/workspace") == ("/workspace", "a/b")
    assert located("/home/agent/.x", "/workspace") == ("/home/agent", ".x")
