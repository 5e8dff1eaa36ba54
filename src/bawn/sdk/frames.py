"""How a command in a container talks over a WebSocket: the one description for both ends.

The client opens with a text message, the command. Afterwards binary messages are one channel byte and
data (0 stdin, 1 stdout, 2 stderr), text messages are JSON controls: `stdin_closed`, `resize`, `signal`
from the client, `started`, `exit`, `error` from the server, which then closes. With a terminal everything the command
writes is stdout. Pure: bytes in, values out.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
from msgspec import Struct

MAX_FRAME_BYTES = 64 * 1024
MAX_TIMEOUT_S = 30 * 86_400
TIMED_OUT = 124
"""The exit code of a command whose time was over, as of timeout(1)."""


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2


class Command(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="command"):
    """What shall run. The first message of a client."""

    argv: list[str]
    tty: bool = False
    rows: int = 24
    cols: int = 80
    env: dict[str, str] = {}
    cwd: str = ""
    """Empty: the workspace."""
    timeout_s: float | None = None
    """Seconds after which it is ended, with exit code 124; None for no limit."""


class StdinClosed(Struct, frozen=True, tag_field="type", tag="stdin_closed"):
    """Nothing more comes on stdin."""


class Resize(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="resize"):
    rows: int
    cols: int


class Signal(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="signal"):
    signal: str
    """INT, TERM, HUP, QUIT, KILL, USR1, USR2, WINCH, STOP, TSTP or CONT."""


class Started(Struct, frozen=True, tag_field="type", tag="started"):
    """The command runs."""


class Exit(Struct, frozen=True, tag_field="type", tag="exit"):
    code: int
    """What a shell would have in `$?`."""


class Failed(Struct, frozen=True, tag_field="type", tag="error"):
    code: str
    message: str
    remedy: str = ""
    blame: str = ""


class Data(Struct, frozen=True):
    channel: Channel
    data: bytes


FromClient = Command | StdinClosed | Resize | Signal
FromServer = Started | Exit | Failed

SIGNALS = frozenset({"INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2", "WINCH", "STOP", "TSTP", "CONT"})

_encoder = msgspec.json.Encoder()
_from_client: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)
_from_server: msgspec.json.Decoder[FromServer] = msgspec.json.Decoder(FromServer)


def written(control: FromClient | FromServer) -> str:
    return _encoder.encode(control).decode()


def packed(channel: Channel, data: bytes) -> bytes:
    return bytes((channel,)) + data


def unpacked(message: bytes) -> Data:
    """Raises ValueError for an empty message and for an unknown channel."""
    if not message:
        raise ValueError("an empty binary message has no channel")
    return Data(Channel(message[0]), message[1:])


def read_client(text: str) -> FromClient:
    """Raises msgspec.DecodeError (a ValueError) for anything that is not a control of a client."""
    control = _from_client.decode(text)
    match control:
        case Command(argv=argv) if not argv or any("\0" in word for word in argv):
            raise ValueError("argv needs at least one word, none with a NUL")
        case Command(timeout_s=limit) if limit is not None and not 0 < limit <= MAX_TIMEOUT_S:
            raise ValueError(f"timeout_s is between 0 and {MAX_TIMEOUT_S}")
        case Command(rows=rows, cols=cols) | Resize(rows=rows, cols=cols) if not fits(rows, cols):
            raise ValueError("rows and cols are between 1 and 9999")
        case Signal(signal=name) if name not in SIGNALS:
            raise ValueError(f"the signal is one of {', '.join(sorted(SIGNALS))}")
        case _:
            return control


def fits(rows: int, cols: int) -> bool:
    return 0 < rows < 10_000 and 0 < cols < 10_000


def read_server(text: str) -> FromServer:
    """Raises msgspec.DecodeError (a ValueError) for anything that is not a control of the server."""
    return _from_server.decode(text)
