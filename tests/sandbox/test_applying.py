"""Looking at an agent's copy, and bringing over what a person wants; against copies that an agent has prepared."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.sandbox.changes import refused_link
from bawn.sandbox.pack import Pack, pack, unpack
from bawn.sandbox.trusted import credential, guarded
from bawn.sandbox.unified import printable, unified
from bawn.supervisor.programs import spawn

OWNER = 61236


class Bench:
    """A folder of the host, its copy, and what the copy was made of."""

    def __init__(self, place: Path) -> None:
        self.host, self.tree, self.base = place / "host", place / "tree", place / "base"
        self.outside = place / "outside"
        self.ledger = place / "ledger"
        for folder in (self.host, self.tree, self.base, self.outside):
            folder.mkdir()

    def copy(self) -> None:
        if os.geteuid() == 0:
            for path in (self.host, *self.host.rglob("*")):
                os.chown(path, OWNER, OWNER, follow_symlinks=False)
        base = os.open(self.base, os.O_RDONLY)
        pack(os.open(self.host, os.O_RDONLY), base)
        unpack(Pack.of(base), os.open(self.tree, os.O_RDONLY), owners=os.geteuid() == 0)

    def ask(self, act: str, **asked: Any) -> list[dict[str, Any]]:
        root = os.geteuid() == 0
        fds = {name: os.open(getattr(self, name), os.O_PATH | os.O_DIRECTORY) for name in ("host", "tree", "base")}
        fds["ledger"] = os.open(self.ledger, os.O_RDWR | os.O_CREAT, 0o600)
        who = {"uid": OWNER if root else None, "gid": OWNER if root else None}
        if root:
            os.chown(self.tree, OWNER, OWNER)
            for path in self.tree.rglob("*"):
                os.chown(path, OWNER, OWNER, follow_symlinks=False)
        process, stream = spawn("bawn.sandbox.applying", {"act": act, **asked, **fds, **who}, list(fds.values()))
        for fd in fds.values():
            os.close(fd)
        with process, stream:
            stream.shutdown(socket.SHUT_WR)
            with stream.makefile("rb") as lines:
                return [json.loads(line) for line in lines]

    def diff(self) -> dict[str, dict[str, Any]]:
        head, *changes = self.ask("diff")
        assert head["ok"], head
        assert head["count"] == len(changes)
        return {change["path"]: change for change in changes}

    def apply(self, *paths: str, seen: list[str] | None = None) -> dict[str, bool]:
        head, *done = self.ask("apply", paths=list(paths), seen=seen)
        assert head["ok"], head
        return {each["path"]: each["done"] for each in done}

    def refusal(self, *paths: str, seen: list[str] | None = None) -> str:
        head = self.ask("apply", paths=list(paths), seen=seen)[0]
        assert not head["ok"], head
        return str(head["code"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    (made.host / "src").mkdir()
    (made.host / "src" / "main.py").write_text("one\ntwo\nthree\n")
    (made.host / "gone").write_text("x\n")
    (made.host / "tool").write_text("#!/bin/sh\n")
    (made.host / "blob").write_bytes(b"\0\1\2")
    made.copy()
    return made


def test_nothing_changed_is_nothing_told(bench: Bench) -> None:
    assert bench.diff() == {}


def test_changes_are_told_as_what_they_are(bench: Bench) -> None:
    (bench.tree / "src" / "main.py").write_text("one\n2\nthree\n")
    (bench.tree / "gone").unlink()
    (bench.tree / "tool").chmod(0o755)
    (bench.tree / "blob").write_bytes(b"\0\1\3")
    (bench.tree / "new").mkdir()
    (bench.tree / "new" / "file").write_text("no newline")
    (bench.tree / "link").symlink_to("src/main.py")
    told = bench.diff()
    assert {path: change["status"] for path, change in told.items()} == {
        "blob": "modified", "gone": "removed", "link": "added", "new/file": "added", "src/main.py": "modified", "tool": "mode",
    }  # fmt: skip
    assert told["src/main.py"]["diff"] == (
        "--- a/src/main.py\n+++ b/src/main.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    )
    assert told["new/file"]["diff"].endswith("@@ -0,0 +1 @@\n+no newline\n\\ No newline at end of file\n")
    assert (told["blob"]["binary"], told["blob"]["diff"]) == (True, None)
    assert (told["tool"]["mode_before"], told["tool"]["mode"]) == (0o644, 0o755)


def test_all_of_it_is_brought_over_and_then_there_already(bench: Bench) -> None:
    (bench.tree / "src" / "main.py").write_text("changed\n")
    (bench.tree / "gone").unlink()
    (bench.tree / "a" / "b").mkdir(parents=True)
    (bench.tree / "a" / "b" / "c").write_text("new\n")
    (bench.tree / "tool").chmod(0o755)
    assert all(bench.apply().values())
    assert (bench.host / "src" / "main.py").read_text() == "changed\n"
    assert (bench.host / "a" / "b" / "c").read_text() == "new\n"
    assert not (bench.host / "gone").exists()
    assert (bench.host / "tool").stat().st_mode & 0o111 == 0o111
    assert all(change["applied"] for change in bench.diff().values())
    assert bench.apply() == {}
    if os.geteuid() == 0:
        assert (bench.host / "a" / "b" / "c").stat().st_uid == OWNER


def test_what_was_brought_over_can_be_changed_and_brought_over_again(bench: Bench) -> None:
    for text in ("first\n", "second\n"):
        (bench.tree / "src" / "main.py").write_text(text)
        assert bench.apply("src") == {"src/main.py": True}
        assert (bench.host / "src" / "main.py").read_text() == text


def test_a_file_that_the_host_changed_meanwhile_is_not_overwritten_and_nothing_else_is_either(bench: Bench) -> None:
    (bench.tree / "src" / "main.py").write_text("agent\n")
    (bench.tree / "tool").write_text("agent\n")
    (bench.host / "src" / "main.py").write_text("person\n")
    assert bench.diff()["src/main.py"]["conflict"] is True
    assert bench.refusal() == "workspace.conflict"
    assert (bench.host / "src" / "main.py").read_text() == "person\n"
    assert (bench.host / "tool").read_text() == "#!/bin/sh\n"
    assert bench.apply("tool") == {"tool": True}


def test_a_file_that_both_added_is_a_conflict_unless_it_is_the_same(bench: Bench) -> None:
    for place, text in ((bench.tree, "a\n"), (bench.host, "b\n")):
        (place / "both").write_text(text)
        (place / "same").write_text("same\n")
    told = bench.diff()
    assert (told["both"]["conflict"], told["same"]["applied"]) == (True, True)


@pytest.mark.parametrize(
    "path",
    [".git/hooks/pre-commit", ".git/config", ".envrc", ".vscode/tasks.json", ".mcp.json", "sub/.GIT/config",
     ".claude/settings.json",
     ".git/modules/x/hooks/post-checkout", ".git", "deep/.husky/pre-push", ".github/workflows/ci.yml"],
)  # fmt: skip
def test_what_the_host_would_obey_needs_its_own_name(bench: Bench, path: str) -> None:
    file = bench.tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    (bench.tree / "plain").write_text("x\n")
    assert bench.diff()[path]["guarded"] is True
    assert bench.apply() == {"plain": True}
    assert not (bench.host / path).exists()
    if "/" in path:
        assert bench.apply(path.partition("/")[0]) == {}, "its folder does not name it"
    assert bench.apply(path) == {path: True}


def test_the_settings_of_a_folder_that_git_takes_for_a_repository_are_guarded(bench: Bench) -> None:
    (bench.tree / "bare").mkdir()
    (bench.tree / "bare" / "HEAD").write_text("ref: refs/heads/main\n")
    (bench.tree / "bare" / "config").write_text("[core]\n\tfsmonitor = touch /tmp/x\n")
    assert bench.diff()["bare/config"]["guarded"] is True
    assert guarded(".git/objects/info/alternates")
    assert not guarded(".git/objects/ab/cdef")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside"])
def test_a_link_that_leads_out_is_not_brought_over(bench: Bench, target: str) -> None:
    (bench.tree / "way").symlink_to(target)
    assert bench.refusal() == "files.refused"
    assert not (bench.host / "way").is_symlink()


def test_a_link_of_the_host_is_never_followed(bench: Bench) -> None:
    (bench.outside / "file").write_text("the host's own\n")
    if os.geteuid() == 0:
        for path in (bench.outside, bench.outside / "file"):
            os.chown(path, OWNER, OWNER)
    (bench.tree / "dir").mkdir()
    (bench.tree / "dir" / "file").write_text("agent\n")
    (bench.host / "dir").symlink_to(bench.outside)
    assert bench.refusal() == "workspace.conflict"
    assert (bench.outside / "file").read_text() == "the host's own\n"


def test_a_folder_that_the_agent_replaced_by_a_link_brings_nothing_from_elsewhere(bench: Bench) -> None:
    (bench.outside / "main.py").write_text("secret of the host\n")
    for path in (bench.tree / "src").iterdir():
        path.unlink()
    (bench.tree / "src").rmdir()
    (bench.tree / "src").symlink_to(bench.outside)
    told = bench.diff()
    assert (told["src"]["status"], told["src/main.py"]["status"]) == ("replaced", "removed")
    assert "secret" not in json.dumps(told)


def test_only_what_was_looked_at_is_brought_over(bench: Bench) -> None:
    (bench.tree / "tool").write_text("harmless\n")
    seen = [change["digest"] for change in bench.diff().values()]
    (bench.tree / "tool").write_text("something else\n")
    assert bench.refusal(seen=seen) == "workspace.changed"
    assert (bench.host / "tool").read_text() == "#!/bin/sh\n"


def test_a_file_can_stand_where_a_folder_was(bench: Bench) -> None:
    (bench.tree / "src" / "main.py").unlink()
    (bench.tree / "src").rmdir()
    (bench.tree / "src").write_text("a file now\n")
    assert all(bench.apply().values())
    assert (bench.host / "src").read_text() == "a file now\n"


def test_names_cannot_pretend_to_be_other_lines(bench: Bench) -> None:
    (bench.tree / "x\n+++ b\x1b[2J").write_text("x\n")
    (told,) = bench.diff().values()
    assert "\x1b" not in told["diff"]
    assert told["diff"].splitlines()[1] == "+++ b/x\\n+++ b\\x1b[2J"


def test_large_texts_that_differ_wholly_are_told_without_comparing_line_with_line() -> None:
    old = "".join(f"a{n}\n" for n in range(5000))
    new = "".join(f"b{n}\n" for n in range(5000))
    told = unified(old, new, "x").splitlines()
    assert told[2] == "@@ -1,5000 +1,5000 @@"
    assert len(told) == 10_003


def _patched(before: str, told: str) -> str:
    """What a difference makes of a text, read as patch(1) reads it."""
    old = before.split("\n")
    old = [f"{line}\n" for line in old[:-1]] + ([old[-1]] if old[-1] else [])
    new: list[str] = []
    at = 0
    for line in told.split("\n")[2:-1]:
        if line.startswith("@@"):
            begin, _, count = line.split()[1][1:].partition(",")
            until = int(begin) - (0 if count == "0" else 1)
            new += old[at:until]
            at = until
        else:
            if line[0] in " -":
                at += 1
            if line[0] in " +":
                new.append(line[1:] + "\n")
    return "".join(new + old[at:])


@given(
    st.lists(st.sampled_from(["a", "b", "c", "--- x", "@@", "", "\r"])),
    st.lists(st.sampled_from(["a", "b", "d", "", "\r"])),
)
def test_a_difference_says_everything(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    assert _patched(before, unified(before, after, "x")) == after


@given(st.text())
def test_a_printed_path_stays_on_its_line(path: str) -> None:
    assert printable(path).isprintable()


def test_credentials_are_known_by_their_names() -> None:
    assert all(
        map(credential, (".env", ".env.production", "deploy/server.KEY", "id_ed25519", ".ssh", "a/.aws", "x.tfstate"))
    )
    assert not any(map(credential, (".env.example", "keys.py", "environment.ts", "README.md", ".envoy")))


def test_links_within_the_folder_are_fine() -> None:
    assert not refused_link("a/b/link", "../../c")
    assert refused_link("a/b/link", "../../../c")
