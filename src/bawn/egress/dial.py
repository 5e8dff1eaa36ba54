"""The way out: from a name that a rule allows to a connection.

1. The name is resolved here and nowhere else, once.
2. Every address of the answer must be acceptable; one that is not refuses the whole answer, because whoever mixes a public
   address with a private one waits for the moment when the private one is taken.
3. One of exactly these addresses is connected to, as an address; no name reaches the system again, so a resolver that
   answers differently the next time (TTL 0, rebinding) changes nothing.
4. The connection's peer must be that address.

Aliases in the answer (CNAME) need no look: only the addresses at their end count.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Protocol

from bawn.egress.addresses import Address, refusal
from bawn.egress.reasons import Denied

_ADDRESS_LIMIT = 32
"""Addresses of one answer; more are an attack on whoever looks at each."""
_THREADS = 16
LOOKUPS = 4
"""Of one container at once."""


class Resolver(Protocol):
    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """Every address of the name. OSError when there is none."""


class Dialler(Protocol):
    async def dial(self, address: Address, port: int) -> socket.socket:
        """A connection to exactly this address. OSError when there is none."""


class SystemResolver:
    """The host's own resolver, in a few threads, because it blocks."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return tuple(dict.fromkeys(found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class SystemDialler:
    async def dial(self, address: Address, port: int) -> socket.socket:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
            if _peer(connection) != (address, port):
                raise OSError("the connection leads elsewhere than was asked")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection


class Way:
    """Leads to what was checked, or raises Denied; nothing is sent on it here."""

    def __init__(
        self,
        resolver: Resolver,
        dialler: Dialler,
        own: Callable[[], frozenset[Address]],
        *,
        resolve_s: float = 5.0,
        connect_s: float = 10.0,
    ) -> None:
        self._resolver = resolver
        self._dialler = dialler
        self._own = own
        self._resolve_s = resolve_s
        self._connect_s = connect_s

    async def addresses(self, turn: asyncio.Semaphore, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a name, all of them acceptable. Denied when there is none, or one that is not.

        `turn` is the container's: one that waits for its own slow name server keeps no thread from the others.
        """
        try:
            async with asyncio.timeout(self._resolve_s), turn:
                found = await self._resolver.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Denied("egress.unresolved", f"The name {host} has no address.", host=host, port=port) from error
        if not 0 < len(found) <= _ADDRESS_LIMIT:
            raise Denied("egress.unresolved", f"The name {host} has no address, or too many.", host=host, port=port)
        own = self._own()
        codes = [code for address in found if (code := refusal(address, own))]
        if codes:
            sentence = f"The name {host} leads to an address that no container may reach."
            raise Denied(codes[0], sentence, host=host, port=port)
        return found

    async def dial(self, addresses: tuple[Address, ...], host: str, port: int) -> socket.socket:
        """A connection to the first of these addresses that takes it. Denied when none does."""
        try:
            async with asyncio.timeout(self._connect_s):
                for address in addresses:
                    with contextlib.suppress(OSError):
                        return await self._dialler.dial(address, port)
        except TimeoutError:
            pass
        sentence = f"{host} does not take connections on port {port}."
        raise Denied("egress.unreachable", sentence, host=host, port=port)


def _look_up(host: str, port: int) -> list[Address]:
    # With its last dot a name is whole: the host's search domains must not make another name of it.
    whole = f"{host}." if "." in host else host
    found = socket.getaddrinfo(whole, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses: list[Address] = []
    for _, _, _, _, where in found:
        # A scoped address (fe80::1%eth0) keeps its scope in the text; ip_address reads it, and it is never acceptable.
        addresses.append(ip_address(str(where[0])))
    return addresses


def _peer(connection: socket.socket) -> tuple[Address, int]:
    name = connection.getpeername()
    return ip_address(name[0]), name[1]
