"""`python -m bawn.app`: the gateway process, and the verbs that need no running one.

--home DIR --config FILE --control-fd N --audit-fd N --master-fd N     what the supervisor starts
config schema | config check FILE                                      what `bawn config` starts
config host-user NAME                                                  what the supervisor asks, once; the file on stdin
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from bawn.api.serve import ManagementServer, bind_loopback, bind_unix
from bawn.app.logs import log_to_stderr
from bawn.app.network_guard import keep_in
from bawn.app.rule_files import Part, beside, merged
from bawn.app.services import read_file
from bawn.app.settings import Configuration, configured
from bawn.app.wiring import Handed, Yard
from bawn.config.schema import schema
from bawn.errors import Fault
from bawn.notify.notices import host_url
from bawn.vault.harden import harden

_SWITCH_S = 0.0001
_GC_THRESHOLDS = (20_000, 50, 100)
"""Few objects of a call form cycles; the interpreter's own 700 would look for them ten times a hundred calls."""

_log = structlog.get_logger("bawn.app")


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["config"]:
            return _config(words[1:])
        return _gateway(words)
    except Fault as fault:
        cause = f" ({fault.cause})" if fault.cause else ""
        sys.stderr.write(f"bawn: {fault.sentence}{cause} {fault.remedy}\n")
        return 1


def _config(words: list[str]) -> int:
    match words:
        case ["schema"]:
            sys.stdout.write(json.dumps(schema(Configuration), indent=2) + "\n")
            return 0
        case ["check", path]:
            if not Path(path).exists():
                raise Fault("config.unreadable", f"There is no file {path}.")
            found = configured(read_file(Path(path)), Path(path).name)
            merged([Part(Path(path).name, found.mitm), *beside(Path(path).parent, found.rules.host_user)])
            sys.stdout.write(f"{path} fits.\n")
            return 0
        case ["host-user", name]:
            try:
                text = sys.stdin.buffer.read().decode("utf-8")
            except UnicodeDecodeError as error:
                raise Fault("config.unreadable", f"The file {name} cannot be read.", cause=str(error)) from error
            sys.stdout.write(configured(text, name).rules.host_user + "\n")
            return 0
        case _:
            sys.stderr.write("usage: python -m bawn.app config (schema | check FILE | host-user NAME)\n")
            return 2


def _gateway(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bawn.app")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    for name in ("--control-fd", "--audit-fd", "--master-fd"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--open-socket", action="store_true", help="every user of the machine may knock at the API")
    parser.add_argument("--admin-uid", type=int, action="append", default=[], help="an admin at the very first start")
    asked = parser.parse_args(words)
    # Before anything secret is read: no core dump, no ptrace, no /proc/self/mem for others.
    harden()
    handed = Handed(
        home=asked.home,
        config=asked.config,
        control=socket.socket(fileno=asked.control_fd),
        audit=socket.socket(fileno=asked.audit_fd),
        master_fd=asked.master_fd,
        open_socket=asked.open_socket,
        first_admins=tuple(asked.admin_uid) or (os.getuid(),),
    )
    for inherited in (handed.control, handed.audit):
        inherited.setblocking(False)
        inherited.set_inheritable(False)
    configuration = configured(read_file(handed.config), handed.config.name)
    _upgrade_store(handed.home / "state" / "bawn.db")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(handed, configuration))


def _upgrade_store(path: Path) -> None:
    """In a process of its own, whose memory goes with it."""
    argv = [sys.executable, "-P", "-s", "-m", "bawn.store", str(path)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault("store.unavailable", "The store could not be made ready.", cause=done.stderr.strip()[-400:])


async def _serve(handed: Handed, configuration: Configuration) -> int:
    yard = Yard(handed, configuration)
    log_to_stderr(yard.redactor.text)
    await yard.load()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, yard.ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    yard.boxes.open()
    yard.status.greeting = await yard.lifecycle.adopt()
    server, yard.status.listening = _management(yard)
    yard.notices.host_url = host_url(yard.status.listening)
    tasks = [
        asyncio.create_task(yard.expiry.run(), name="expiry"),
        asyncio.create_task(yard.desk.run(), name="approvals"),
        asyncio.create_task(yard.rules.run(), name="rules"),
        asyncio.create_task(yard.rule_watch.run(), name="files of rules"),
    ]
    yard.books.start()
    yard.passages.start()
    await yard.scripts.open()
    yard.tasks.start()
    await server.start()
    # What was loaded stays: the collector need not look through it again, which would stall streams now and then.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    # The store's thread must not keep the interpreter for the usual 5 ms while a call waits for it.
    sys.setswitchinterval(_SWITCH_S)

    def refused(what: str) -> None:
        loop.call_soon_threadsafe(yard.kept_in, what)

    keep_in(refused)
    _log.info("gateway.ready", listening=list(yard.status.listening))
    ended = asyncio.create_task(yard.ended.wait())
    # A background task never ends by itself; if one does, the process must not go on without it.
    done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, *tasks):
        task.cancel()
    await server.stop()
    await yard.shut()
    failed = [task for task in done if task is not ended]
    for task in failed:
        with contextlib.suppress(asyncio.CancelledError):
            _log.error("gateway.task_ended", task=task.get_name(), error=repr(task.exception()))
    return 1 if failed else 0


def _management(yard: Yard) -> tuple[ManagementServer, tuple[str, ...]]:
    api = yard.configuration.api
    path = yard.handed.home / "run" / "bawn.sock"
    unix = bind_unix(path, everyone=yard.handed.open_socket)
    listening = [f"unix:{path}"]
    loopback = None
    if api.port is not None:
        loopback = bind_loopback(api.host, api.port)
        listening.append("http://{}:{}".format(*loopback.getsockname()[:2]))
    return ManagementServer(yard.services, unix, loopback), tuple(listening)
