"""A command in a container on this terminal, as if it ran here.

With a terminal on both ends the local one is made raw, so that every key goes to the command, and told sizes
follow the window. Else stdin, stdout and stderr are pipes, and interrupts are passed on as signals. The exit
code is the command's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bawn import sdk
from bawn.sdk.frames import Channel

if TYPE_CHECKING:
    from bawn.sdk.session import AsyncSession

CHUNK_BYTES = 16 * 1024
UNKNOWN = (24, 80)
PASSED_ON = ("TERM", "COLORTERM")
"""What a command must know of this terminal. Nothing else of the environment goes in."""


def run_here(
    ref: str, argv: Sequence[str], timeout_s: float | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Runs the command, with variables of its own, and returns its exit code."""
    return asyncio.run(_run(ref, argv, timeout_s, env or {}))


async def _run(ref: str, argv: Sequence[str], timeout_s: float | None, said: Mapping[str, str]) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    rows, cols = window() if on_terminal else UNKNOWN
    terminal = {name: os.environ[name] for name in PASSED_ON if name in os.environ} if on_terminal else {}
    env = {**terminal, **said}
    async with sdk.AsyncClient() as client:
        session = await client.containers.exec(
            ref, argv, tty=on_terminal, rows=rows, cols=cols, env=env, timeout_s=timeout_s
        )
        async with session:
            with raw(session) if on_terminal else interrupts(session):
                return await _through(session)


async def _through(session: AsyncSession) -> int:
    keys: asyncio.Queue[bytes] = asyncio.Queue(8)
    threading.Thread(target=_read_stdin, args=(keys, asyncio.get_running_loop()), daemon=True).start()
    feeding = asyncio.create_task(_feed(session, keys))
    try:
        async for output in session:
            _write_all(2 if output.channel is Channel.STDERR else 1, output.data)
    finally:
        feeding.cancel()
    return session.code if session.code is not None else 1


async def _feed(session: AsyncSession, keys: asyncio.Queue[bytes]) -> None:
    while data := await keys.get():
        await session.write(data)
    await session.close_stdin()


def _read_stdin(keys: asyncio.Queue[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """In a thread of its own, since a file, a pipe and a terminal are waited for in different ways."""
    data = b"begin"
    while data:
        try:
            data = os.read(0, CHUNK_BYTES)
        except OSError:
            data = b""
        try:
            asyncio.run_coroutine_threadsafe(keys.put(data), loop).result()
        except (RuntimeError, futures.CancelledError):
            # The session is over, and nobody reads what is typed.
            return


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


async def _follow(session: AsyncSession) -> None:
    await session.resize(*window())


def window() -> tuple[int, int]:
    """Rows and columns; a terminal that does not know them says zero."""
    size = os.get_terminal_size()
    return (size.lines, size.columns) if size.lines and size.columns else UNKNOWN


@contextmanager
def raw(session: AsyncSession) -> Iterator[None]:
    """Every key and every size to the command; the terminal as it was afterwards, whatever happens."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        with passed_on({signal.SIGWINCH: lambda: _follow(session)}):
            yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def interrupts(session: AsyncSession) -> Iterator[None]:
    """Without a terminal, what would end us is for the command to decide."""
    with passed_on({signal.SIGINT: lambda: session.signal("INT"), signal.SIGTERM: lambda: session.signal("TERM")}):
        yield


@contextmanager
def passed_on(acts: Mapping[signal.Signals, Callable[[], Coroutine[Any, Any, None]]]) -> Iterator[None]:
    """Each signal starts its act, one after another."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    def start(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = loop.create_task(act())
        running.add(task)
        task.add_done_callback(running.discard)

    for number, act in acts.items():
        loop.add_signal_handler(number, start, act)
    try:
        yield
    finally:
        for number in acts:
            loop.remove_signal_handler(number)
        for task in tuple(running):
            task.cancel()
