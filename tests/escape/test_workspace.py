"""What of a workspace a box sees, what it can change, and what is left on the host afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from tests.escape.grounds import Ground
from tests.supervisor.yard import Yard

from bawn.sandbox.guarded import TRUSTED, secret

pytestmark = pytest.mark.containers

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nvery-secret\n"
SECRETS = {
    ".env": "TOKEN=very-secret", "app/.env.production": "TOKEN=very-secret", "deploy/server.key": KEY, "id_rsa": KEY,
    ".npmrc": "//registry/:_authToken=very-secret", "cloud/credentials.json": '{"k": "very-secret"}',
    ".aws/credentials": "very-secret", "home/.ssh/id_ed25519": "very-secret",
}  # fmt: skip
INNOCENT = {".env.example": "TOKEN=", "tls/ca.pem": "-----BEGIN CERTIFICATE-----\n", "app/main.py": "print(1)\n"}

MOVES = """
import json, os, sys
tries = json.loads(sys.argv[1])
for what, path in tries:
    try:
        if what == "write":
            open(path, "w").write("evil")
        elif what == "append":
            open(path, "a").write("evil")
        elif what == "remove":
            os.remove(path) if not os.path.isdir(path) else os.rmdir(path)
        elif what == "move":
            os.rename(path, path + "-aside")
        elif what == "replace":
            open("/workspace/own", "w").write("evil")
            os.rename("/workspace/own", path)
        elif what == "link":
            os.symlink("/tmp", path)
        elif what == "make":
            os.mkdir(path)
        print("done", what, path)
    except OSError as error:
        print("no", what, path, error.errno)
        if os.path.exists("/workspace/own"):
            os.remove("/workspace/own")
