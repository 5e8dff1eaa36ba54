"""What the gateway process itself may not do: connect anywhere but where its pool connects, or start programs.

The pool's connections go by the event loop's own code to the addresses of configured providers, and to nothing that a call
could name. Everything else in this process that wants a network, a library that phones home or code that an attacker
brought in, uses Python's sockets: those are refused here by the interpreter's audit hooks, which cannot be taken out again,
and every attempt is told, so that it can be put on record. Unix sockets stay open.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

from bawn.errors import Fault, quoted

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKS_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_STARTS = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}
)
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})


def refusal(event: str, arguments: tuple[object, ...]) -> str:
    """What is refused about an audit event, in words; empty when nothing is."""
    if event in _CONNECTS:
        ends = arguments[0]
        if isinstance(ends, socket.socket) and ends.family in _INTERNET and arguments[1] is not None:
            return f"a connection to {arguments[1]}"
        return ""
    if event in _LOOKS_UP:
        return f"a look for the address of {arguments[0]}"
    return f"the start of {arguments[0] if arguments else 'a process'}" if event in _STARTS else ""


def keep_in(tell: Callable[[str], None]) -> None:
    """From here on, until the process ends. `tell` is called with what was refused, from any thread."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # The interpreter calls this for everything it does: the quick way out comes first.
        if event not in _WATCHED:
            return
        refused = refusal(event, arguments)
        if refused:
            tell(refused)
            raise Fault("internal", f"The gateway process refuses itself {quoted(refused, 200)}.")

    sys.addaudithook(hook)


_WATCHED = _CONNECTS | _LOOKS_UP | _STARTS
