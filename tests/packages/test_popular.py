"""Nothing honest is refused: popular packages by the mirror from the registries that this machine's clients use."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.packages.conftest import ONE
from tests.packages.test_npm import needs_npm

from bawn.packages.door import Doors
from bawn.packages.locks import hashes
from bawn.packages.mirror import Mirror
from bawn.packages.names import NPM, PIP
from bawn.packages.policy import Policy, Version
from bawn.packages.reasons import Refused
from bawn.packages.registries import npm_access, pip_access, registries_of
from bawn.packages.shelf import Shelf
from bawn.packages.upstream import Upstream
from bawn.sandbox.client_config import client_environment

PYTHON = (
    "requests", "urllib3", "idna", "certifi", "charset-normalizer", "setuptools", "six", "python-dateutil", "pyyaml", "numpy",
    "packaging", "click", "jinja2", "markupsafe", "attrs", "rich", "pytest", "cryptography", "pydantic", "typing-extensions",
)  # fmt: skip
NODE = (
    "lodash", "react", "chalk", "commander", "express", "debug", "axios", "tslib", "semver", "uuid",
    "yargs", "glob", "typescript", "@types/node", "prettier", "dotenv", "ws", "zod", "minimist", "async",
)  # fmt: skip


class Market:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.served: list[tuple[Version, str]] = []
        self.refusals: list[Refused] = []
        self.policy = Policy(uuid=ONE, name="dev", ecosystems=frozenset({"pip", "npm"}))

    def lock(self, text: str) -> None:
        """As for a container with a task, whose project has this lock file."""
        self.policy = replace(self.policy, mode="locked", locks=hashes(text))
        self.served.clear()

    def names(self) -> set[str]:
        return {each.package for each, _ in self.served}


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    asked = [sys.executable, "-m", "bawn.sandbox.registries"]
    said = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout)
    registries, upstreams = registries_of(said), {PIP: Upstream(pip_access(said)), NPM: Upstream(npm_access(said))}
    if not registries.pip:
        pytest.skip("this machine's pip is configured for no index")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    made = Market(port)

    async def record(policy: Policy, version: Version, digest: str) -> None:
        made.served.append((version, digest))

    kept = tmp_path / "kept"
    mirror = Mirror(upstreams, registries, kept, Shelf(kept, 1 << 34), record, f"http://127.0.0.1:{port}")
    doors = Doors(mirror, lambda uuid: made.policy, lambda uuid, refused: made.refusals.append(refused))
    await doors.open(ONE, listener)
    yield made
    doors.shut()
    for upstream in upstreams.values():
        await upstream.close()
    await asyncio.sleep(0.01)


async def said_by(argv: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=900
    )
    text = done.stdout + done.stderr
    if done.returncode and "cannot be reached" in text:
        pytest.skip("the registry that this machine's clients are configured for cannot be reached")
    assert done.returncode == 0, text[-3000:]
    return text


async def pip(market: Market, folder: Path, *words: str) -> None:
    argv = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--target", str(folder / "lib"), *words]
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_CONFIG_FILE": "/dev/null", **client_environment(),
        "PIP_INDEX_URL": f"{market.url}/pypi/simple/",
    }  # fmt: skip
    await said_by(argv, folder, environment)


async def pip_from_lock(market: Market, folder: Path) -> None:
    """Again, from a lock file with the hashes of what was just installed."""
    wanted = market.names()
    lines = sorted(f"{each.package}=={each.version} --hash=sha256:{digest}" for each, digest in market.served)
    (folder / "requirements.txt").write_text("\n".join(lines))
    market.lock("\n".join(lines))
    shutil.rmtree(folder / "lib")
    await pip(market, folder, "--require-hashes", "-r", str(folder / "requirements.txt"))
    assert market.names() == wanted


async def npm(market: Market, folder: Path, *words: str) -> None:
    if not (folder / "package.json").exists():
        (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **client_environment(),
        "NPM_CONFIG_REGISTRY": f"{market.url}/npm/", "NPM_CONFIG_CACHE": str(folder / ".cache"),
        "NPM_CONFIG_USERCONFIG": "/dev/null", "NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_AUDIT": "false",
        "NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED": "false",
    }  # fmt: skip
    await said_by(["npm", *words], folder, environment)


async def npm_from_lock(market: Market, folder: Path) -> None:
    """Again, from a lock file with the addresses of another registry."""
    wanted = market.names()
    lock = (folder / "package-lock.json").read_text().replace(f"{market.url}/npm/", "https://registry.invalid/all/")
    assert "https://registry.invalid/all/" in lock
    (folder / "package-lock.json").write_text(lock)
    market.lock(lock)
    for each in ("node_modules", ".cache"):
        shutil.rmtree(folder / each)
    await npm(market, folder, "ci")
    assert market.names() == wanted


async def test_a_popular_python_package_is_installed(market: Market, tmp_path: Path) -> None:
    await pip(market, tmp_path, "six")
    await pip_from_lock(market, tmp_path)
    assert market.refusals == []


@needs_npm
async def test_a_popular_node_package_is_installed(market: Market, tmp_path: Path) -> None:
    await npm(market, tmp_path, "install", "minimist")
    await npm_from_lock(market, tmp_path)
    assert market.refusals == []


@pytest.mark.slow
@pytest.mark.timeout(1000)
async def test_twenty_popular_python_packages_are_installed(market: Market, tmp_path: Path) -> None:
    await pip(market, tmp_path, *PYTHON)
    assert market.names() >= set(PYTHON)
    await pip_from_lock(market, tmp_path)
    assert market.refusals == []


@needs_npm
@pytest.mark.slow
@pytest.mark.timeout(1000)
async def test_twenty_popular_node_packages_are_installed(market: Market, tmp_path: Path) -> None:
    await npm(market, tmp_path, "install", *NODE)
    assert market.names() >= set(NODE)
    await npm_from_lock(market, tmp_path)
    assert market.refusals == []
