"""Answers that are no JSON document (the bytes of a file, the results of a batch), passed on at the client's pace."""

from __future__ import annotations

import asyncio

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.http1 import DoorConnection
from bawn.gateway.opening import Opened
from bawn.gateway.parts import Parts
from bawn.gateway.reply import Reply
from bawn.gateway.toolgate import Judged, ToolGate, refused
from bawn.terms.exchange import Endpoint
from bawn.terms.frames import HeldCall, TextFrame
from bawn.wire.batch_lines import read_result

UNREAD_SECONDS = 300.0
"""How long a client may take nothing."""


class Passing:
    """One answer on its way. Whatever goes wrong cuts it, so that HTTP says that it is not whole."""

    def __init__(self, opened: Opened, answer: Answer, connection: DoorConnection, reply: Reply) -> None:
        self._opened, self._answer, self._reply = opened, answer, reply
        if opened.prepared.views:
            raise Fault("stage.refused", "A stage wants to see all answers, and this one comes in no frames.")
        self._free = asyncio.Event()
        self._free.set()
        connection.watch_writing(self._free.clear, self._free.set)

    async def content(self) -> None:
        """As they come."""
        secret, parts = self._answer.secret, Parts(self._answer)
        self._open(b"application/octet-stream")
        held = b""
        overlap = max(0, len(secret) - 1)
        while data := await parts.read():
            held = without(secret, held + data)
            if (sure := len(held) - overlap) > 0:
                self._reply.write(TextFrame(held[:sure]))
                held = held[sure:]
            await self._taken()
        if held:
            self._reply.write(TextFrame(held))
        self._reply.end()

    async def results(self, asked: Endpoint, gate: ToolGate, longest: int) -> None:
        """Results of a batch: each line is judged as the answer to a call is."""
        parts = Parts(self._answer)
        self._open(b"application/x-jsonl")
        async for line in parts.lines(longest):
            data = without(self._answer.secret, line) + b"\n"
            if calls := read_result(data, asked).calls:
                verdict = await gate.judge(self._opened, HeldCall(calls, data))
                if isinstance(verdict, Judged):
                    raise refused(verdict)
                self._reply.write(verdict)
            else:
                self._reply.write(TextFrame(data))
            await self._taken()
        self._reply.end()

    def _open(self, kind: bytes) -> None:
        kept = [pair for pair in self._answer.headers if pair[0] != b"content-type"]
        self._reply.open_stream(200, [*kept, (b"content-type", kind)])

    async def _taken(self) -> None:
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._free.wait()
        except TimeoutError:
            raise Fault("http.too_slow", "The answer was not read for too long.") from None


def without(secret: bytes, body: bytes) -> bytes:
    """What a provider said, without the key that it was called with."""
    return body.replace(secret, b"[redacted]") if secret and secret in body else body
