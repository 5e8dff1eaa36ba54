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
from tests.packages.conftest import ONE
from tests.packages.test_npm import needs_npm

from bawn.packages.door import Doors
from bawn.packages.mirror import Mirror
from bawn.packages.names import NPM, PIP
from bawn.packages.policy import Policy, Version
from bawn.packages.reasons import Refused
from bawn.packages.registries import npm_access, pip_access, registries_of
from bawn.packages.shelf import Shelf
from bawn.packages.upstream import Upstream

PYTHON = (
    "requests", "urllib3", "idna", "certifi", "charset-normalizer", "setuptools", "six", "python-dateutil", "pyyaml", "numpy",
    "packaging", "click", "jinja2", "markupsafe", "attrs", "rich", "pytest", "cryptography", "pydantic", "typing-extensions",
)  # fmt: skip
NODE = (
    "lodash", "react", "chalk", "commander", "express", "debug", "axios", "tslib", "semver", "uuid",
    "yargs", "glob", "typescript", "@types/node", "prettier", "dotenv", "ws", "zod", "minimist", "async",
)  # fmt: skip


class Market:
    def __init__(self, port: int, served: list[Version], refusals: list[Refused]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.served = served
        self.refusals = refusals


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    asked = [sys.executable, "-m", "bawn.sandbox.registries"]
    said = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout)
    registries, upstreams = registries_of(said), {PIP: Upstream(pip_access(said)), NPM: Upstream(npm_access(said))}
    served: list[Version] = []
    refusals: list[Refused] = []

    async def record(policy: Policy, version: Version, digest: str) -> None:
        served.append(version)

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    kept = tmp_path / "kept"
    mirror = Mirror(upstreams, registries, kept, Shelf(kept, 1 << 34), record, f"http://127.0.0.1:{port}")
    policy = Policy(uuid=ONE, name="dev", ecosystems=frozenset({"pip", "npm"}))
    doors = Doors(mirror, lambda uuid: policy, lambda uuid, refused: refusals.append(refused))
    await doors.open(ONE, listener)
    yield Market(port, served, refusals)
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


async def pip(market: Market, folder: Path, *names: str) -> None:
    argv = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
    ]
    argv += ["--index-url", f"{market.url}/pypi/simple/", "--target", str(folder / "lib"), *names]
    await said_by(argv, folder, {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_CONFIG_FILE": "/dev/null"})


async def npm(market: Market, folder: Path, *names: str) -> None:
    (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "npm_config_registry": f"{market.url}/npm/",
        "npm_config_ignore_scripts": "true", "npm_config_update_notifier": "false", "npm_config_audit": "false",
        "npm_config_cache": str(folder / ".cache"), "npm_config_userconfig": "/dev/null",
    }  # fmt: skip
    await said_by(["npm", "install", *names], folder, environment)
    shutil.rmtree(folder / "node_modules")
    await said_by(["npm", "ci"], folder, environment)


async def test_a_popular_python_package_is_installed(market: Market, tmp_path: Path) -> None:
    await pip(market, tmp_path, "six")
    assert market.refusals == []


@needs_npm
async def test_a_popular_node_package_is_installed(market: Market, tmp_path: Path) -> None:
    await npm(market, tmp_path, "minimist")
    assert market.refusals == []


@pytest.mark.slow
@pytest.mark.timeout(1000)
async def test_twenty_popular_python_packages_are_installed(market: Market, tmp_path: Path) -> None:
    await pip(market, tmp_path, *PYTHON)
    assert market.refusals == []
    assert {each.package for each in market.served} >= set(PYTHON)


@needs_npm
@pytest.mark.slow
@pytest.mark.timeout(1000)
async def test_twenty_popular_node_packages_are_installed(market: Market, tmp_path: Path) -> None:
    await npm(market, tmp_path, *NODE)
    assert market.refusals == []
    assert {each.package for each in market.served} >= set(NODE)
