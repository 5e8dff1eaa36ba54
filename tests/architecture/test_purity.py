"""Importing a module of Bawn does nothing: whoever reads, tests or describes it has not started anything."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.architecture.source import PACKAGE, modules

ENTRIES = sorted(module.name for module in modules() if not module.name.endswith(".__main__"))
"""`__main__` files are programs; what they run is elsewhere. Migrations are run by Alembic, never imported by name."""

WATCH = """
import importlib, sys, threading

DEEDS = ("socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec",
         "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate",
         "os.kill", "os.putenv", "os.unsetenv", "sqlite3.connect", "signal.pthread_kill")
told = []

def watch(event, arguments):
    if event in DEEDS:
        told.append(f"{event} {arguments}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & 0o3:
        told.append(f"open for writing {arguments[0]}")

before = set(threading.enumerate())
signals = {number: __import__("signal").getsignal(number) for number in (1, 2, 10, 12, 15)}
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
    for deed in told:
        print(name, deed)
    told.clear()
for thread in set(threading.enumerate()) - before:
    print("thread", thread.name)
for number, handler in signals.items():
    if __import__("signal").getsignal(number) is not handler:
        print("signal", number)
"""


def deeds(names: list[str], path: list[Path]) -> list[str]:
    """What importing these modules did, one after another in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, *names],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_every_module_of_bawn_does_nothing() -> None:
    assert len(ENTRIES) > 100
    importable = [name for name in ENTRIES if ".migrations" not in name]
    assert deeds(importable, [PACKAGE.parent]) == []


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("open({file!r}, 'w')", "open for writing"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(1,), name='stray').start()",
            "thread stray",
        ),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
        ("import os; os.mkdir({file!r})", "os.mkdir"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal 15"),
    ],
)
def test_a_module_that_does_something_when_imported_is_told(deed: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(textwrap.dedent(deed.format(file=str(tmp_path / "made"))), encoding="utf-8")
    assert any(told in line for line in deeds(["busy"], [tmp_path]))
