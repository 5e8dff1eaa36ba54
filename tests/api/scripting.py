"""A desk of scripts whose supervisor is imaginary: the workers that it starts are played by this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.scripts.worker import CHAT_ANSWER, Said, Told, Worker, said

from bawn.app.owner_line import OwnerLine
from bawn.app.scripts import ScriptDesk
from bawn.errors import Fault
from bawn.gateway.pool import Pool
from bawn.lines.line import Packet
from bawn.scripts.settings import Scripts
from bawn.vault.secret import Secret
from bawn.vault.vault import KeyInfo


class Values:
    """What of the vault a desk uses."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def list(self) -> list[KeyInfo]:
        return [self._info(name) for name in self.held]

    def secret_for(self, provider: str) -> Secret | None:
        return Secret(self.held[provider]) if provider in self.held else None

    async def add(self, provider: str, secret: str, name: str = "", weight: int = 1) -> KeyInfo:
        self.held[provider] = secret
        return self._info(provider)

    async def rotate(self, provider: str, secret: str) -> KeyInfo:
        return await self.add(provider, secret)

    async def remove(self, provider: str) -> KeyInfo:
        if provider not in self.held:
            raise Fault("vault.unknown_key", "There is no such value.")
        info = self._info(provider)
        del self.held[provider]
        return info

    @staticmethod
    def _info(provider: str) -> KeyInfo:
        return KeyInfo("k", provider, "", "sha256:12", datetime(2030, 1, 1, tzinfo=UTC), None, readable=True)


class Supervisor:
    """Starts workers that are played here; what they were given stands in `started`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: dict[tuple[str, str], asyncio.Server] = {}
        self._pipes: list[int] = []
        self.started: list[dict[str, Any]] = []
        self.stopped: list[tuple[str, str]] = []
        self.workers: dict[tuple[str, str], Worker] = {}

    async def ask(self, do: str, **fields: Any) -> Packet:
        key = (str(fields["project"]), str(fields.get("exec")))
        match do:
            case "script.start":
                self.started.append(fields)
                path = self._directory / f"w{len(self.started)}.sock"
                made = self.workers[key] = Worker(path, self.play)
                self._servers[key] = await asyncio.start_unix_server(made.serve, path)
                ours, theirs = os.pipe()
                os.write(theirs, b'{"level":"info","line":"began"}\n')
                self._pipes.append(theirs)
                return Packet({"pid": len(self.started), "socket": str(path)}, (ours,))
            case "script.stop":
                self.stopped.append(key)
                self._servers.pop(key).close()
                return Packet({})
            case "script.install":
                if key[0] == "broken":
                    raise Fault("script.modules", "Line 3 has no hash.")
                return Packet({"modules": ["attrs==25.1.0"]})
        raise AssertionError(do)

    async def play(self, told: Told) -> Said:
        match told.path:
            case "/health":
                return said({"requests": 1})
            case "/reload":
                return said({"files": {"api/v1/a.py": {"loaded": False, "error": "a.py:3: no"}}, "pid": 1})
            case "/kv/batch/set":
                return said({"ok": True, "count": len(json.loads(told.body)["items"])})
            case "/kv/get":
                return said({"error": {"code": "request.invalid", "message": "a key is a text"}}, 400)
            case _:
                return said(CHAT_ANSWER)

    async def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for made in self.workers.values():
            for writer in tuple(made.open):
                writer.transport.abort()
            while made.open:
                await asyncio.sleep(0.005)
        for pipe in self._pipes:
            os.close(pipe)
        await asyncio.sleep(0.01)  # the ends of the pipes are read


class _Gateway:
    def use_scripts(self, ways: object, workers: object) -> None:
        """No call passes here."""


async def _nobody(raw: object) -> str:
    raise AssertionError(raw)


ENV = {"default/1": {"TOKEN": "forge"}}


def desk(directory: Path, registry: Any, log: Any, clock: Any) -> tuple[ScriptDesk, Supervisor]:
    home = directory / "home"
    for name in ("scripts", "run", "state"):
        (home / name).mkdir(parents=True)
    supervisor = Supervisor(directory)
    values: Any = Values()
    pool = Pool(clock.monotonic, 5)
    made = ScriptDesk(home, lambda: Scripts(env=ENV), registry, values, log, pool, clock, set())
    services: Any = object()
    gateway: Any = _Gateway()
    boxes: Any = lambda: supervisor  # noqa: E731 - one line of a stand-in
    made.connect(gateway, boxes, services, OwnerLine("egress proxy", "egress.unavailable", _nobody))
    return made, supervisor


async def closed(made: ScriptDesk, supervisor: Supervisor) -> None:
    with contextlib.suppress(Fault):
        await made.shut()
    await supervisor.close()
