"""The processes that the supervisor starts: each once by its name, watched, and ended in order.

Nothing of the operator's environment reaches them, and each has a session of its own, so that the terminal's ^C comes to
the supervisor alone. What is done when one ends unasked is its starter's to say.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace

from bawn.sandbox.python import environment
from bawn.supervisor.launch import Launch
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.users import User

PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
"""Who lived this long is not crashing in a row."""
GRACE_S = 10.0


class Children:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._live: dict[str, subprocess.Popen[bytes]] = {}
        self._pidfds: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._crashes: dict[str, int] = {}
        self._stopping = False

    @property
    def stopping(self) -> bool:
        return self._stopping

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._live.items()}

    def spawn(
        self, name: str, arguments: list[str], fds: list[int], user: User | None, launch: Launch, on_crash: Act
    ) -> None:
        """Starts `name`; `on_crash` is called when it has ended though nobody asked it to."""
        if user is not None:
            launch = replace(launch, uid=user.uid, gid=user.gid)
        process = subprocess.Popen(
            launch.argv(arguments),
            env=environment(),
            cwd="/",
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=2,
            start_new_session=True,
        )
        self._live[name] = process
        self._since[name] = time.monotonic()
        self._pidfds[name] = os.pidfd_open(process.pid)
        self._loop.watch(self._pidfds[name], lambda: self._ended(name, on_crash))

    def kill(self, name: str) -> None:
        """At once, as if it had crashed."""
        process = self._live.get(name)
        if process is not None:
            process.kill()

    def end(self, name: str, number: signal.Signals | None = signal.SIGTERM) -> None:
        """Ends it and waits; one that does not end in time is killed."""
        process = self._live.pop(name, None)
        if process is None:
            return
        pidfd = self._pidfds.pop(name)
        self._loop.unwatch(pidfd)
        os.close(pidfd)
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
        process.kill()
        process.wait()

    def later(self, name: str, restart: Act) -> None:
        """Calls `restart` after a pause that grows with every crash in a row of `name`."""
        crashes = 0 if time.monotonic() - self._since[name] > STEADY_S else self._crashes.get(name, 0)
        self._crashes[name] = crashes + 1
        self._loop.after(PAUSES_S[min(crashes, len(PAUSES_S) - 1)], restart)

    def stop(self) -> None:
        """From now on nothing is started again."""
        self._stopping = True

    def _ended(self, name: str, on_crash: Act) -> None:
        self.end(name, None)
        on_crash()
