"""Images and those who stand on them; where packages come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bawn.errors import Fault
from bawn.sandbox import images
from bawn.sandbox.images import Images
from bawn.sandbox.recipes import RECIPES


def fresh(place: Path, text: str) -> Path:
    (place / "rootfs").mkdir(parents=True)
    (place / "rootfs/version").write_text(text)
    return place


def installed(kept: Images, tmp_path: Path, text: str) -> None:
    kept.install("small", fresh(tmp_path / f"fresh-{text}", text), lambda line: None)


@pytest.fixture
def kept(tmp_path: Path) -> Images:
    (tmp_path / "images").mkdir()
    made = Images(tmp_path / "images")
    installed(made, tmp_path, "one")
    return made


def asides(tmp_path: Path) -> list[str]:
    return [(place / "rootfs/version").read_text() for place in (tmp_path / "images").glob(".old-*")]


def test_a_replaced_image_stays_as_long_as_a_box_has_it_as_its_root(kept: Images, tmp_path: Path) -> None:
    kept.live = lambda: {"a", "b"}
    kept.lent("small", "a")
    installed(kept, tmp_path, "two")
    kept.lent("small", "b")
    installed(kept, tmp_path, "three")
    assert sorted(asides(tmp_path)) == ["one", "two"]
    kept.live = lambda: {"b"}
    kept.sweep()
    assert asides(tmp_path) == ["two"]
    kept.live = lambda: ()
    kept.sweep()
    assert asides(tmp_path) == []
    assert (kept.rootfs("small") / "version").read_text() == "three"


def test_a_removed_image_stays_for_its_boxes_and_is_gone_for_new_ones(kept: Images, tmp_path: Path) -> None:
    kept.live = lambda: {"a"}
    kept.lent("small", "a")
    kept.remove("small")
    assert asides(tmp_path) == ["one"]
    with pytest.raises(Fault, match="there is no image"):
        kept.lent("small", "b")
    # A supervisor that starts anew knows the same by what lies on the disk.
    again = Images(tmp_path / "images")
    again.live = lambda: {"a"}
    again.sweep()
    assert asides(tmp_path) == ["one"]


def test_every_build_is_another_even_of_the_same_second(kept: Images, tmp_path: Path) -> None:
    before = json.loads((tmp_path / "images/small/image.json").read_text())["build"]
    installed(kept, tmp_path, "two")
    assert json.loads((tmp_path / "images/small/image.json").read_text())["build"] != before


def test_apt_sources_of_both_forms_are_handed_on(tmp_path: Path) -> None:
    apt = tmp_path / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (apt / "sources.list").write_text("# comment\ndeb file:/one stable main\n")
    (apt / "sources.list.d/two.list").write_text("deb file:/two stable main\ndeb-src file:/two stable main\n")
    (apt / "sources.list.d/three.sources").write_text("Types: deb\nURIs: file:/three\nSuites: stable\n")
    (apt / "sources.list.d/four.sources").write_text("Types: deb\nURIs: file:/four\nSuites: stable\n\n")
    lines, stanzas = images._sources(tmp_path, apt)
    assert lines.suffix == ".list"
    assert lines.read_text() == "deb file:/one stable main\ndeb file:/two stable main\n"
    assert stanzas.suffix == ".sources"
    assert len(stanzas.read_text().strip().split("\n\n")) == 2


def test_there_is_a_recipe_for_each_kind_of_work() -> None:
    assert set(RECIPES) == {"agent", "agent-base", "agent-python", "agent-node"}
    assert all(recipe.packages for recipe in RECIPES.values())
