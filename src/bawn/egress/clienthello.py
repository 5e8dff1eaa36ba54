"""The first words of a TLS client, read before a byte of them goes on (RFC 8446 §4.1.2, RFC 6066 §3).

A tunnel to an allowed name in which the client greets another name is the way round an allow-list that has been found in the
field: services behind one address choose by the greeting. So the greeting must name exactly one host; one without a name, one
whose real name is encrypted (ECH), and whatever is no TLS are refused by their own codes.
"""

from __future__ import annotations

from msgspec import Struct

from bawn.egress.hosts import BadHostError, normal_host

LIMIT = 32 * 1024
"""Bytes; with post-quantum key shares real ones have about two thousand."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16
_ENCRYPTED = frozenset({0xFE0D, 0xFE08, 0xFE09, 0xFE0A, 0xFFCE})
"""Encrypted Client Hello, its drafts, and the encrypted SNI before it."""


class Hello(Struct, frozen=True):
    server_name: str
    """Normal."""
    alpn: tuple[bytes, ...] = ()


class BadHello(ValueError):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class _Reader:
    """Fields of a message that must not be left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _malformed()
        self._at += size
        return self._data[self._at - size : self._at]

    def vector(self, size: int) -> _Reader:
        """Of as many bytes as the `size` bytes before it say."""
        return _Reader(self.take(self.number(size)))


def read_hello(held: bytes) -> Hello | None:
    """The ClientHello that `held` begins with; None when it is not whole yet. BadHello for everything else."""
    message = _message(held)
    if message is None:
        return None
    reader = _Reader(message)
    reader.take(2 + 32)  # legacy_version, random
    if reader.vector(1).left > 32:  # legacy_session_id
        raise _malformed()
    reader.vector(2)  # cipher_suites
    reader.vector(1)  # legacy_compression_methods
    if not reader.left:
        raise BadHello("egress.sni_missing", "The TLS hello names no host, so nobody can tell where it leads.")
    return _extended(reader)


def _message(held: bytes) -> bytes | None:
    """The handshake message, put together from its records."""
    message = bytearray()
    at = 0
    while True:
        head = held[at : at + 5]
        if head and (head[0] != _HANDSHAKE or (len(head) > 1 and head[1] != 3)):
            raise BadHello("egress.not_tls", "What came through the tunnel is not TLS.")
        if len(head) < 5:
            break
        length = int.from_bytes(head[3:5])
        if not 0 < length <= 1 << 14:
            raise _malformed()
        piece = held[at + 5 : at + 5 + length]
        message += piece
        if message and message[0] != _CLIENT_HELLO:
            raise _malformed()
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4])
            if wanted > LIMIT:
                raise BadHello("egress.not_tls", "The TLS hello is too long.")
            if len(message) >= wanted:
                # More in the same record would be a second message before the answer to the first.
                if len(message) > wanted:
                    raise _malformed()
                return bytes(message[4:wanted])
        if len(piece) < length:
            break
        at += 5 + length
    if len(held) > LIMIT:
        raise BadHello("egress.not_tls", "The TLS hello is too long.")
    return None


def _extended(reader: _Reader) -> Hello:
    names: list[str] = []
    alpn: tuple[bytes, ...] = ()
    seen: set[int] = set()
    extensions = reader.vector(2)
    if reader.left:
        raise _malformed()
    while extensions.left:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind in seen:
            raise _malformed()
        seen.add(kind)
        if kind in _ENCRYPTED:
            raise BadHello("egress.ech", "The TLS hello hides the name of its host (ECH); switch that off.")
        if kind == _SERVER_NAME:
            names = _names(body)
        elif kind == _ALPN:
            alpn = _protocols(body)
    if len(names) != 1:
        raise BadHello("egress.sni_missing", "The TLS hello names no host, so nobody can tell where it leads.")
    return Hello(names[0], alpn)


def _names(body: _Reader) -> list[str]:
    entries = body.vector(2)
    names: list[str] = []
    while entries.left:
        kind, name = entries.number(1), entries.vector(2)
        text = name.take(name.left)
        if kind != 0 or names:
            raise _malformed()
        try:
            names.append(normal_host(text.decode("ascii")))
        except (BadHostError, UnicodeDecodeError) as error:
            raise BadHello("egress.sni_mismatch", "The TLS hello names something that is no host.") from error
    if body.left:
        raise _malformed()
    return names


def _protocols(body: _Reader) -> tuple[bytes, ...]:
    entries = body.vector(2)
    found: list[bytes] = []
    while entries.left:
        entry = entries.vector(1)
        found.append(entry.take(entry.left))
    return tuple(found)


def _malformed() -> BadHello:
    return BadHello("egress.not_tls", "The TLS hello cannot be read.")
