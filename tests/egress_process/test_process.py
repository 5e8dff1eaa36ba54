"""The proxy as the process that the supervisor starts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.egress_process.conftest import ONE

import bawn
from bawn.egress.dial import SystemDialler, SystemResolver
from bawn.egress.own_addresses import OwnAddresses
from bawn.errors import Fault


class Started:
    def __init__(self) -> None:
        self.supervisor, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.gateway, pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.supervisor, self.gateway):
            end.settimeout(5)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bawn.egress", "--line-fd", str(far.fileno())],
            pass_fds=[far.fileno()],
            env=os.environ | {"PYTHONPATH": str(Path(str(bawn.__file__)).parent.parent)},
            stderr=subprocess.PIPE,
        )
        far.close()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        self.port = listener.getsockname()[1]
        self.tell({"event": "gateway"}, pair)
        self.tell({"event": "door", "uuid": ONE, "kind": "egress", "address": "127.0.0.3", "port": 3128}, listener)
        pair.close()
        listener.close()

    def tell(self, body: dict[str, Any], descriptor: socket.socket) -> None:
        socket.send_fds(self.supervisor, [json.dumps(body).encode()], [descriptor.fileno()])

    def heard(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.gateway.recv(1 << 18))
        return said

    def end(self) -> None:
        self.process.kill()
        self.process.wait(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.supervisor.close()
        self.gateway.close()


@pytest.fixture
def started() -> Iterator[Started]:
    process = Started()
    yield process
    process.end()


def test_it_takes_doors_tells_its_authority_and_refuses_what_it_was_not_told_to_allow(started: Started) -> None:
    told = started.heard()
    assert told["event"] == "authority"
    assert told["pem"].startswith("-----BEGIN CERTIFICATE-----")
    with socket.create_connection(("127.0.0.1", started.port), timeout=5) as caller:
        caller.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n")
        answer = b""
        while piece := caller.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 503 ")
    asked = started.heard()
    assert asked["do"] == "record"
    assert (asked["event"]["event"], asked["event"]["container"]) == ("egress.refused", ONE)


def test_it_keeps_its_memory_to_itself(started: Started) -> None:
    started.heard()
    status = Path(f"/proc/{started.process.pid}/status").read_text()
    assert Path(f"/proc/{started.process.pid}/mem").stat().st_uid == 0
    assert "CoreDumping:\t0" in status
    limits = Path(f"/proc/{started.process.pid}/limits").read_text()
    assert any(
        line.split()[:4] == ["Max", "core", "file", "size"] and line.split()[4] == "0" for line in limits.splitlines()
    )


@pytest.mark.parametrize("way", ["SIGTERM", "the supervisor is gone"])
def test_it_ends_quietly(started: Started, way: str) -> None:
    started.heard()
    if way == "SIGTERM":
        started.process.send_signal(signal.SIGTERM)
    else:
        started.supervisor.close()
    assert started.process.wait(5) == 0
    assert started.process.stderr is not None
    assert started.process.stderr.read() == b""
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", started.port), timeout=5)


def test_it_outlives_its_gateway_and_takes_the_next(started: Started) -> None:
    started.heard()
    started.gateway.close()
    time.sleep(0.1)
    started.gateway, pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    started.gateway.settimeout(5)
    started.tell({"event": "gateway"}, pair)
    pair.close()
    assert started.heard()["event"] == "authority"


async def test_the_dialler_connects_to_the_address_and_says_so_when_nobody_is_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with await SystemDialler().dial(ip_address("127.0.0.1"), port) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)
    with pytest.raises(OSError):
        await SystemDialler().dial(ip_address("127.0.0.1"), port)


async def test_the_resolver_gives_addresses_and_never_names() -> None:
    resolver = SystemResolver()
    found = await resolver.resolve("localhost", 443)
    assert found
    assert all(isinstance(address, IPv4Address | IPv6Address) for address in found)
    with pytest.raises(OSError):
        async with asyncio.timeout(10):
            await resolver.resolve("no-such-name.invalid", 443)
    resolver.close()


def test_this_machines_own_addresses_are_known() -> None:
    own = OwnAddresses(time.monotonic)()
    assert IPv4Address("127.0.0.1") in own
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the kernel only picks the address it would send from
        except OSError:
            return
        assert ip_address(probe.getsockname()[0]) in own


def test_addresses_that_cannot_be_read_are_a_fault_and_no_empty_set(tmp_path: Path) -> None:
    with pytest.raises(Fault):
        OwnAddresses(time.monotonic, v4=tmp_path / "missing")()
