"""What `ctx` of a script offers and only the gateway can do: run a command in the calling container, read a file of it,
tell people something, ask them, start another agent.

Everything is for the container of the ticket and for no other; what it is called by comes from the ticket as well.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shlex
from collections.abc import Awaitable, Callable
from typing import Any

from bawn.app.files import Files
from bawn.app.lifecycle import Lifecycle
from bawn.errors import Fault
from bawn.gateway.script_door import Asker
from bawn.identity.registry import Registry
from bawn.sdk.frames import Channel, Command

Service = Callable[[Asker, dict[str, Any]], Awaitable[Any]]

OUTPUT_BYTES = 1 << 20
"""Of each of the two outputs of a command; what is more is left out, and told."""
FILE_BYTES = 8 << 20
_EXEC_S = 60.0
_LONGEST_EXEC_S = 600.0


class ScriptServices:
    """Fulfils `gateway.HostServices`; further services are put in by the composition root, by name."""

    def __init__(self, lifecycle: Lifecycle, files: Files, registry: Registry) -> None:
        self._lifecycle = lifecycle
        self._files = files
        self._registry = registry
        self.log: Callable[[Asker, dict[str, Any]], None] = lambda asker, body: None
        self.services: dict[str, Service] = {"exec": self._exec, "files/read": self._read, "log": self._log}

    def knows(self, service: str) -> bool:
        return service in self.services

    async def ask(self, service: str, asker: Asker, body: dict[str, Any]) -> Any:
        return await self.services[service](asker, body)

    async def _exec(self, asker: Asker, body: dict[str, Any]) -> Any:
        argv = body.get("argv")
        if argv is None and isinstance(body.get("command"), str):
            argv = ["sh", "-c", body["command"]]
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise Fault("request.invalid", "`argv` is a list of words, or `command` a line for the shell.")
        cwd = body.get("cwd") or ""
        seconds = body.get("timeout", _EXEC_S)
        if not isinstance(cwd, str) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_EXEC_S:
            raise Fault("request.invalid", f"`cwd` is a path, `timeout` a number of seconds up to {_LONGEST_EXEC_S:g}.")
        command = Command(argv=argv, cwd=cwd)
        running = await self._lifecycle.exec(asker.container.uuid, command, asker.principal)
        said = {"stdout": bytearray(), "stderr": bytearray()}
        cut = False
        try:
            async with asyncio.timeout(seconds):
                await running.close_stdin()
                while (data := await running.read()) is not None:
                    into = said["stderr" if data.channel == Channel.STDERR else "stdout"]
                    cut = cut or len(into) + len(data.data) > OUTPUT_BYTES
                    into += data.data[: OUTPUT_BYTES - len(into)]
                code = await running.wait()
        except TimeoutError:
            raise Fault(
                "script.timeout", f"The command {shlex.join(argv)[:200]!r} took over {seconds:g} s and was ended."
            ) from None
        finally:
            with contextlib.suppress(Fault):
                await running.close()
        return {
            "exit": code,
            "stdout": said["stdout"].decode("utf-8", "replace"),
            "stderr": said["stderr"].decode("utf-8", "replace"),
            "cut": cut,
        }

    async def _read(self, asker: Asker, body: dict[str, Any]) -> Any:
        path = body.get("path")
        if not isinstance(path, str) or not path or len(path) > 4096:
            raise Fault("request.invalid", "`path` is the path of a file.")
        data = await self._files.peek(self._registry.get(asker.container.uuid), path, FILE_BYTES)
        return {"content": base64.b64encode(data).decode("ascii")}

    async def _log(self, asker: Asker, body: dict[str, Any]) -> Any:
        self.log(asker, body)
        return {}
