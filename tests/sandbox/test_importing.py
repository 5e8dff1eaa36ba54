"""Images of strangers: taken by digest, unpacked into their folder and nowhere else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sandbox.oci_archive import Archive, entry, folder, link, tar

from bawn.errors import Fault
from bawn.sandbox import python
from bawn.sandbox.images import Images, imported
from bawn.sandbox.layers import Root

SH = entry("bin/sh", b"#!x", mode=0o755)


def taken(tmp_path: Path, archive: Archive, digest: str | None = None, **options: Any) -> Path:
    """The root that an archive becomes."""
    said = archive.write(tmp_path / "image.tar", **options)
    place = tmp_path / "made"
    place.mkdir()
    imported(tmp_path / "image.tar", said if digest is None else digest, place, lambda line: None)
    return place / "rootfs"


def refused(tmp_path: Path, archive: Archive, digest: str | None = None, **options: Any) -> str:
    with pytest.raises(Fault) as refusal:
        taken(tmp_path, archive, digest, **options)
    return refusal.value.sentence


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_layers_come_one_over_the_other(tmp_path: Path, packed: str) -> None:
    below = tar(
        folder("usr"), folder("usr/bin"), link("bin", "usr/bin"), SH, entry("etc/old", b"1"), entry("etc/gone", b"1"),
        folder("var/cache"), entry("var/cache/a", b"1"), folder("var/cache/deep"), entry("var/cache/deep/b", b"1"),
    )  # fmt: skip
    above = tar(
        entry("etc/old", b"2"), entry("etc/.wh.gone"), entry("var/cache/new", b"2"), entry("var/cache/.wh..wh..opq"),
        link("usr/bin/again", "usr/bin/sh", hard=True), entry("bin/more", b"3", mode=0o4755),
    )  # fmt: skip
    root = taken(tmp_path, Archive(below, above, packed=packed))
    assert (root / "etc/old").read_bytes() == b"2"
    assert not (root / "etc/gone").exists()
    assert sorted(path.name for path in (root / "var/cache").iterdir()) == ["new"]
    assert (root / "usr/bin/again").read_bytes() == b"#!x"
    assert stat.S_IMODE((root / "usr/bin/more").stat().st_mode) == 0o755, "no program runs as somebody else"
    assert (root / "bin").readlink() == Path("usr/bin")


def test_what_a_box_needs_is_there_whatever_the_image_holds(tmp_path: Path) -> None:
    etc = tar(
        entry("etc/passwd", b"root:x:0:0::/:/bin/sh"), SH, link("home", "/etc"), link("dev", "dev"),
        link("etc/resolv.conf", "/run/elsewhere"), link("workspace", "/nowhere"), link("tmp", "/etc"),
    )  # fmt: skip
    root = taken(tmp_path, Archive(etc))
    assert (root / "etc/passwd").read_text().splitlines()[-1].startswith("agent:x:1000:1000:")
    assert not (root / "etc/resolv.conf").is_symlink()
    for name in ("workspace", "proc", "dev", "home", "home/agent", "tmp", "etc"):
        assert stat.S_ISDIR((root / name).lstat().st_mode), name


def test_an_image_whose_settings_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    assert "its /etc is a link" in refused(tmp_path, Archive(tar(folder("conf"), link("etc", "/conf"), SH)))


HOSTILE = {
    "upwards": [entry("../out", b"x")],
    "upwards within": [entry("a/../../out", b"x")],
    "by an absolute link": [link("way", "{outside}"), entry("way/out", b"x")],
    "by a relative link": [link("way", "../../../../../../../../../../{outside}"), entry("way/out", b"x")],
    "by a chain of links": [link("one", "two/three"), link("two", "{outside}"), entry("one/out", b"x")],
    "over a link": [link("out", "{outside}/out"), entry("out", b"x")],
    "a hard link out": [link("way", "{outside}"), link("stolen", "way/secret", hard=True)],
    "a hard link to a link": [link("way", "{outside}/secret"), link("stolen", "way", hard=True)],
    "a whiteout upwards": [entry("a/.wh...", b"")],
    "a whiteout through a link": [link("way", "{outside}"), entry("way/.wh.secret", b"")],
    "an opaque folder through a link": [link("way", "{outside}"), entry("way/.wh..wh..opq", b"")],
    "a folder over a link": [link("way", "{outside}"), folder("way"), entry("way/out", b"x")],
    "a device": [entry("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0), entry("kmsg", type=tarfile.CHRTYPE)],
    "a pipe": [entry("pipe", type=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_outside_is_reached(tmp_path: Path, how: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    entries = []
    for info, data in HOSTILE[how]:
        info.linkname = info.linkname.replace(
            "{outside}", str(outside).lstrip("/") if "../" in info.linkname else str(outside)
        )
        entries.append((info, data))
    root: Path | None = None
    codes: list[str] = []
    try:
        root = taken(tmp_path, Archive(tar(SH), tar(*entries)))
    except Fault as fault:
        codes.append(fault.code)
    assert codes in ([], ["sandbox.invalid"])
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "s"
    assert (outside / "secret").stat().st_nlink == 1
    assert not list(tmp_path.glob("out"))
    if root is not None:
        for path in root.rglob("*"):
            kind = path.lstat().st_mode
            assert stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind), path
            assert not kind & (stat.S_ISUID | stat.S_ISGID)


def test_an_image_is_taken_by_digest_only(tmp_path: Path) -> None:
    said = refused(tmp_path, Archive(tar(SH)), "")
    assert "say which image is meant by its digest; it has sha256:" in said


def test_a_digest_of_something_else_is_refused(tmp_path: Path) -> None:
    assert "has no image" in refused(tmp_path, Archive(tar(SH)), "sha256:" + "0" * 64)


def spoiled(part: str, data: bytes | None = None) -> Any:
    def change(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.startswith(part) or part.encode() in files[name])
        files[name] = files[name] + b" " if data is None else data

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (spoiled("#!x"), "another digest"),
        (spoiled("schemaVersion\": 2, \"config"), "another digest"),
        (spoiled("architecture"), "another digest"),
        (spoiled("index.json", b"{"), "plain JSON"),
        (spoiled("index.json", b'{"manifests": [], "manifests": []}'), "plain JSON"),
        (spoiled("index.json", b'{"manifests": [{"digest": "sha512:00"}]}'), "sha256"),
        (spoiled("index.json", b"[" * 100_000), "plain JSON"),
        (lambda files: files.pop("index.json"), "index.json"),
    ],
)  # fmt: skip
def test_what_was_changed_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    assert why in refused(tmp_path, Archive(tar(SH)), change=change)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"architecture": "pdp11"}, "not for this machine"), ({"os": "windows"}, "not for this machine"),
        ({"rootfs": {"diff_ids": []}}, "different layers"), ({"rootfs": None}, "different layers"),
        ({"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}}, "something else"),
    ],
)  # fmt: skip
def test_what_is_for_something_else_is_refused(tmp_path: Path, config: dict[str, Any], why: str) -> None:
    assert why in refused(tmp_path, Archive(tar(SH), config=config))


def test_a_document_that_is_manifest_and_index_at_once_is_refused(tmp_path: Path) -> None:
    archive = Archive(tar(SH))
    archive.manifest["manifests"] = []
    assert "not the manifest" in refused(tmp_path, archive)


def test_kinds_of_layers_that_are_not_known_are_refused(tmp_path: Path) -> None:
    archive = Archive(tar(SH))
    archive.manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    assert "not taken" in refused(tmp_path, archive)


def test_a_layer_is_not_larger_than_there_is_room(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "layer").write_bytes(tar(entry("big", b"x" * 5000)))
        with (tmp_path / "layer").open("rb") as opened, pytest.raises(Fault, match="larger"):
            Root(root, 4000).unpack(opened)
    finally:
        os.close(root)


def test_something_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"x" * 2000, bytes(20_000))):
        place = tmp_path / f"made{number}"
        place.mkdir()
        (tmp_path / "image.tar").write_bytes(data)
        with pytest.raises(Fault) as refusal:
            imported(tmp_path / "image.tar", "", place, lambda line: None)
        assert refusal.value.code == "sandbox.invalid"


def test_a_name_of_a_recipe_or_of_no_image_is_refused(tmp_path: Path) -> None:
    images = Images(tmp_path / "images")
    for name in ("agent", "host", "UPPER", "../x", ""):
        with pytest.raises(Fault, match="cannot be the name"):
            images.bring(name, tmp_path, "", lambda line: None)


def test_an_imported_image_has_its_digest_and_its_source_folder_may_be_a_layout(tmp_path: Path) -> None:
    digest = Archive(tar(SH)).write(tmp_path / "image.tar")
    layout = tmp_path / "layout"
    layout.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "image.tar", "-C", layout], check=True)
    images = Images(tmp_path / "images")
    lines: list[str] = []
    images.bring("tools", layout, digest, lines.append)
    assert any("layer 1 of 1" in line for line in lines)
    listed = next(each for each in images.all() if each["name"] == "tools")
    assert listed["digest"] == digest
    assert not list((tmp_path / "images").glob(".building-*"))


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=3000))
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder_ = tmp_path_factory.mktemp("any")
    root = os.open(folder_, os.O_RDONLY)
    (folder_ / "layer").write_bytes(data)
    codes: list[str] = []
    try:
        with (folder_ / "layer").open("rb") as opened:
            Root(root, 1 << 20).unpack(opened)
    except Fault as fault:
        codes.append(fault.code)
    finally:
        os.close(root)
    assert codes in ([], ["sandbox.invalid"])


def test_the_program_says_what_went_wrong_without_a_traceback(tmp_path: Path) -> None:
    argv = [*python.interpreter(), "-m", "bawn.sandbox.importing", str(tmp_path / "none"), "", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, env=python.environment(), check=False)
    assert "cannot be read" in json.loads(done.stdout)["fault"]
    assert done.stderr == ""
