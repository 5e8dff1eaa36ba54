"""The notifier as a process: what apprise sends arrives at a real server, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bawn.app.posting import Posting
from bawn.gateway.pool import Pool
from bawn.notify.sinks import AppriseSink, Undelivered
from bawn.sandbox.python import environment, interpreter

NOTICE = {"title": "Hello", "message": "A few words", "priority": "high",
          "actions": [{"label": "Look", "method": "GET", "url": "https://x.example/"}]}  # fmt: skip


class Service:
    """A server that answers as it is told."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.came: list[dict[str, Any]] = []
        self.asked = 0
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        self.came.append(json.loads(await reader.readexactly(length)))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.talk, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()
    await server.wait_closed()


@pytest.fixture(scope="module")
def notifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("run") / "notifier.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        process = subprocess.Popen(
            [*interpreter(), "-m", "bawn.notify", "--socket-fd", str(listener.fileno())],
            pass_fds=[listener.fileno()], env=environment(), cwd="/", stderr=subprocess.PIPE,
        )  # fmt: skip
        yield path
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        process.wait(10)
        process.stderr.close()
    assert said == "", "an address may be in it"


@pytest.fixture
def sink(notifier: Path) -> Callable[[str], AppriseSink]:
    post = Posting(Pool(time.monotonic, 5)).by_socket(notifier)
    return lambda url: AppriseSink(lambda: url, post, 20)


async def test_a_notice_reaches_a_service_in_words(sink: Callable[[str], AppriseSink], service: Service) -> None:
    await sink(f"json://127.0.0.1:{service.port}/").deliver(NOTICE)
    [came] = service.came
    assert came["title"] == "Hello"
    assert came["message"] == "A few words\nLook: https://x.example/"
    assert came["type"] == "warning"


async def test_a_service_that_fails_is_tried_again_later(sink: Callable[[str], AppriseSink], service: Service) -> None:
    service.answer = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with pytest.raises(Undelivered) as caught:
        await sink(f"json://127.0.0.1:{service.port}/").deliver(NOTICE)
    assert caught.value.again
    assert "127.0.0.1" not in str(caught.value)


async def test_a_redirect_is_not_followed(sink: Callable[[str], AppriseSink], service: Service) -> None:
    moved = f"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:{service.port}/other\r\ncontent-length: 0\r\n\r\n"
    service.answer = moved.encode()
    with pytest.raises(Undelivered):
        await sink(f"json://127.0.0.1:{service.port}/").deliver(NOTICE)
    assert service.asked == 1


@pytest.mark.parametrize("url", ["nothing://x", "syslog://", "dbus://", "SysLog://", "json://", "x", "://"])
async def test_what_is_no_service_out_there_is_refused_for_good(sink: Callable[[str], AppriseSink], url: str) -> None:
    with pytest.raises(Undelivered) as caught:
        await sink(url).deliver(NOTICE)
    assert not caught.value.again


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"url": 1}'])
async def test_what_it_cannot_read_is_refused(notifier: Path, body: bytes) -> None:
    assert await Posting(Pool(time.monotonic, 5)).by_socket(notifier)("", body, 5) == 422


async def test_without_a_notifier_the_notice_waits(tmp_path: Path) -> None:
    gone = AppriseSink(lambda: "json://x", Posting(Pool(time.monotonic, 5)).by_socket(tmp_path / "none"), 5)
    with pytest.raises(Undelivered) as caught:
        await gone.deliver(NOTICE)
    assert caught.value.again


def test_nothing_large_is_loaded_before_the_first_notice() -> None:
    code = "import sys, bawn.notify.__main__; print('apprise' in sys.modules or 'requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
