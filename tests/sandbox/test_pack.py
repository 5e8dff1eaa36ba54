"""A folder comes out of a pack as it went in, and a pack that was touched restores nothing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.sandbox.pack import Pack, pack, unpack
from bawn.sandbox.tree import FOLDER, Entry, walk


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def kept(folder: Path, place: Path) -> list[Entry]:
    place.mkdir()
    return pack(opened(folder), opened(place))


def restored(place: Path, to: Path) -> Path:
    to.mkdir()
    unpack(Pack.of(opened(place)), opened(to), owners=os.geteuid() == 0)
    return to


def seen(folder: Path) -> list[tuple[object, ...]]:
    """Everything that can be told apart, but where data lies on the disk."""
    told: list[tuple[object, ...]] = []
    for entry in walk(opened(folder)):
        path = folder / entry.path
        content = path.read_bytes() if entry.kind == "file" else b""
        attributes = {} if entry.kind == "link" else {n: os.getxattr(path, n) for n in os.listxattr(path)}
        told.append((entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.target,
                     entry.same_as, content, attributes))  # fmt: skip
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "work"
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "file").write_bytes(os.urandom(3 << 20))
    (place / "empty").write_bytes(b"")
    (place / "tool").write_text("#!/bin/sh\n")
    (place / "tool").chmod(0o755)
    os.link(place / "tool", place / "second name")
    (place / "link").symlink_to("../../etc/passwd")
    (place / os.fsdecode(b"not \xff utf-8")).write_text("x")
    (place / "new\nline").write_text("y")
    os.setxattr(place / "tool", "user.note", b"\0\xff")
    with (place / "holes").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(96 << 20)
    (place / "deep").chmod(0o2750)
    os.utime(place / "deep" / "er", ns=(1, 1_000_000_007))
    return place


def test_a_folder_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    kept(folder, tmp_path / "pack")
    back = restored(tmp_path / "pack", tmp_path / "back")
    assert seen(back) == seen(folder)
    assert (back / "tool").stat().st_ino == (back / "second name").stat().st_ino
    assert (back / "holes").stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "pack" / "data").stat().st_size < 4 << 20


def test_nothing_that_an_agent_named_is_a_name_in_the_pack(folder: Path, tmp_path: Path) -> None:
    kept(folder, tmp_path / "pack")
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == ["data", "manifest"]


def test_pipes_sockets_and_the_right_to_be_another_user_are_left_out(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)
        listener.bind("sock")
        os.chdir(here)
    (folder / "tool").chmod(0o6755)
    entries = {entry.path: entry for entry in kept(folder, tmp_path / "pack")}
    assert not {"pipe", "sock"} & entries.keys()
    assert entries["tool"].mode == 0o755


@pytest.mark.parametrize("at", [0, 1 << 20, -1])
def test_one_changed_bit_is_found(folder: Path, tmp_path: Path, at: int) -> None:
    kept(folder, tmp_path / "pack")
    data = tmp_path / "pack" / "data"
    content = bytearray(data.read_bytes())
    content[at] ^= 1
    data.write_bytes(content)
    with pytest.raises(Fault) as broken:
        restored(tmp_path / "pack", tmp_path / "back")
    assert broken.value.code == "snapshots.broken"


def test_data_that_was_cut_is_found(folder: Path, tmp_path: Path) -> None:
    kept(folder, tmp_path / "pack")
    os.truncate(tmp_path / "pack" / "data", 1000)
    with pytest.raises(Fault) as broken:
        restored(tmp_path / "pack", tmp_path / "back")
    assert broken.value.code == "snapshots.broken"


def test_what_the_disk_would_not_hold_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bawn.sandbox.pack.MARGIN_BYTES", 1 << 60)
    with pytest.raises(Fault, match="MB are free") as refused:
        kept(folder, tmp_path / "pack")
    assert refused.value.code == "snapshots.no_space"
    assert list((tmp_path / "pack").iterdir()) == []


NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        NAME, st.binary(max_size=200) | st.dictionaries(NAME, st.binary(max_size=50), max_size=3), max_size=6
    )
)
def test_whatever_is_in_a_folder_comes_back(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    base = tmp_path_factory.mktemp("pack")
    (base / "work").mkdir()
    for name, inside in content.items():
        if isinstance(inside, bytes):
            (base / "work" / name).write_bytes(inside)
        elif isinstance(inside, dict):
            (base / "work" / name).mkdir()
            for inner, data in inside.items():
                (base / "work" / name / inner).write_bytes(data)
    entries = kept(base / "work", base / "pack")
    assert seen(restored(base / "pack", base / "back")) == seen(base / "work")
    assert entries[0].kind == FOLDER
