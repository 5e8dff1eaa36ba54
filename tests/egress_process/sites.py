"""What stands outside the wall in these tests: sites on loopback that remember every byte that reaches them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Address = IPv4Address | IPv6Address
Conversation = Callable[["Remembering", asyncio.StreamWriter], Awaitable[None]]


class Outside:
    """The authority that the outside's certificates come from; the stand-in for the host's trust store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The outside")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pem)

    def serving(self, *names: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{os.urandom(4).hex()}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@dataclass
class Site:
    """A server on loopback. `got` is what it was sent, decrypted if it speaks TLS; `raw` counts connections."""

    port: int = 0
    got: bytearray = field(default_factory=bytearray)
    connections: int = 0
    server: asyncio.Server | None = None
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, conversation: Conversation, context: ssl.SSLContext | None = None) -> Site:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.current_task()
            assert task is not None
            self.handlers.add(task)
            task.add_done_callback(self.handlers.discard)
            try:
                await conversation(Remembering(reader, self.got), writer)
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, limit=1 << 22)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for task in tuple(self.handlers):
            task.cancel()
        await asyncio.sleep(0)


class Remembering:
    """A reader that writes down what was read by it."""

    def __init__(self, inner: asyncio.StreamReader, got: bytearray) -> None:
        self._inner = inner
        self._got = got

    async def read(self, n: int = 65536) -> bytes:
        return self._noted(await self._inner.read(n))

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        return self._noted(await self._inner.readuntil(separator))

    async def readexactly(self, n: int) -> bytes:
        return self._noted(await self._inner.readexactly(n))

    def _noted(self, data: bytes) -> bytes:
        self._got += data
        return data


class Names:
    """The resolver of the tests: answers as told, and counts."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[Address, ...]]] = {}
        self.asked: list[str] = []
        self.delay_s = 0.0

    def say(self, host: str, *answers: str | tuple[str, ...]) -> None:
        """One answer a question; the last one stays."""
        self.answers[host] = [
            tuple(ip_address(each) for each in ((answer,) if isinstance(answer, str) else answer)) for answer in answers
        ]

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        self.asked.append(host)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answers = self.answers.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Roads:
    """The dialler of the tests: where an address leads is told, everything else leads nowhere. Nothing leaves loopback."""

    def __init__(self) -> None:
        self.leads: dict[tuple[str, int], int] = {}
        self.dialled: list[tuple[str, int]] = []

    async def dial(self, address: Address, port: int) -> socket.socket:
        self.dialled.append((str(address), port))
        leads = self.leads.get((str(address), port))
        if leads is None:
            raise OSError("no road there")
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", leads))
        return connection
