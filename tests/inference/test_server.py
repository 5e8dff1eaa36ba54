"""The process: its sockets, its record, its manners with strange requests."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


def raw(body: object, *, path: str = "/v1/chat/completions", method: str = "POST", headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(data)}\r\n\r\n".encode() + data


async def talk(address: str, *requests: bytes, count: int = 1) -> list[tuple[int, bytes]]:
    """Sends everything in one write and reads `count` answers that have a content-length."""
    if address.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"".join(requests))
    answers = []
    for _ in range(count):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answers.append((int(head.split()[1]), await reader.readexactly(length)))
    writer.close()
    await writer.wait_closed()
    return answers


async def test_pipelined_requests_are_answered_in_their_order(provider: Any) -> None:
    texts = ["one", "two", "three"]
    asked = [raw({"model": "echo", "messages": [{"role": "user", "content": text}]}) for text in texts]
    answers = await talk(provider.address, *asked, count=3)
    assert [json.loads(body)["choices"][0]["message"]["content"] for _, body in answers] == texts


async def test_the_record_holds_headers_and_the_very_bytes(start: Callable[..., Any]) -> None:
    provider = start()
    body = b'{"model":"echo", "messages":[{"role":"user","content":"\xff"}]}'
    [(status, _)] = await talk(provider.address, raw(body, headers="X-Api-Key: sk-planted\r\n"))
    assert status == 400
    entry = provider.entries()[0]
    assert ["x-api-key", "sk-planted"] in entry["headers"]
    assert entry["body"].encode("utf-8", "surrogateescape") == body
    assert provider.record.stat().st_mode & 0o777 == 0o600


async def test_the_record_tells_when_the_client_left_before_the_end(start: Callable[..., Any]) -> None:
    provider = start()
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw({"model": "bench-stream", "stream": True, "messages": [{"role": "user", "content": "go"}]}))
    await reader.readuntil(b"t2 ")
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.2)
    assert provider.entries()[-1]["how"] == "client gone"


async def test_it_answers_on_a_unix_socket(start: Callable[..., Any], tmp_path: Path) -> None:
    provider = start("", "--unix", str(tmp_path / "model.sock"))
    [(status, body)] = await talk(provider.address, raw(HELLO))
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "hello")


async def test_it_answers_on_a_socket_that_it_inherits(start: Callable[..., Any], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "given.sock"))
        listener.listen()
        provider = start("", "--socket-fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
        [(status, _)] = await talk(provider.address, raw(HELLO))
    assert status == 200


def test_it_refuses_to_listen_anywhere_but_on_loopback() -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "bawn.inference", "--tcp", "0.0.0.0:0"], capture_output=True, text=True, check=False
    )
    assert tried.returncode == 2
    assert "loopback" in tried.stderr


def test_a_script_that_does_not_fit_stops_it_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("scenes:\n  - when: {modell: echo}\n    reply: {}\n")
    tried = subprocess.run(
        [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--script", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 2
    assert "bad.yaml: scenes.0.when.modell" in tried.stderr


async def test_a_key_is_asked_for_only_when_the_script_names_one(start: Callable[..., Any]) -> None:
    address = start("keys: [sk-right]").address
    statuses = []
    for headers in (
        "",
        "authorization: Bearer sk-wrong\r\n",
        "authorization: Bearer sk-right\r\n",
        "x-api-key: sk-right\r\n",
    ):
        [(status, _)] = await talk(address, raw(HELLO, headers=headers))
        statuses.append(status)
    assert statuses == [401, 401, 200, 200]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (raw(b"{"), 400),
        (raw([]), 400),
        (raw(b"[" * 100_000), 400),
        (raw({"messages": []}), 400),
        (raw({"model": "echo", "messages": 7}), 400),
        (raw({"model": "echo", "messages": [7]}), 400),
        (raw({"model": "echo", "messages": "x"}, path="/v1/messages"), 400),
        (raw({"model": "m", "input": {}}, path="/v1/embeddings"), 400),
        (raw(HELLO, path="/v1/elsewhere"), 404),
        (raw(b"", method="GET", path="/v1/models/none"), 404),
        (raw(b"", method="DELETE", path="/v1/models"), 405),
        (raw(HELLO, path="/api/v1/chat/completions"), 200),
    ],
)
async def test_a_strange_request_gets_an_error_and_the_connection_lives(
    provider: Any, request_bytes: bytes, status: int
) -> None:
    answers = await talk(provider.address, request_bytes, raw(HELLO), count=2)
    assert [given for given, _ in answers] == [status, 200]


async def test_bytes_that_are_no_http_close_the_connection(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


async def test_head_of_the_root_is_answered_without_a_body(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\nHEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    for _ in range(2):
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


async def test_a_paced_stream_keeps_its_pace_and_loses_nothing(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    writer.write(raw({"model": "bench-stream-short", "stream": True, "messages": [{"role": "user", "content": "go"}]}))
    got = await asyncio.wait_for(reader.readuntil(b"[DONE]"), 10)
    took = time.monotonic() - began
    writer.close()
    await writer.wait_closed()
    assert all(f'"t{index} "'.encode() in got for index in range(100))
    assert 1.9 < took < 3


async def test_a_client_that_asks_for_the_end_of_the_connection_gets_it(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw(HELLO, headers="connection: close\r\n"))
    assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"}")
    writer.close()
    await writer.wait_closed()


async def test_many_requests_in_small_pieces_are_answered_in_their_order(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for index in range(30):
        request = raw({"model": "echo", "messages": [{"role": "user", "content": f"n{index}"}]})
        for piece in (request[:50], request[50:]):
            writer.write(piece)
            await asyncio.sleep(0)
    for index in range(30):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"] == f"n{index}"
    writer.close()
    await writer.wait_closed()
