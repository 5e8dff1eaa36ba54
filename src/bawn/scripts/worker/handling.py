"""One request and the script that answers it: time, exactly one answer, and what went wrong when there is none.

Plain answers are held until `handle` returns, so that a second one can still be an error of the request. What is streamed
has gone out: a stream that goes wrong is cut, never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
import traceback
from typing import Protocol

from bawn.scripts.api import Answered, AnsweredTwice, Request, Response
from bawn.scripts.worker.client import HOP_BY_HOP, Reply
from bawn.scripts.worker.context import Ctx
from bawn.scripts.worker.loading import Script, Scripts

GRACE_S = 1.0
"""How long a script that is cancelled may take to end."""
_OURS = HOP_BY_HOP | {"content-length", "date", "server"}

Headers = dict[str, str]


class Wire(Protocol):
    """The connection that the answer goes out by."""

    def head(self, status: int, headers: Headers, length: int | None) -> None:
        """None: the length is not known, and the body is chunked."""

    def data(self, data: bytes) -> None: ...

    async def room(self) -> None:
        """Waits while the other end does not read."""

    def end(self) -> None: ...

    def cut(self) -> None:
        """Ends the connection in the middle of an answer."""


class ScriptFault(Exception):
    """The script gave no answer; the cause is the operator's to read."""

    def __init__(self, code: str, sentence: str, cause: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.cause = cause


class Out:
    """The one answer; see `bawn.scripts.api.Outlet`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._held: tuple[int, Headers, bytes] | None = None
        self._left: int | None = None
        self._counted = False
        self.status = 0
        self.begun = False
        self.twice = ""

    @property
    def answered(self) -> bool:
        return self._held is not None or self.begun

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self._once()
        self._held = (status, headers, body)

    def begin(self, status: int, headers: Headers) -> None:
        self._once()
        length = headers.get("content-length", "")
        self._counted = length.isascii() and length.isdigit()
        self._left = int(length) if self._counted else None
        self.begun, self.status = True, status
        self._wire.head(status, _passed(headers), self._left)

    async def piece(self, data: bytes) -> None:
        if not self.begun:
            raise AnsweredTwice("there is an answer already")
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise ValueError("the body is longer than its content-length says")
        if data:
            self._wire.data(data)
            await self._wire.room()

    def _once(self) -> None:
        if self.answered:
            self.twice = _caller()
            raise AnsweredTwice("the script has answered already")

    def finish(self) -> None:
        """Sends what was held, or ends the stream."""
        if self._held is not None:
            status, headers, body = self._held
            self.status = status
            self._wire.head(status, _passed(headers), len(body))
            self._wire.data(body)
            self._wire.end()
        elif self._left:
            self._wire.cut()
        else:
            self._wire.end()


def _passed(headers: Headers) -> Headers:
    """Without what belongs to the connection, and without what only the worker and the gateway may say."""
    return {name: value for name, value in headers.items() if name not in _OURS and not name.startswith("x-bawn-")}


def _caller() -> str:
    """Where the script is that called us, through `api.py`."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to it that costs nothing
    while frame.f_back is not None and "/bawn/scripts/" in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


async def handled(scripts: Scripts, script: Script, req: Request, ctx: Ctx, wire: Wire) -> None:
    """Runs the script and answers. Raises ScriptFault while nothing has gone out; CancelledError when the client left."""
    out = Out(wire)
    begun = time.monotonic()
    task = asyncio.ensure_future(_ran(script, req, Response(out, req), ctx))
    try:
        try:
            done, _ = await asyncio.wait({task}, timeout=script.header.timeout_s)
            if not done:
                await _ended(task)
                raise ScriptFault(
                    "script.timeout",
                    "the script took too long",
                    f"{script.name}: no answer within {script.header.timeout_s:g} s",
                )
            _judge(scripts, script, task, out)
        except ScriptFault as fault:
            ctx.say("error", f"{fault.code}: {fault.cause}")
            if not out.begun:
                raise
            wire.cut()
            return
        except asyncio.CancelledError:
            await _ended(task)
            raise
    finally:
        ctx.leave()
    out.finish()
    ctx.say("info", f"{req.method} {req.path} {out.status} {(time.monotonic() - begun) * 1000:.0f} ms")


def _judge(scripts: Scripts, script: Script, task: asyncio.Future[BaseException | None], out: Out) -> None:
    error = None if task.cancelled() else task.result()
    if out.twice and not out.begun:
        where = scripts.shown(out.twice)
        raise ScriptFault("script.answered_twice", "the script answered twice", f"{where}: there was an answer already")
    if task.cancelled():
        raise ScriptFault(
            "script.crashed", "the script ended itself", f"{script.name}: the script cancelled its own task"
        )
    if isinstance(error, AnsweredTwice):
        raise ScriptFault("script.answered_twice", "the script answered twice", scripts.cause(error))
    if error is not None:
        traceback.print_exception(error)
        raise ScriptFault("script.crashed", "the script failed", scripts.cause(error))
    if out.twice:
        sys.stderr.write(f"script.answered_twice: {scripts.shown(out.twice)}: the first answer had gone out\n")
    if not out.answered:
        raise ScriptFault("script.no_answer", "the script gave no answer", f"{script.name}: handle returned None")


async def _ran(script: Script, req: Request, res: Response, ctx: Ctx) -> BaseException | None:
    """What the script raised, if it did. `sys.exit()` in a script is its crash, not the worker's end."""
    try:
        said = await script.handle(req, res, ctx)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, Reply):
            await res.send(said)
        elif isinstance(said, dict | list):
            res.json(said)
        elif said is not None and not isinstance(said, Answered | Response):
            raise TypeError(f"handle returned {type(said).__name__}; it may return a dict, a list or an answer")
        await res.finish()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a script
        return error
    return None


async def _ended(task: asyncio.Future[BaseException | None]) -> None:
    """Cancels it and waits, not for long: one that does not end is left behind, without a way to answer."""
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE_S)
    if not task.done():
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
