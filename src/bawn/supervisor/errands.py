"""Short-lived programs that do one thing to the files of one container, and tell the gateway the outcome themselves.

The supervisor checks what is asked, opens what is needed, starts the program and hands the gateway the other end of the
program's stream (`sandbox/talk.py`). Bytes of files never pass through here, and a hostile tree costs a
process that can be ended, not the supervisor.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping

from bawn.errors import Fault
from bawn.sandbox import inside
from bawn.sandbox.filing import ACTS
from bawn.sandbox.staging import agent_uid
from bawn.supervisor.keeper import Keeper
from bawn.supervisor.loop import Loop
from bawn.supervisor.programs import spawn

COUNT_LIMIT = 32
WRITE_LIMIT = 8 << 30
_ENDED_AFTER_S = 10.0

AnswerWithFds = Callable[[dict[str, object] | Fault, list[int]], None]
Request = Mapping[str, object]


class Errands:
    def __init__(self, loop: Loop, keeper: Keeper, *, rootless: bool) -> None:
        self._loop = loop
        self._keeper = keeper
        self._rootless = rootless
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def files(self, uuid: str, request: Request, answer: AnswerWithFds) -> None:
        """One act on a running box's files."""
        act = request.get("act")
        if act not in ACTS:
            raise Fault("sandbox.invalid", "act must be an act on files")
        mode = request.get("mode")
        if mode is not None and (not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= 0o777):
            raise Fault("sandbox.invalid", "mode must be between 0 and 0777 (octal)")
        limit = request.get("limit_bytes", WRITE_LIMIT)
        if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= WRITE_LIMIT:
            raise Fault("sandbox.invalid", f"limit_bytes must be an integer up to {WRITE_LIMIT}")
        spec, box = self._keeper.running(uuid)
        folder, rest = inside.located(request.get("path"), spec.place)
        asked = {
            "act": act,
            "path": rest,
            "mode": mode,
            "limit_bytes": limit,
            "parents": request.get("parents") is True,
            "recursive": request.get("recursive") is True,
            "uid": None if self._rootless else agent_uid(spec.number),
        }

        def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
            with inside.folders(box, spec.place) as held:
                return spawn("bawn.sandbox.filing", asked | {"folder": held[folder]}, [held[folder]])

        self.start(start, answer)

    def start(self, start: Callable[[], tuple[subprocess.Popen[bytes], socket.socket]], answer: AnswerWithFds) -> None:
        """Starts a program in a thread; the answer carries the gateway's end of its stream."""
        if len(self._running) >= COUNT_LIMIT:
            raise Fault("api.conflict", "too much is done with files at once", remedy="Try again in a moment.")

        def start_slowly() -> None:
            try:
                process, stream = start()
            except (Fault, OSError) as error:
                fault = (
                    error
                    if isinstance(error, Fault)
                    else Fault("files.failed", "this could not be begun", cause=str(error))
                )
                self._loop.post(lambda: answer(fault, []))
                return
            self._loop.post(lambda: self._started(process, stream, answer))

        self._keeper.slowly(start_slowly)

    def _started(self, process: subprocess.Popen[bytes], stream: socket.socket, answer: AnswerWithFds) -> None:
        pidfd = os.pidfd_open(process.pid)
        self._running[pidfd] = process
        with stream:
            answer({}, [stream.fileno()])
        self._loop.watch(pidfd, lambda: self._ended(pidfd))

    def _ended(self, pidfd: int) -> None:
        self._loop.unwatch(pidfd)
        os.close(pidfd)
        self._running.pop(pidfd).wait()

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(_ENDED_AFTER_S)
