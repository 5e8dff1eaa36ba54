"""Installing packages inside, by the mirror, from the registries that this machine's own clients use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Container, Installation, until


@pytest.fixture(scope="module")
def box(yard: Installation, runtime: str) -> Iterator[Container]:
    made = yard.box(f"installs-{runtime}", runtime)
    yield made
    yard.bawn("containers", "delete", made.name)


def test_nothing_is_installed_until_it_is_allowed(yard: Installation, box: Container) -> None:
    refused = box.sh("cd /tmp && npm install minimist")
    assert refused.code != 0
    assert "bawn egress allow" in refused.out + refused.err
    assert box.sh("python3 -m venv ~/venv && ~/venv/bin/pip install six").code != 0
    assert any(each["code"] == "packages.not_allowed" for each in yard.json("why", box.name))


def test_allowed_packages_are_installed_and_nothing_else_is_reached(yard: Installation, box: Container) -> None:
    for preset in ("@pip", "@npm"):
        yard.done("egress", "allow", box.name, preset)
    said = box.sh("python3 -m venv ~/venv && ~/venv/bin/pip install six && ~/venv/bin/python -c 'import six'")
    if "cannot be reached" in said.out + said.err:
        pytest.skip("the registry of this machine cannot be reached")
    assert said.code == 0, said
    npm = box.sh("mkdir -p ~/js && cd ~/js && npm install minimist && node -e 'require(\"minimist\")'")
    assert npm.code == 0, npm
    for other in ("curl -sSf https://example.org/", "~/venv/bin/pip download --no-binary :all: six -d /tmp/x"):
        assert box.sh(other).code != 0, other
    until(
        lambda: len([e for e in yard.json("egress", "log", box.name) if e["event"] == "package.served"]) >= 2,
        "both listed",
    )


def test_a_container_with_a_task_installs_from_its_lock_file_alone(yard: Installation, runtime: str) -> None:
    box = yard.box(f"tasked-{runtime}", runtime, "agent", "--task", "install something")
    try:
        yard.done("egress", "allow", box.name, "@npm")
        refused = box.sh("cd /tmp && npm install minimist")
        assert refused.code != 0
        assert "lock" in refused.out + refused.err
    finally:
        yard.bawn("containers", "delete", box.name)


def test_a_container_with_a_task_installs_what_its_projects_lock_files_name(
    yard: Installation, runtime: str, workspace: Path
) -> None:
    """The lock file is made by this machine's own npm; another is longer than what a line between processes takes at once."""
    made = shutil.which("npm") and subprocess.run(
        ["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved=false", "minimist"],
        cwd=workspace, capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    if not made or made.returncode:
        pytest.skip("this machine has no npm, or its registry cannot be reached")
    assert '"resolved"' in (workspace / "package-lock.json").read_text()
    many = (f"tool-{number}==1 --hash=sha256:{number:064x}\n" for number in range(5000))
    (workspace / "requirements.txt").write_text("".join(many))
    further = ("--task", "install", "--mount", str(workspace), "--workspace", "copy")
    box = yard.box(f"locked-{runtime}", runtime, "agent", *further)
    try:
        for preset in ("@npm", "@pip"):
            yard.done("egress", "allow", box.name, preset)
        said = box.sh("npm ci && node -e 'require(\"minimist\")'")
        assert said.code == 0, said
        refused = box.sh("npm install ms")
        assert refused.code != 0
        assert "lock" in refused.out + refused.err
        refused = box.sh("python3 -m venv ~/venv && ~/venv/bin/pip install six")
        assert refused.code != 0
        assert "lock" in refused.out + refused.err
    finally:
        yard.bawn("containers", "delete", box.name)
