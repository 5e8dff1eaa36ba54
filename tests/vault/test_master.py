"""The master key is made once, kept apart, and refused when others could have read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bawn.errors import Fault
from bawn.vault.master import create_master, find_master, master_at, master_from


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def refusal(path: Path, home: Path) -> str:
    with pytest.raises(Fault) as caught:
        master_at(path, home)
    assert caught.value.code == "vault.no_master_key"
    return caught.value.sentence


def test_a_missing_one_is_made_once_and_closed_to_others(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "master.key"
    first = find_master(path, home, create=True)
    again = find_master(path, home, create=True)
    assert first is not None
    assert again is not None
    assert first.derive("x") == again.derive("x") != first.derive("y")
    assert path.stat().st_mode & 0o777 == 0o600
    assert create_master(path, home) is False


def test_none_is_made_unasked(tmp_path: Path, home: Path) -> None:
    assert find_master(tmp_path / "master.key", home) is None
    assert list(tmp_path.iterdir()) == [home]


def test_two_installations_have_two_keys(tmp_path: Path, home: Path) -> None:
    one, two = (find_master(tmp_path / name, home, create=True) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert one.derive("x") != two.derive("x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_one_that_others_can_read_is_refused(tmp_path: Path, home: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    create_master(path, home)
    path.chmod(mode)
    assert "readable for others" in refusal(path, home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_another_user_is_refused(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "master.key"
    create_master(path, home)
    os.chown(path, 65534, 65534)
    assert "another user" in refusal(path, home)


def test_one_beside_what_it_protects_is_refused(tmp_path: Path, home: Path) -> None:
    with pytest.raises(Fault, match="within"):
        create_master(home / "master.key", home)
    (tmp_path / "way").symlink_to(home)
    with pytest.raises(Fault, match="within"):
        create_master(tmp_path / "way" / "master.key", home)


def test_a_link_a_folder_and_nonsense_are_refused(tmp_path: Path, home: Path) -> None:
    create_master(tmp_path / "real", home)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir(0o700)
    (tmp_path / "nonsense").write_bytes(b"hello")
    (tmp_path / "nonsense").chmod(0o600)
    assert "cannot be read" in refusal(tmp_path / "link", home)
    assert "plain file" in refusal(tmp_path / "folder", home)
    assert "does not hold" in refusal(tmp_path / "nonsense", home)


def test_an_inherited_descriptor_is_used_before_the_path(tmp_path: Path, home: Path) -> None:
    create_master(tmp_path / "given", home)
    descriptor = os.open(tmp_path / "given", os.O_RDONLY)
    found = find_master(tmp_path / "master.key", home, descriptor=descriptor, create=True)
    assert found is not None
    assert found.derive("x") == master_from(descriptor).derive("x"), "it can be read again and again"
    assert not (tmp_path / "master.key").exists()
    os.close(descriptor)


def test_the_credentials_of_systemd_win(tmp_path: Path, home: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    create_master(credentials / "bawn.master", home)
    found = find_master(tmp_path / "master.key", home, credentials=str(credentials), create=True)
    assert found is not None
    assert found.derive("x") == master_at(credentials / "bawn.master", home).derive("x")
    assert not (tmp_path / "master.key").exists()
