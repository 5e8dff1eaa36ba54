"""A fuzzer of the door's readers, by mutation: `python -m tests.egress.fuzz_parsers --seconds 600`.

Every reader may only answer or raise its own error, within a moment. What it finds is kept as a case in `test_parsers.py`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

from bawn.egress import git
from bawn.egress.chunks import ChunkReader
from bawn.egress.clienthello import BadHello, read_hello
from bawn.egress.head import read_head
from bawn.egress.hosts import BadHostError, host_port
from bawn.egress.policy import doubt
from bawn.egress.reasons import Denied

_HELLO = bytes.fromhex(
    "160301004d0100004903030000000000000000000000000000000000000000000000000000000000000000"
    "000002130101000 01e0000000e000c0000096 12e6578616d706c65001000 0800060568747470 31".replace(" ", "")
)
SEEDS: dict[str, list[bytes]] = {
    "head": [
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
        b"GET http://a.example/x?y=1 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
        b"POST http://a.example:80/ HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /v1/me HTTP/1.0\r\nhost: a.example\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ],
    "chunks": [b"5\r\nhello\r\n0\r\n\r\n", b"a\r\n0123456789\r\nFF\r\n"],
    "hello": [_HELLO, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"],
    "host": [b"a.example:443", b"xn--bcher-kva.example:80", b"[::1]:443", b"127.0.0.1:1"],
    "path": [b"/v1/me", b"/a%2fb", b"/%2e%2e/x", b"/v1/../x;y"],
    "push": [b"0077" + b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/fix\0 report-status\n0000PACK"],
}
_BITS = (
    b"\0",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b".",
    b"%",
    b"/",
    b"\xff",
    b"\x80",
    b"0000",
    b"ffff",
    b"-1",
    b"127.0.0.1",
    b"\x16\x03",
)


def _chunks(data: bytes) -> None:
    reader = ChunkReader()
    for at in range(0, len(data), 3):
        reader.feed(data[at : at + 3])


READERS: dict[str, Callable[[bytes], object]] = {
    "head": read_head,
    "chunks": _chunks,
    "hello": read_hello,
    "host": lambda data: host_port(data.decode("latin-1")),
    "path": doubt,
    "push": git.changes,
}


def fuzz(seconds: float, seed: int = 0) -> list[tuple[str, bytes, str]]:
    """What broke: the reader, the bytes, the error."""
    chance = random.Random(seed)
    pools = {name: list(seeds) for name, seeds in SEEDS.items()}
    found: list[tuple[str, bytes, str]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, reader in READERS.items():
            data = _mutated(chance, pools[name])
            began = time.perf_counter()
            try:
                reader(data)
                if len(pools[name]) < 500:
                    pools[name].append(data)
            except (Denied, BadHello, BadHostError):
                pass
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                found.append((name, data, repr(error)))
            if time.perf_counter() - began > 1:
                found.append((name, data, "it took longer than a second"))
    return found


def _mutated(chance: random.Random, pool: list[bytes]) -> bytes:
    data = bytearray(chance.choice(pool))
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        match chance.randint(0, 5):
            case 0:
                data[at:at] = chance.choice(_BITS)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2 if data:
                data[at % len(data)] = chance.randint(0, 255)
            case 3:
                data[at:at] = data[at : at + chance.randint(1, 40)]
            case 4:
                data[at:at] = chance.choice(pool)
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(data[:8192])


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzes the readers of the egress door.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = fuzz(asked.seconds, asked.seed)
    for name, data, error in found[:50]:
        sys.stdout.write(f"{name} {data!r} {error}\n")
    sys.stdout.write(f"{len(found)} found\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
