"""Clients as people install them, each a process of its own, before a gateway whose provider is of one kind.

A client gets the environment of a container (`bawn.sandbox.agent_env`) with the address of the test's door in it, an
empty home folder, and for everything that is not the door a proxy that hangs up and remembers what it was asked for:
what works here works in a container, with nothing set.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.versions import CHECKING, NODE, PYTHON
from tests.gateway.conftest import Yard, pytest_asyncio_loop_factories, scripted, start

from bawn.gateway.settings import ProviderKind
from bawn.sandbox.agent_env import BASE_URL, agent_environment, agent_files

__all__ = ["pytest_asyncio_loop_factories", "scripted", "start"]

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "clients"
PROGRAMS = Path(__file__).parent / "programs"
ALIASES = {"claude-haiku-4-5": "scripted/echo", "claude-sonnet-4-5": "scripted/agent"}
"""What an operator writes under `models.aliases` for clients that take no names but those that they know."""
INSIDE = BASE_URL.removesuffix("/api/v1")
"""The door's address within a container."""


class NotInstalled(Exception):
    """A package did not come, and why."""


@cache
def installed(name: str) -> Path:
    """The folder of a client's packages, installed once. Skips with what the installer said."""
    pins = PYTHON.get(name) or (NODE | CHECKING)[name]
    folder = CACHE / f"{name}-{hashlib.sha256(json.dumps(pins).encode()).hexdigest()[:8]}"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            (_install_python if name in PYTHON else _install_node)(folder, pins)
        except (NotInstalled, OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{name} cannot be installed here: {error}")
        done.touch()
    return folder


def _install_python(folder: Path, pins: dict[str, str]) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    wanted = [f"{package}=={version}" for package, version in pins.items()]
    _run([str(folder / "bin" / "pip"), "install", "-q", "--only-binary", ":all:", *wanted], folder)


def _install_node(folder: Path, pins: dict[str, str]) -> None:
    if shutil.which("npm") is None:
        raise NotInstalled("there is no npm")
    (folder / "package.json").write_text("{}")
    wanted = [f"{package}@{version}" for package, version in pins.items()]
    _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *wanted], folder)


def _run(argv: list[str], folder: Path) -> None:
    found = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        errors = [line for line in found.stderr.splitlines() if "error" in line.lower()]
        raise NotInstalled((errors or found.stderr.splitlines() or ["no word"])[-1][:300])


class Elsewhere:
    """A proxy that leads nowhere."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._hang_up, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):
            self.asked.append((await reader.readline()).decode("latin-1").strip())
        writer.close()

    def shut(self) -> None:
        if self._server is not None:
            self._server.close()


@dataclass
class Ground:
    """A yard, and the home and workspace of one client before it."""

    yard: Yard
    home: Path
    work: Path
    elsewhere: Elsewhere
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """A container's, with this door in it, and nothing of this machine but where programs are."""
        inside = agent_environment("dev", 7, model="scripted/agent")
        moved = {name: value.replace(INSIDE, self.yard.url) for name, value in inside.items()}
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")
        nowhere = dict.fromkeys(names, f"http://127.0.0.1:{self.elsewhere.port}")
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            **nowhere,
            **moved,
            # Not every client reads networks there; in a container the door has a name.
            **dict.fromkeys(("NO_PROXY", "no_proxy"), f"{moved['NO_PROXY']},127.0.0.1"),
            "GOOGLE_GEMINI_BASE_URL": self.yard.url,
            "GEMINI_API_KEY": "container-dev",
            **self.extra,
        }

    def home_files(self) -> None:
        for name, text in agent_files("dev", str(self.work)).items():
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(INSIDE, self.yard.url).replace('"default"', '"scripted/agent"'))

    async def said(self, argv: list[str], *, wait_s: float = 90) -> str:
        """What a program prints; a program that fails fails the test with its last words."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.work,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), wait_s)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            pytest.fail(f"{argv[0]} does not end; {self.told()}\n{out.decode()[-2000:]}\n{err.decode()[-2000:]}")
        if process.returncode:
            words = f"{out.decode()[-2000:]}\n{err.decode()[-3000:]}"
            pytest.fail(f"{argv[0]} ends with {process.returncode}; {self.told()}\n{words}")
        print(self.told())
        # A client that goes on after a refusal would hide it.
        assert not self.yard.books.refusals, self.told()
        return out.decode() + err.decode()

    def told(self) -> str:
        """What the gateway says of it, for a test that failed."""
        books = self.yard.books
        refused = [(each.code, each.cause) for each in books.refusals]
        dropped = {dict(event.detail).get("dropped", "") for event in self.yard.record.of("call.opened")} - {""}
        return f"refused: {refused}, dropped: {dropped}, lost: {self.yard.lost}, elsewhere: {self.elsewhere.asked}"

    async def found(self, argv: list[str]) -> dict[str, Any]:
        """The object on the last line that a program prints."""
        lines = [line for line in (await self.said(argv)).splitlines() if line.startswith("{")]
        read: dict[str, Any] = json.loads(lines[-1])
        return read

    async def has_gemini(self) -> bool:
        """Whether this door has the paths of Gemini's clients."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{self.yard.url}/v1beta/models/scripted%2Fecho:generateContent",
                headers={"x-goog-api-key": "container-dev"},
                json={"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
            )
        return answer.status_code != 404


At = Callable[[ProviderKind], Awaitable[Ground]]


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    proxy = Elsewhere()
    await proxy.open()
    yield proxy
    proxy.shut()


@pytest.fixture
def at(start: Callable[..., Awaitable[Yard]], scripted: Path, tmp_path: Path, elsewhere: Elsewhere) -> At:
    """A door whose provider is of one kind and speaks that kind's wires only, and a client's place before it."""

    async def begin(kind: ProviderKind) -> Ground:
        root = "v1beta" if kind is ProviderKind.GEMINI else "v1"
        base = f"http://{(scripted / 'address').read_text()}/{root}"
        yard = await start(kind=kind, provider=base, aliases=ALIASES)
        ground = Ground(yard, tmp_path / "home", tmp_path / "work", elsewhere)
        for folder in (ground.home, ground.home / "tmp", ground.work):
            folder.mkdir()
        ground.home_files()
        return ground

    return begin
