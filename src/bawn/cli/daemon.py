"""`bawn up`, `bawn down`, `bawn status`: the processes of this installation.

`up` starts the supervisor by argv and waits until the management API answers. `down` finds it by the lock that
it holds as long as it lives, so a left-over file can never make us signal a stranger.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.cli.places import config_file, home
from bawn.errors import Fault
from bawn.sdk.shapes import Status

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.05

FIRST_CONFIG = """\
# The configuration of Bawn. `bawn config schema` shows everything that may stand here,
# `bawn config check` says whether it fits, `bawn config reload` applies it without a restart.
# The profile `starter` is a shipped configuration to begin from; without it nothing is allowed.
profile: starter
"""


def up(
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it answers, and let it run.")] = False,
    script: Annotated[
        Path | None, typer.Option(help="What the scripted model plays.", exists=True, dir_okay=False)
    ] = None,
    allow_vulnerable_runc: Annotated[
        bool, typer.Option("--allow-vulnerable-runc", help="Use a runc from which ways out of containers are known.")
    ] = False,
) -> None:
    """Start Bawn: the supervisor, the gateway and the audit writer.

    Example: sudo bawn up --detach
    """
    if pid := running():
        raise Fault("api.conflict", f"Bawn runs already, as process {pid}.", remedy="Stop it with `bawn down` first.")
    argv = [sys.executable, "-m", "bawn.supervisor", "--home", str(home()), "--config", str(first_config())]
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        argv += ["--admin-uid", os.environ["SUDO_UID"]]
    if script:
        argv += ["--script", str(script.absolute())]
    argv += ["--allow-vulnerable-runc"] if allow_vulnerable_runc else []
    if detach:
        log = home() / "bawn.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
            )
        finally:
            os.close(descriptor)
        greet(process, f"its log is {log}")
        return
    # Its one line on stdout is for programs; what people may want to know comes on stderr.
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with passed_to(process):
        greet(process, "see above")
        raise typer.Exit(abs(process.wait()))


def down() -> None:
    """Stop Bawn and its containers; they stay and can be started again.

    Example: bawn down
    """
    pid = running()
    if pid is None:
        raise Fault("daemon.unreachable", f"Bawn does not run in {home()}.")
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_TIMEOUT_S
    while running() == pid:
        if time.monotonic() > until:
            raise Fault("internal", f"Process {pid} did not end within {STOP_TIMEOUT_S:.0f} seconds.")
        time.sleep(LOOK_EVERY_S)


def status(form: Output = Format.TABLE) -> None:
    """Show what runs, where it listens, and what is degraded.

    Example: bawn status -o json
    """
    with sdk.Client() as client:
        now = client.status()
    if form is Format.JSON:
        output.show_one(now, form)
        return
    shown = output.plain(now)
    shown["processes"] = ", ".join(f"{process.name} {process.pid}" for process in now.processes)
    for name in ("degraded", "unsafe"):
        shown[name] = "; ".join(shown[name]) or "nothing"
    output.show_one(shown, form)


def running() -> int | None:
    """The process that holds the lock of this installation, if one does."""
    try:
        descriptor = os.open(home() / "supervisor.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Fault("api.forbidden", f"{home()} belongs to another user.", remedy="Use sudo.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def first_config() -> Path:
    """The configuration file; one that names the starter profile is written when there is none."""
    path = config_file()
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(FIRST_CONFIG)
    except FileExistsError:
        return path
    except OSError as error:
        raise Fault("config.unreadable", f"{path} cannot be written.", cause=str(error)) from None
    output.note(f"Wrote {path} with the profile `starter`.")
    return path


def greet(process: subprocess.Popen[bytes], where: str) -> None:
    """Waits until the management API answers, and says where."""
    with sdk.Client(str(home() / "run" / "bawn.sock")) as client:
        now = answered(client, process, where)
    output.say(f"Bawn {now.version} listens on " + ", ".join(now.listening))
    for sentence in now.degraded:
        output.note(f"degraded: {sentence}")
    for sentence in now.unsafe:
        output.note(f"unsafe: {sentence}")


def answered(client: sdk.Client, process: subprocess.Popen[bytes], where: str) -> Status:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        if process.poll() is not None:
            raise Fault("daemon.unreachable", f"Bawn ended with {process.returncode}.", remedy=f"Why: {where}.")
        try:
            return client.status()
        except Fault as fault:
            if fault.code != "daemon.unreachable":
                raise
        if time.monotonic() > until:
            process.terminate()
            raise Fault("daemon.unreachable", "Bawn does not answer.", remedy=f"Why: {where}.")
        time.sleep(LOOK_EVERY_S)


@contextmanager
def passed_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C reaches the whole group by itself; a SIGTERM is passed on. Both mean: wait for its orderly end."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            process.terminate()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