"""


def written(folder: Path, files: dict[str, str], ground: Ground) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if ground.uid is not None:
        for path in (folder, *folder.rglob("*")):
            os.lchown(path, ground.uid, ground.uid)


def repository(folder: Path, ground: Ground) -> None:
    git = ["git", "-c", "user.email=a@b", "-c", "user.name=a", "-c", "safe.directory=*"]
    for words in (["init", "-q", "."], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], cwd=folder, check=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    written(folder, {}, ground)


def tried(yard: Yard, box: str, tries: list[tuple[str, str]]) -> list[str]:
    import json

    said = yard.run(box, "python3", "-c", MOVES, json.dumps(tries))
    assert said["code"] == 0, said
    return [line for line in said["out"].splitlines() if line.startswith("done")]


def test_what_the_host_would_run_cannot_be_made_changed_or_moved_aside(
    yard: Yard, ground: Ground, folder: Path
) -> None:
    repository(folder, ground)
    hook = folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    written(folder, {".git/hooks/pre-commit": "#!/bin/sh\n", ".vscode/tasks.json": "{}", ".envrc": "use x\n"}, ground)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    box = yard.started(ground.runtime, workspace=str(folder))
    tries: list[tuple[str, str]] = []
    for name in ("hooks/pre-commit", "hooks/post-checkout", "config", "config.worktree"):
        tries += [(what, f"/workspace/.git/{name}") for what in ("write", "append", "remove", "replace")]
    for name in (".git/hooks", ".git/config", ".git", *(each.path for each in TRUSTED)):
        tries += [(what, f"/workspace/{name}") for what in ("move", "remove", "replace", "link", "make", "write")]
    tries += [("write", f"/workspace/{each.path}/settings.json") for each in TRUSTED if each.folder]
    assert tried(yard, box, tries) == []
    # It is a repository all the same.
    git = "git -c user.email=a@b -c user.name=a"
    said = yard.run(box, "sh", "-c", f"echo x > new && {git} add new && {git} commit -qm second && git log --oneline")
    assert len(said["out"].splitlines()) == 2, said
    assert yard.ask("delete", uuid=box)["ok"]
    for path, content in before.items():
        if path.name in ("pre-commit", "config", "tasks.json", ".envrc"):
            assert path.read_bytes() == content, path
    left = {path.name for path in folder.iterdir()}
    assert left == {".git", ".vscode", ".envrc", "new"}
    assert not (folder / ".git/config.worktree").exists()


def test_a_repository_that_the_agent_makes_does_not_reach_the_host(yard: Yard, ground: Ground, folder: Path) -> None:
    box = yard.started(ground.runtime, workspace=str(folder))
    git = "git -c user.email=a@b -c user.name=a"
    said = yard.run(box, "sh", "-c", f"git init -q . && echo x > a && {git} add a && {git} commit -qm one && git log")
    assert "one" in said["out"], said
    assert tried(yard, box, [("move", "/workspace/.git")]) == []
    assert list((folder / ".git").iterdir()) == []
    assert yard.ask("delete", uuid=box)["ok"]
    assert {path.name for path in folder.iterdir()} == {"a"}


def test_secrets_that_lie_about_are_hidden_and_named(yard: Yard, ground: Ground, folder: Path) -> None:
    written(folder, SECRETS | INNOCENT, ground)
    spec = yard.spec(ground.runtime, workspace=str(folder))
    said = yard.ask("start", spec=spec)
    assert said["ok"], said
    assert set(said["masked"]) == {name for name in SECRETS if "credentials" not in name or "cloud" in name} - {
        "home/.ssh/id_ed25519"
    } | {".aws", "home/.ssh"}
    box = spec["uuid"]
    assert "very-secret" not in yard.run(box, "sh", "-c", "grep -r . /workspace 2>/dev/null; true")["out"]
    for name, text in INNOCENT.items():
        assert yard.run(box, "cat", f"/workspace/{name}")["out"] == text
    # A folder above may be moved, and what is covered stays covered.
    yard.run(box, "mv", "/workspace/app", "/workspace/moved")
    assert "very-secret" not in yard.run(box, "sh", "-c", "cat /workspace/moved/.env.production; true")["out"]
    assert tried(yard, box, [("move", "/workspace/.env"), ("write", "/workspace/.env")]) == []
    assert yard.ask("delete", uuid=box)["ok"]
    assert (folder / ".env").read_text() == SECRETS[".env"]


def test_what_stands_in_for_missing_files_is_taken_away_after_a_crash_as_well(
    yard: Yard, ground: Ground, folder: Path
) -> None:
    box = yard.started(ground.runtime, workspace=str(folder))
    assert (folder / ".envrc").exists()
    pid = yard.state(box)["pid"]
    yard.crash()
    os.kill(pid, 9)
    yard.restart()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", [".git/hooks", ".git/config", ".vscode", ".envrc"])
def test_a_link_in_the_place_of_what_is_guarded_refuses_the_start(
    yard: Yard, ground: Ground, folder: Path, name: str
) -> None:
    (folder / ".git").mkdir()
    (folder / name).symlink_to("/etc")
    written(folder, {}, ground)
    said = yard.ask("start", spec=yard.spec(ground.runtime, workspace=str(folder)))
    assert said["code"] == "sandbox.invalid"
    assert name in said["sentence"]


def test_no_two_living_boxes_share_or_overlap_a_folder(yard: Yard, ground: Ground, folder: Path) -> None:
    (folder / "inner/deep").mkdir(parents=True)
    written(folder, {}, ground)
    box = yard.started(ground.runtime, workspace=str(folder / "inner"))
    for other in (folder / "inner", folder, folder / "inner/deep"):
        said = yard.ask("start", spec=yard.spec(ground.runtime, workspace=str(other)))
        assert said["code"] == "sandbox.mount_taken", other
        assert "box" in said["sentence"]
    assert yard.ask("delete", uuid=box)["ok"]
    yard.ask("delete", uuid=yard.started(ground.runtime, workspace=str(folder)))


def test_a_folder_that_is_exchanged_while_the_box_is_made_never_leads_elsewhere(
    yard: Yard, ground: Ground, folder: Path
) -> None:
    """The race of CVE-2026-27523: the last part of the path becomes a link after it was looked at."""
    target, aside, ended = folder / "target", folder / "aside", threading.Event()
    target.mkdir()
    secret_place = folder / "secret"
    secret_place.mkdir()
    (secret_place / "secret").write_text("very-secret")
    written(folder, {}, ground)

    def exchange() -> None:
        while not ended.is_set():
            target.rename(aside)
            target.symlink_to(secret_place)
            target.unlink()
            aside.rename(target)

    racer = threading.Thread(target=exchange)
    racer.start()
    try:
        started = 0
        for _ in range(12):
            spec = yard.spec(ground.runtime, workspace=str(target))
            if yard.ask("start", spec=spec)["ok"]:
                started += 1
                assert "very-secret" not in yard.run(spec["uuid"], "sh", "-c", "cat /workspace/secret; true")["out"]
            yard.ask("delete", uuid=spec["uuid"])
    finally:
        ended.set()
        racer.join()


@pytest.mark.parametrize("name", [".env", ".env.local", "id_rsa", ".netrc", "store.p12", "service-account-x.json"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret(name)


@pytest.mark.parametrize("name", ["env", ".env.example", ".envrc", "main.py", "id_rsa.pub", "credentials.py"])
def test_other_names_are_not_secrets(name: str) -> None:
    assert not secret(name)
