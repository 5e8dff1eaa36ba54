"""Commands that run in boxes: started in a thread, watched by their pidfd, told when they end."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import signal
import struct
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.runtime import Command, Running, Runtime
from bawn.sandbox.spec import read_env
from bawn.supervisor.keeper import Keeper, Tell
from bawn.supervisor.loop import Loop

ARGUMENTS_LIMIT = 32 * 1024
SIZE_LIMIT = 2000
COUNT_LIMIT = 256
LAST_WORDS_S = 0.3
_TIOCVHANGUP = 0x5437
_ID = re.compile(r"e[0-9]{1,12}\Z")

AnswerWithFds = Callable[[dict[str, object] | Fault, list[int]], None]


@dataclass(slots=True)
class _Execution:
    uuid: str
    box: Attested
    runtime: Runtime
    running: Running
    pidfd: int


class Executions:
    def __init__(self, loop: Loop, keeper: Keeper, runtimes: Mapping[str, Runtime], tell: Tell) -> None:
        self._loop = loop
        self._keeper = keeper
        self._runtimes = runtimes
        self._tell = tell
        self._numbers = itertools.count(1)
        self._all: dict[str, _Execution] = {}

    def start(self, uuid: str, command: Command, answer: AnswerWithFds) -> None:
        spec, box = self._keeper.running(uuid)
        if len(self._all) >= COUNT_LIMIT:
            raise Fault("api.conflict", "too many commands run at once")
        runtime = self._runtimes[spec.runtime]

        def start_slowly() -> None:
            try:
                running = runtime.execute(spec, box, command)
            except (Fault, OSError) as error:
                fault = (
                    error
                    if isinstance(error, Fault)
                    else Fault("sandbox.start_failed", "the command could not be started", cause=str(error))
                )
                self._loop.post(lambda: answer(fault, []))
                return
            self._loop.post(
                lambda: self._started(
                    _Execution(uuid, box, runtime, running, os.pidfd_open(running.process.pid)), answer
                )
            )

        self._keeper.slowly(start_slowly)

    def _started(self, execution: _Execution, answer: AnswerWithFds) -> None:
        name = f"e{next(self._numbers)}"
        self._all[name] = execution
        answer({"exec": name}, execution.running.fds)
        for fd in execution.running.fds:
            os.close(fd)
        self._loop.watch(execution.pidfd, lambda: self._ended(name))

    def _ended(self, name: str) -> None:
        execution = self._all.pop(name)
        self._loop.unwatch(execution.pidfd)
        os.close(execution.pidfd)
        running = execution.running
        code = running.process.wait()
        if running.channel is not None:
            running.channel.close()
        if running.terminal is not None:
            terminal = running.terminal
            if running.terminal_stays:
                # What was written last is read before; a hang-up throws it away.
                self._loop.after(LAST_WORDS_S, lambda: _hang_up(terminal))
            else:
                os.close(terminal)
        self._tell({"event": "exec.exited", "exec": name, "code": code if code >= 0 else 128 - code}, ())

    def resize(self, name: object, rows: object, cols: object) -> None:
        terminal = self._one(name).running.terminal
        if terminal is not None:
            fcntl.ioctl(
                terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _size("rows", rows), _size("cols", cols), 0, 0)
            )
            # podman leads no session on this terminal, so the kernel tells it nothing; others do not mind.
            self._one(name).running.process.send_signal(signal.SIGWINCH)

    def signal(self, name: object, number: object) -> None:
        execution = self._one(name)
        if isinstance(number, str):
            number = getattr(signal, number if number.startswith("SIG") else f"SIG{number}", None)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < signal.NSIG:
            raise Fault("sandbox.invalid", "signal must be the name or the number of a signal")
        execution.runtime.signal(execution.box, execution.running, int(number))

    def hang_up(self) -> None:
        """The gateway is gone, and with it whoever watched: commands without a terminal are told, the others know."""
        for execution in self._all.values():
            execution.runtime.signal(execution.box, execution.running, signal.SIGHUP)

    def _one(self, name: object) -> _Execution:
        execution = self._all.get(name) if isinstance(name, str) and _ID.match(name) else None
        if execution is None:
            raise Fault("sandbox.not_running", "the command does not run")
        return execution


def _hang_up(terminal: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, _TIOCVHANGUP)
    os.close(terminal)


def read_command(request: Mapping[str, object]) -> Command:
    """The command of a request, or `sandbox.invalid`."""
    argv = request.get("argv")
    if (
        not isinstance(argv, list)
        or not argv
        or not all(isinstance(one, str) and "\0" not in one for one in argv)
        or not argv[0]
    ):
        raise Fault("sandbox.invalid", "argv must be a list of texts that names a program")
    if sum(len(one) for one in argv) > ARGUMENTS_LIMIT:
        raise Fault("sandbox.invalid", f"argv must not be longer than {ARGUMENTS_LIMIT} characters")
    cwd = request.get("cwd") or "/workspace"
    if not isinstance(cwd, str) or not cwd.startswith("/") or "\0" in cwd or len(cwd) > 4000:
        raise Fault("sandbox.invalid", "cwd must be an absolute path inside the container")
    return Command(
        argv=argv,
        env=read_env(request.get("env") or {}),
        cwd=cwd,
        tty=request.get("tty") is True,
        rows=_size("rows", request.get("rows") or 24),
        cols=_size("cols", request.get("cols") or 80),
    )


def _size(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= SIZE_LIMIT:
        raise Fault("sandbox.invalid", f"{name} must be an integer from 1 to {SIZE_LIMIT}")
    return value
