"""Which addresses are this machine's own, read from the kernel: no tunnel may lead back to the machine it starts from.

The kernel's table is read again when the last reading is older than a few seconds, because interfaces come and go. A table
that cannot be read is an error and no empty set: nothing is dialled then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from bawn.egress.addresses import Address
from bawn.errors import Fault

_V4 = Path("/proc/net/fib_trie")
_V6 = Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
_FRESH_S = 5.0


class OwnAddresses:
    def __init__(self, monotonic: Callable[[], float], v4: Path = _V4, v6: Path = _V6) -> None:
        self._monotonic = monotonic
        self._v4 = v4
        self._v6 = v6
        self._read_at = float("-inf")
        self._known: frozenset[Address] = frozenset()

    def __call__(self) -> frozenset[Address]:
        now = self._monotonic()
        if now - self._read_at > _FRESH_S:
            self._known = self._read()
            self._read_at = now
        return self._known

    def _read(self) -> frozenset[Address]:
        try:
            found: set[Address] = {ip_address(text) for text in _LOCAL.findall(self._v4.read_text("ascii"))}
            # Without IPv6 the kernel has no such file, and no such address.
            if self._v6.exists():
                lines = self._v6.read_text("ascii").splitlines()
                found |= {IPv6Address(bytes.fromhex(line.split()[0])) for line in lines if line.strip()}
        except (OSError, ValueError) as error:
            raise Fault("internal", "This machine's own addresses cannot be read.", cause=str(error)) from error
        return frozenset(found)
