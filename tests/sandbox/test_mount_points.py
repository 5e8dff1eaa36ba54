"""Images have places for the box's own files, and lead nobody out of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from bawn.errors import Fault
from bawn.sandbox import mount_points

PATH = "/etc/bawn/adapters/report.sh"


def test_an_image_that_has_none_gets_them_and_what_it_has_stays(tmp_path: Path) -> None:
    own = tmp_path / "etc" / "hosts"
    own.parent.mkdir()
    own.write_text("its own")
    for _ in range(2):
        mount_points.make(tmp_path, [PATH, "/etc/hosts"])
    made = tmp_path / PATH.lstrip("/")
    assert (made.read_text(), made.stat().st_mode & 0o777) == ("", 0o644)
    assert made.parent.stat().st_mode & 0o777 == 0o755
    assert own.read_text() == "its own"


@pytest.mark.parametrize("part", ["etc", "etc/bawn", "etc/bawn/adapters", "etc/bawn/adapters/report.sh"])
def test_no_link_of_an_image_is_followed(tmp_path: Path, part: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    link = root / part
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(Fault) as caught:
        mount_points.make(root, [PATH])
    assert caught.value.code == "sandbox.start_failed"
    assert PATH in caught.value.sentence
    assert list(outside.iterdir()) == []


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / PATH.lstrip("/")).mkdir(parents=True)
    with pytest.raises(Fault):
        mount_points.make(tmp_path, [PATH])
