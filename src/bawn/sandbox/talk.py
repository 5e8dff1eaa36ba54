"""How a short-lived program of the supervisor speaks with the gateway: over a stream of its own.

What is asked comes by the supervisor, checked, as JSON in a memory file; the answer goes to the gateway directly, so that the
supervisor never carries a file's bytes. The answer begins with one line of JSON, `{"ok": true, …}` or the
error; lines or plain bytes follow, as the act says. Bytes towards the program come in pieces with their length
before them and end with an empty piece: a stream that just ends was given up, and is not taken for whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bawn.errors import Fault

PIECE_LIMIT = 1 << 20
PARTING_S = 5.0
_LENGTH = struct.Struct("!I")

Asked = Mapping[str, Any]

_SAYINGS: dict[int, tuple[str, str]] = {
    errno.ENOENT: ("files.not_found", "there is no such file"),
    errno.ELOOP: ("files.refused", "a symbolic link is on the way, and none is followed"),
    errno.EXDEV: ("files.refused", "something else is mounted there"),
    errno.EACCES: ("files.refused", "the container's user may not do this"),
    errno.EPERM: ("files.refused", "the container's user may not do this"),
    errno.EROFS: ("files.refused", "this cannot be written in the container"),
    errno.EBUSY: ("files.refused", "something is mounted there"),
    errno.EEXIST: ("api.conflict", "there is something of this name already"),
    errno.ENOTDIR: ("files.failed", "what should be a folder is none"),
    errno.EISDIR: ("files.failed", "this is a folder"),
    errno.ENOTEMPTY: ("files.failed", "the folder is not empty"),
    errno.ENAMETOOLONG: ("files.failed", "the name is too long"),
    errno.ENOSPC: ("files.failed", "there is no space left"),
    errno.EDQUOT: ("files.failed", "there is no space left"),
    errno.EFBIG: ("files.failed", "the file is too large"),
}


def fault_of(error: OSError) -> Fault:
    """What a refused system call means to whoever asked."""
    code, sentence = _SAYINGS.get(error.errno or 0, ("files.failed", "this could not be done"))
    return Fault(code, sentence, cause=os.strerror(error.errno) if error.errno else "")


class Talk:
    """The stream, from the program's side."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def say(self, **facts: object) -> None:
        """One line."""
        self._stream.sendall(json.dumps(facts, separators=(",", ":")).encode() + b"\n")

    def refuse(self, fault: Fault) -> None:
        self.say(ok=False, code=fault.code, sentence=fault.sentence, cause=fault.cause)

    def part(self) -> None:
        """Lets the other end read the last line: closing on unread bytes would make the kernel throw it away."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)
            until = time.monotonic() + PARTING_S
            while (left := until - time.monotonic()) > 0:
                self._stream.settimeout(left)
                if not self._stream.recv(PIECE_LIMIT):
                    return

    def send_file(self, fd: int, size: int) -> None:
        """At most `size` bytes of an open file; fewer when it became shorter."""
        at = 0
        while at < size:
            sent = os.sendfile(self._stream.fileno(), fd, at, min(size - at, PIECE_LIMIT))
            if sent == 0:
                return
            at += sent

    def pieces(self) -> Iterator[bytes]:
        """What the gateway sends, to its end; raises ConnectionAbortedError when it gave up."""
        while length := _LENGTH.unpack(self._exactly(_LENGTH.size))[0]:
            if length > PIECE_LIMIT:
                raise ConnectionAbortedError("a piece is too long")
            yield self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._stream.recv(size - len(data))
            if not piece:
                raise ConnectionAbortedError("the other end gave up")
            data += piece
        return bytes(data)


def converse(act: Callable[[Asked, Talk], None]) -> None:
    """The main of such a program: `--request-fd N --stream-fd N`, already undumpable."""
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    with open(int(words["--request-fd"]), "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(0)
        asked: Asked = json.loads(file.read())
    with socket.socket(fileno=int(words["--stream-fd"])) as stream:
        talk = Talk(stream)
        try:
            act(asked, talk)
        except Fault as fault:
            talk.refuse(fault)
        except (BrokenPipeError, ConnectionError):
            return  # whoever asked has gone
        except OSError as error:
            talk.refuse(fault_of(error))
        except RecursionError:
            talk.refuse(Fault("files.failed", "the folders are nested too deep"))
        talk.part()
