"""What the egress door costs: tunnels opened a second, time added to a new connection, and the rate of a download through one.

    python -m bench.egress          the figures as JSON

Three processes: the proxy as it is, but with a resolver and a dialler that lead to loopback, because no policy opens that; an
upstream that answers the first bytes it gets; and the load. The upstream's process plays the gateway too, which answers
each record at once: what the disk costs is measured with the record.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address

import msgspec
import uvloop

from bawn.egress.addresses import Address
from bawn.egress.authority import Authority
from bawn.egress.dial import Way
from bawn.egress.doors import Doors
from bawn.egress.link import Link
from bawn.egress.policy import Policy, Rule
from bawn.egress.recorder import Recorder
from bawn.egress.walls import Limits, Walls
from bawn.lines.line import Line, Packet
from bench.load import LaneError
from bench.report import ROOT, Findings

_UUID = "00000000-0000-4000-8000-000000000001"
_HOST, _PUBLIC = "bench.test", IPv4Address("93.184.215.14")
_TLS_HOST, _TLS_PUBLIC = "tls.bench.test", IPv4Address("93.184.215.15")
_AT_ONCE = 32
_DOWNLOAD = 1024 * 1024 * 1024
_PIECE = b"\0" * (1 << 18)


@dataclass(frozen=True, slots=True)
class Standing:
    door: int
    upstream: int
    tls_upstream: int


def lane(findings: Findings, seconds: int) -> None:
    with standing() as ports:
        uvloop.run(_pressed(ports.door, 1))
        findings.put("egress.connect_per_s", uvloop.run(_pressed(ports.door, seconds)))
        direct, through = _answered_ms(ports.upstream, tunnel=False), _answered_ms(ports.door, tunnel=True)
        findings.put("egress.direct_p50_ms", direct)
        findings.put("egress.added_p50_ms", through - direct)
        directly, ratio = _ratio(ports.tls_upstream, ports.door, _TLS_HOST)
        findings.put("egress.direct_mb_s", directly)
        findings.put("egress.tunnel_ratio_direct", ratio)
        findings.put("egress.bare_ratio_direct", _ratio(ports.upstream, ports.door, _HOST)[1])


def _ratio(upstream: int, door: int, host: str) -> tuple[float, float]:
    """The rate without the door, and the one through it as a share of that; by turns, so that both meet the same neighbours."""
    directly, through = [], []
    for _ in range(3):
        directly.append(_downloaded(upstream, host, tunnel=False))
        through.append(_downloaded(door, host, tunnel=True))
    rate = statistics.median(directly)
    return rate, statistics.median(through) / rate


@contextmanager
def standing() -> Iterator[Standing]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door, upstream, tls = (socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(3))
    ports = Standing(*(each.getsockname()[1] for each in (door, upstream, tls)))
    processes = []
    with near, far, door, upstream, tls:
        for role, line, listener in (("upstream", near, upstream), ("proxy", far, door)):
            argv = [sys.executable, "-m", "bench.egress", "--role", role, "--line-fd", str(line.fileno())]
            argv += ["--listener-fd", str(listener.fileno()), "--tls-fd", str(tls.fileno())]
            argv += ["--ports", str(ports.upstream), str(ports.tls_upstream)]
            fds = [line.fileno(), listener.fileno(), tls.fileno()]
            processes.append(subprocess.Popen(argv, cwd=ROOT, pass_fds=fds, stdout=subprocess.PIPE, text=True))
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise LaneError("a process of the egress lane did not start")
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


# the load


def _asked(host: str) -> bytes:
    return f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode()


def _hello() -> bytes:
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(came, goes, server_hostname=_HOST).do_handshake()
    return goes.read()


async def _pressed(port: int, seconds: float) -> float:
    """Tunnels opened a second, up to the first bytes that come back through each."""
    ends = time.perf_counter() + seconds
    hello, opened = _hello(), 0

    async def opening() -> None:
        nonlocal opened
        while time.perf_counter() < ends:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_asked(_HOST))
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                raise LaneError("the door closed the connection") from error
            if not head.startswith(b"HTTP/1.1 200"):
                raise LaneError(f"the tunnel was refused: {head[:80]!r}")
            writer.write(hello)
            await reader.readexactly(1)
            writer.transport.abort()
            opened += 1

    began = time.perf_counter()
    await asyncio.gather(*(opening() for _ in range(_AT_ONCE)))
    return opened / (time.perf_counter() - began)


def _answered_ms(port: int, *, tunnel: bool, count: int = 1000) -> float:
    """From nothing to the first byte of an answer on a new connection, median."""
    hello, times = _hello(), []
    for _ in range(count):
        began = time.perf_counter()
        with _connected(port, _HOST, tunnel=tunnel) as connection:
            connection.sendall(hello)
            connection.recv(1)
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _downloaded(port: int, host: str, *, tunnel: bool) -> float:
    """Megabytes a second of one download: with TLS, as on port 443, or of bare bytes behind a hello."""
    buffer, left = memoryview(bytearray(1 << 18)), _DOWNLOAD
    with _connected(port, host, tunnel=tunnel) as bare:
        if host == _TLS_HOST:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection: socket.socket = context.wrap_socket(bare, server_hostname=host)
        else:
            bare.sendall(_hello())
            bare.recv(1)
            connection = bare
        connection.sendall(b"more")
        began = time.perf_counter()
        while left > 0:
            count = connection.recv_into(buffer)
            if not count:
                raise LaneError("the download ended too soon")
            left -= count
        return _DOWNLOAD / 1e6 / (time.perf_counter() - began)


def _connected(port: int, host: str, *, tunnel: bool) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tunnel:
        connection.sendall(_asked(host))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(4096)
    return connection


# the processes


class _Loopback:
    """Resolver and dialler: two names, a public address each, and the roads from them to the upstreams."""

    def __init__(self, bare: int, tls: int) -> None:
        self._ports: dict[Address, int] = {_PUBLIC: bare, _TLS_PUBLIC: tls}

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        return (_PUBLIC,) if host == _HOST else (_TLS_PUBLIC,)

    async def dial(self, address: Address, port: int) -> socket.socket:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._ports[address]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


async def _proxy(line: socket.socket, listener: socket.socket, bare: int, tls: int) -> None:
    ways, recorder, authority = _Loopback(bare, tls), Recorder(), Authority(lambda: datetime.now(UTC))
    limits = Limits(connections=4096)
    walls = Walls(recorder, authority, Way(ways, ways, frozenset), time.monotonic, limits)
    Link(walls, recorder, authority).attach(line)
    await Doors(walls).open(_UUID, listener)
    await _ready()


async def _upstream(line: socket.socket, listener: socket.socket, tls: socket.socket) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(65536)
            writer.write(b".")
            if await reader.read(65536):
                for _ in range(_DOWNLOAD // len(_PIECE)):
                    writer.write(_PIECE)
                    await writer.drain()
        writer.close()

    gateway: Line | None = None
    records = 0

    def heard(packet: Packet) -> None:
        nonlocal records
        if gateway is not None and packet.body.get("do") == "record":
            records += 1
            gateway.answer(packet, {"record": f"rec_{records}"})

    gateway = Line(line, heard, lambda: None)
    gateway.open()
    policy = Policy(uuid=_UUID, name="bench", rules=(Rule(host=_HOST), Rule(host=_TLS_HOST)))
    gateway.send({"event": "policy", "uuid": _UUID, "policy": msgspec.to_builtins(policy)})
    threading.Thread(target=_serve_tls, args=(tls,), daemon=True).start()
    await asyncio.start_server(serve, sock=listener, backlog=512)
    await _ready()


def _serve_tls(listener: socket.socket) -> None:
    """One download after another, as fast as this interpreter's OpenSSL goes."""
    authority = Authority(lambda: datetime.now(UTC))
    context = authority.context(_TLS_HOST)
    listener.setblocking(True)
    while True:
        bare, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(bare, server_side=True) as connection:
            connection.recv(65536)
            for _ in range(_DOWNLOAD // len(_PIECE)):
                connection.sendall(_PIECE)


async def _ready() -> None:
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.egress")
    parser.add_argument("--role", choices=("load", "proxy", "upstream"), default="load")
    parser.add_argument("--seconds", type=int, default=5)
    for name in ("--line-fd", "--listener-fd", "--tls-fd"):
        parser.add_argument(name, type=int, default=-1)
    parser.add_argument("--ports", type=int, nargs=2, default=(0, 0))
    options = parser.parse_args()
    if options.role == "load":
        findings = Findings()
        lane(findings, options.seconds)
        print(json.dumps(findings.metrics, indent=2))
        return
    line, listener = socket.socket(fileno=options.line_fd), socket.socket(fileno=options.listener_fd)
    if options.role == "proxy":
        uvloop.run(_proxy(line, listener, *options.ports))
    else:
        uvloop.run(_upstream(line, listener, socket.socket(fileno=options.tls_fd)))


if __name__ == "__main__":
    main()
