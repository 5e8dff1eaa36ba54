"""The packets between the gateway's recorder and the audit writer, over one SOCK_SEQPACKET socket.

The kernel keeps packets whole, so either side may die and be started anew on the same socket without
losing its place in a byte stream. A *run* is one life of a recorder (8 random bytes); it counts its records
from 1. The writer appends a run's records in order and without gaps, whatever is sent twice or lost
with a writer that died: what it has already is acknowledged again, what comes too early is dropped
and answered with `gap`, and the recorder goes back (go-back-N).

  recorder → writer
    H  nonce:8 run:8 rotate:u64                  hello; from now on this run is served. `rotate` is the size in bytes
                                                 at which a file is closed and the next begun; 0 = the default
    B  flags:u8 run:8 first:u64 count:u32 lines  records `first` … `first+count-1`, one line each; flag 1: commit now
    T  request:u32 json                          asks for last lines (`TailRequest`)
  writer → recorder
    W                                            a writer has begun; say hello
    H  nonce:8 run:8 last:u64                    answer to hello: the last record of this run that is on the disk
    A  run:8 last:u64                            everything up to `last` is on the disk
    G  run:8 last:u64                            gap: continue with `last+1`
    E  run:8 last:u64 sentence                   what came after `last` could not be written; send it again later
    T  request:u32 more:u8 lines                 an answer, in one or more packets

Integers are big-endian. A packet has at most `PACKET_LIMIT` bytes. What neither side knows, it ignores.
"""

from __future__ import annotations

import struct

import msgspec
from msgspec import Struct

PACKET_LIMIT = 60 * 1024
RECEIVE_SIZE = 64 * 1024

HELLO, BATCH, TAIL, WOKE, ACK, GAP, ERROR = (letter.encode() for letter in "HBTWAGE")

COMMIT_NOW = 1

_HELLO = struct.Struct(">c8s8sQ")
_BATCH = struct.Struct(">cB8sQI")
_PLACE = struct.Struct(">c8sQ")
_ASK = struct.Struct(">cI")
_TOLD = struct.Struct(">cIB")

BATCH_HEAD = _BATCH.size

TAIL_LIMIT = 1000
"""Lines told at most for one request."""


class Hello(Struct, frozen=True):
    nonce: bytes
    run: bytes
    number: int
    """`rotate` from the recorder, `last` from the writer."""


class Batch(Struct, frozen=True):
    commit_now: bool
    run: bytes
    first: int
    lines: list[bytes]


class Place(Struct, frozen=True):
    """`A`, `G` and `E`."""

    run: bytes
    last: int
    sentence: str = ""


class TailRequest(Struct, frozen=True, omit_defaults=True):
    """Which of the last lines are wanted; empty fields do not choose."""

    n: int = 100
    after: int = 0
    """Only with a greater sequence number."""
    container: str = ""
    call: str = ""
    event: str = ""
    """The event's name, or its beginning when this ends in a dot."""


def hello(nonce: bytes, run: bytes, number: int) -> bytes:
    return _HELLO.pack(HELLO, nonce, run, number)


def read_hello(packet: bytes) -> Hello:
    _, nonce, run, number = _HELLO.unpack(packet)
    return Hello(nonce, run, number)


def batch(run: bytes, first: int, lines: list[bytes], *, commit_now: bool) -> bytes:
    head = _BATCH.pack(BATCH, COMMIT_NOW if commit_now else 0, run, first, len(lines))
    return head + b"\n".join(lines)


def read_batch(packet: bytes) -> Batch:
    """ValueError when the lines are not as many as it says, or not objects."""
    _, flags, run, first, count = _BATCH.unpack_from(packet)
    lines = packet[_BATCH.size :].split(b"\n")
    if len(lines) != count or not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        raise ValueError("a batch that is not as many lines as it says")
    return Batch(bool(flags & COMMIT_NOW), run, first, lines)


def place(kind: bytes, run: bytes, last: int, sentence: str = "") -> bytes:
    return _PLACE.pack(kind, run, last) + sentence.encode("utf-8", "replace")[:1000]


def read_place(packet: bytes) -> Place:
    _, run, last = _PLACE.unpack_from(packet)
    return Place(run, last, packet[_PLACE.size :].decode("utf-8", "replace"))


def ask(number: int, request: TailRequest) -> bytes:
    return _ASK.pack(TAIL, number) + msgspec.json.encode(request)


def read_ask(packet: bytes) -> tuple[int, TailRequest]:
    _, number = _ASK.unpack_from(packet)
    return number, msgspec.json.decode(packet[_ASK.size :], type=TailRequest)


def told(number: int, lines: list[bytes]) -> list[bytes]:
    """The answer, in as many packets as it needs."""
    packets: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) + 1 > PACKET_LIMIT:
            packets.append(_TOLD.pack(TAIL, number, 1) + b"\n".join(group))
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    packets.append(_TOLD.pack(TAIL, number, 0) + b"\n".join(group))
    return packets


def read_told(packet: bytes) -> tuple[int, bool, list[bytes]]:
    _, number, more = _TOLD.unpack_from(packet)
    rest = packet[_TOLD.size :]
    return number, bool(more), rest.split(b"\n") if rest else []
