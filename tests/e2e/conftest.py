from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import machine
from tests.e2e.installation import BAWN, Container, Installation, free_port, lives, until

LAST = "test_last_no_key_was_written.py"
BUILDING_S = 1800
"""The first test waits for the image; later ones end long before."""

LONG = frozenset(
    (
        "test_down_stops_the_containers_and_up_can_start_them_again",
        "test_five_days",
        "test_opencode_mends_a_package_and_its_files_stay_their_owners",
        "test_running_containers_are_adopted_and_dead_ones_are_told_as_failed",
        "test_the_address_of_a_door_cannot_be_taken_while_the_gateway_is_dead",
    )
)
"""Tests of many seconds that go the same way in both runtimes: with bubblewrap they are among the slow ones."""

_FOLDER = "test_a_task_has_a_folder_of_its_own_and_nothing_beside_it"
LONG_VARIANTS = frozenset(
    (_FOLDER, f"{variant}]") for variant in ("podman-copy", "podman-memory", "bubblewrap-live", "bubblewrap-memory")
)
LONG_FILES = frozenset((
    "test_files.py", "test_images.py", "test_limits.py", "test_packages.py", "test_ports.py", "test_reload.py",
    "test_rights.py", "test_scripts.py", "test_tasks.py", "test_workspaces.py",
))  # fmt: skip
"""The same of whole files; what the wall holds is tried in both runtimes always."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks this folder's tests; what looks through everything written comes after everything else."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            name, _, variant = item.name.partition("[")
            long = name in LONG or item.path.name in LONG_FILES
            if (long and variant.startswith("bubblewrap")) or (name, variant) in LONG_VARIANTS:
                item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(BUILDING_S))
    items.sort(key=lambda item: item.path.name == LAST)


@dataclass
class Planted:
    """Secrets that must not be found in anything that Bawn wrote, and the folders in which it wrote."""

    secrets: list[str] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)

    def key(self, form: str = "sk-test-") -> str:
        """A new secret of the form that providers give their keys."""
        made = f"{form}{secrets.token_hex(24)}"
        self.secrets.append(made)
        return made


@pytest.fixture(scope="session")
def planted() -> Planted:
    return Planted()


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider on loopback that writes down what reaches it."""

    url: str
    record: Path

    def heard(self) -> str:
        return self.record.read_text()


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    place = machine.new_place()
    argv = [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--record", str(place / "record")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield Provider(f"http://{address}", place / "record")
        process.terminate()
    shutil.rmtree(place)


CONFIG = """\
profile: starter
api:
  port: {port}
providers:
  mock:
    kind: openai-compatible
    base_url: {url}/v1
    models: [echo]
  mirror:
    kind: anthropic
    base_url: {url}
    models: [echo]
allow:
  models: ["scripted/*", "mock/*", "mirror/*"]
"""


@pytest.fixture(scope="session")
def yard(provider: Provider, planted: Planted) -> Iterator[Installation]:
    """The installation that all tests share, with the image `agent`."""
    if reason := machine.lacking():
        pytest.skip(reason)
    # An operator's environment may hold keys of their own, which are nobody's business.
    own = {name: planted.key() for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_SECRET")}
    made = Installation(machine.new_place(), own)
    made.config.write_text(CONFIG.format(port=free_port(), url=provider.url))
    machine.keep_images(made)
    planted.places.append(made.place)
    try:
        made.up()
        machine.agent_image(made)
        yield made
    finally:
        end(made)


@pytest.fixture(scope="session")
def ordinary() -> Iterator[dict[str, Any]]:
    """As whom subprocess runs things; a user that is made for it when we are root."""
    if os.geteuid() != 0:
        yield {}
        return
    argv = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", machine.ORDINARY]
    subprocess.run(argv, capture_output=True, check=False)
    user = pwd.getpwnam(machine.ORDINARY)
    yield {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    subprocess.run(["userdel", machine.ORDINARY], capture_output=True, check=False)


@pytest.fixture(scope="session")
def own(ordinary: dict[str, Any], planted: Planted) -> Iterator[Installation]:
    if reason := machine.lacking():
        pytest.skip(reason)
    made = Installation(machine.new_place(), as_user=ordinary)
    made.further = {
        "HOME": str(made.place),
        "XDG_STATE_HOME": "",
        "XDG_CONFIG_HOME": "",
        "OPENAI_API_KEY": planted.key(),
    }
    made.config.write_text("profile: starter\napi:\n  port: null\nboxes:\n  image: host\n")
    if ordinary:
        for path in (made.place, *made.place.rglob("*")):
            os.chown(path, ordinary["user"], ordinary["group"])
        tried = subprocess.run([str(BAWN), "--version"], capture_output=True, cwd="/", check=False, **ordinary)
        if tried.returncode != 0:
            shutil.rmtree(made.place)
            pytest.skip(f"an ordinary user cannot run {BAWN}: it lies beneath a folder that is closed to others")
    planted.places.append(made.place)
    try:
        made.up()
        yield made
    finally:
        end(made)


def end(yard: Installation) -> None:
    """Stops it whatever a test did to it, and takes it away."""
    for record in yard.json("containers", "list") if yard.runs() else ():
        yard.bawn("containers", "delete", record["id"])
    if yard.bawn("down", wait_s=120).code != 0:
        with contextlib.suppress(OSError, ValueError):
            pid = int((yard.home / "supervisor.lock").read_text())
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
                until(lambda: not lives(pid), "the supervisor is gone")
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(yard.home / "bawn.log", machine.KEPT / "last.log")
    shutil.rmtree(yard.place, ignore_errors=True)


@pytest.fixture(scope="session", params=["podman", "bubblewrap"])
def runtime(request: pytest.FixtureRequest, yard: Installation) -> str:
    """Both kinds of container."""
    name = str(request.param)
    state = yard.json("status")["runtimes"].get(name)
    if state != "ready":
        pytest.skip(f"{name} cannot be used here: {state}")
    return name


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A folder of this machine that belongs to another user than root."""
    place = Path(shutil.copytree(Path(__file__).parents[2] / "demo" / "sample", machine.new_place() / "work"))
    shutil.rmtree(place / "tests" / "__pycache__", ignore_errors=True)
    if os.geteuid() == 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, 12345, 12346)
    yield place
    shutil.rmtree(place.parent)


@pytest.fixture(scope="module")
def dev(yard: Installation, runtime: str) -> Iterator[Container]:
    """A container of a module's own."""
    box = yard.box(f"dev-{runtime}", runtime)
    yield box
    yard.bawn("containers", "delete", box.name)
