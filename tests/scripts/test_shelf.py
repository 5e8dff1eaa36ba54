"""The scripts on disk: what is found, what is refused, and what stays when something is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bawn.errors import Fault
from bawn.scripts.shelf import Shelf

PLAIN = "async def handle(req, res, ctx):\n    return await ctx.upstream(req)\n"
ALL = "api/v1/[...path].py"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    root = tmp_path / "scripts"
    root.mkdir()
    return Shelf(root)


def put(shelf: Shelf, where: str, text: str = PLAIN) -> Path:
    """By the operator's own hand."""
    place = shelf._root / where
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def refused(shelf: Shelf, text: str, path: str = ALL, project: str = "default", name: str = "1") -> str:
    with pytest.raises(Fault) as caught:
        shelf.write(project, name, path, text)
    assert caught.value.code == "script.invalid"
    return caught.value.sentence


def test_what_the_operator_saves_is_found_by_project_and_exec(shelf: Shelf) -> None:
    put(shelf, f"default/1/{ALL}", "# @timeout 30\n# @next guard\n" + PLAIN)
    put(shelf, "default/guard/api/v1/chat/completions.py")
    assert shelf.refresh()
    one, guard = shelf.stock.exec("default", "1"), shelf.stock.exec("default", "guard")
    assert one is not None
    assert guard is not None
    assert one.files[ALL].header.timeout_s == 30
    assert one.files[ALL].header.next == "guard"
    match = one.find(b"/api/v1/messages")
    assert match is not None
    assert match.file == ALL
    assert guard.find(b"/v1/messages") is None
    assert shelf.stock.exec("other", "1") is None


def test_nothing_is_new_until_something_changed(shelf: Shelf) -> None:
    file = put(shelf, f"default/1/{ALL}")
    assert shelf.refresh()
    assert not shelf.refresh()
    before = shelf.stock
    os.utime(file, ns=(1, 1))
    assert shelf.refresh()
    assert shelf.stock is not before
    file.unlink()
    assert shelf.refresh()
    assert shelf.stock.exec("default", "1") is None


def test_a_file_that_does_not_compile_is_refused_with_file_and_line_and_the_old_one_stays(shelf: Shelf) -> None:
    shelf.write("default", "1", ALL, PLAIN)
    sentence = refused(shelf, "import json\n\nasync def handle(req, res, ctx):\n    return (\n")
    assert ALL in sentence
    assert "line 4" in sentence
    assert shelf.read("default", "1", ALL) == PLAIN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "no `async def handle"),
        ("def handle(req, res, ctx): pass\n", "no `async def handle"),
        ("# @timeout soon\n" + PLAIN, "line 1: @timeout must be a number"),
        ("\n# hello\n# @timout 3\n" + PLAIN, "line 3: @timout is not known"),
        ("# @next 1\n# @next 2\n" + PLAIN, "line 2: @next stands twice"),
        ("# @mode thread\n" + PLAIN, "@mode must be worker"),
        ("\0" + PLAIN, "line 1"),
        ("# " + "x" * (1 << 20) + "\n" + PLAIN, "is over"),
    ],
)
def test_what_could_not_run_is_refused_when_it_is_written(shelf: Shelf, text: str, told: str) -> None:
    assert told in refused(shelf, text)


@pytest.mark.parametrize(
    "path",
    ["../x.py", "/etc/x.py", "api/v1/../../x.py", "api/v1/x.txt", "", "api//x.py", "api/v1/.x.py", "api/v1/a\0.py"],
)
def test_no_path_leads_outside(shelf: Shelf, path: str) -> None:
    refused(shelf, PLAIN, path)
    with pytest.raises(Fault):
        shelf.read("default", "1", path)
    assert not list(shelf._root.iterdir())


def test_no_project_and_no_exec_leads_outside(shelf: Shelf) -> None:
    refused(shelf, PLAIN, project="..")
    refused(shelf, PLAIN, name="..")
    refused(shelf, PLAIN, name="0")


def test_a_link_is_neither_read_nor_written_through(shelf: Shelf, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "api/v1").mkdir(parents=True)
    (outside / ALL).write_text("secret")
    (shelf._root / "default").mkdir()
    (shelf._root / "default/1").symlink_to(outside)
    shelf.refresh()
    assert shelf.stock.exec("default", "1") is None
    refused(shelf, PLAIN)
    with pytest.raises(Fault):
        shelf.read("default", "1", ALL)


def test_layers_that_lead_in_a_circle_are_refused_with_the_names_of_both_files(shelf: Shelf) -> None:
    shelf.write("default", "2", ALL, PLAIN)
    shelf.write("default", "1", ALL, "# @next 2\n" + PLAIN)
    sentence = refused(shelf, "# @next 1\n" + PLAIN, name="2")
    assert f"2/{ALL}" in sentence
    assert f"1/{ALL}" in sentence
    put(shelf, f"default/2/{ALL}", "# @next 1\n" + PLAIN)
    shelf.refresh()
    assert len(shelf.stock.troubles) == 2
    for name in ("1", "2"):
        held = shelf.stock.exec("default", name)
        assert held is not None
        with pytest.raises(Fault) as caught:
            held.find(b"/v1/x")
        assert caught.value.code == "script.cyclic"
        assert f"2/{ALL}" in caught.value.cause
        assert f"1/{ALL}" in caught.value.cause
    put(shelf, f"default/2/{ALL}", PLAIN + "\n")
    shelf.refresh()
    assert not shelf.stock.troubles


def test_a_layer_behind_which_there_is_nothing_is_not_run(shelf: Shelf) -> None:
    put(shelf, f"default/1/{ALL}", "# @next 2\n" + PLAIN)
    shelf.refresh()
    held = shelf.stock.exec("default", "1")
    assert held is not None
    with pytest.raises(Fault, match="cannot be run"):
        held.find(b"/v1/x")


def test_files_to_import_need_no_handler(shelf: Shelf) -> None:
    shelf.write("default", "1", "api/v1/_shared.py", "LIMIT = 3\n")
    held = shelf.stock.exec("default", "1")
    assert held is not None
    assert not len(held.routes)


def test_what_is_removed_leaves_no_empty_folders(shelf: Shelf) -> None:
    shelf.write("default", "1", "api/v1/chat/completions.py", PLAIN)
    shelf.remove("default", "1", "api/v1/chat/completions.py")
    assert shelf.stock.exec("default", "1") is None
    assert [each.name for each in shelf._root.rglob("*")] == ["default", "1"], "its worker looks into that folder"
    with pytest.raises(Fault) as caught:
        shelf.remove("default", "1", "api/v1/chat/completions.py")
    assert caught.value.code == "api.not_found"
