"""Many streams at once, each token counted: `python -m bench.streams --url … --streams 512`, one line of JSON.

A program of its own, so that it can be run inside a container's network namespace. Bytes are kept and only
counted when all streams have ended, lest the client be the slow part of what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

_TOKEN = re.compile(rb'"t(\d+) "')
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Held:
    """What came of all streams; times in milliseconds."""

    streams: int
    held: int
    """Streams that came whole: every token once, in order, and the end."""
    frames: int
    lost: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    late_p99_ms: float
    """By how much the last tenth of a stream's life was late, against a source that never waits."""


class _Stream(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.BaseTransport | None = None
        self._tail = b""
        self.pieces: list[bytes] = []
        self.sent = self.first = self.last = 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.sent = time.perf_counter()
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.last = time.perf_counter()
        self.pieces.append(data)
        if not self.first and b'"t0 "' in data:
            self.first = self.last
        joined = self._tail + data
        if _DONE in joined[-64:]:
            self._end()
        self._tail = joined[-16:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def run(url: str, streams: int, tokens: int, model: str, spacing_s: float) -> Held:
    parts = urlsplit(url)
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "go"}]}).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer container-bench\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    opened: list[_Stream] = []
    for _ in range(streams):
        _, stream = await loop.create_connection(
            lambda: _Stream(head.encode() + body), parts.hostname or "127.0.0.1", parts.port or 80
        )
        opened.append(stream)
        # Clients do not all begin in the same millisecond; half a second for all of them is burst enough.
        await asyncio.sleep(0.5 / streams)
    await asyncio.wait([stream.ended for stream in opened], timeout=tokens * spacing_s * 3 + 30)
    return _counted(opened, tokens, spacing_s)


def _counted(opened: list[_Stream], tokens: int, spacing_s: float) -> Held:
    expected = list(range(tokens))
    held = frames = 0
    for stream in opened:
        whole = b"".join(stream.pieces)
        seen = [int(number) for number in _TOKEN.findall(whole)]
        frames += len(seen)
        held += seen == expected and _DONE in whole
    firsts = sorted((stream.first - stream.sent) * 1000 for stream in opened if stream.first)
    lates = sorted(((s.last - s.first) - (tokens - 1) * spacing_s) * 1000 for s in opened if s.first)
    return Held(
        streams=len(opened),
        held=held,
        frames=frames,
        lost=len(opened) * tokens - frames,
        ttft_p50_ms=_at(firsts, 0.5),
        ttft_p99_ms=_at(firsts, 0.99),
        late_p99_ms=_at(lates, 0.99),
    )


def _at(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3) if ordered else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--model", default="scripted/bench-stream")
    parser.add_argument("--spacing", type=float, default=0.02)
    options = parser.parse_args()
    held = uvloop.run(run(options.url, options.streams, options.tokens, options.model, options.spacing))
    print(json.dumps({name: getattr(held, name) for name in Held.__slots__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
