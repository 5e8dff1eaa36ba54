"""What reached the provider, one JSON object a line, so that a test can say which bytes and keys really did."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from bawn.inference.provider import Request


class Record:
    """An append-only file, readable by its owner alone: requests carry keys."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._count = 0

    def request(self, request: Request) -> int:
        """Writes the request down and gives its number."""
        self._count += 1
        self._write(
            {
                "request": self._count,
                "at": time.time(),
                "method": request.method,
                "path": request.path,
                "headers": [list(header) for header in request.headers],
                # `body.encode("utf-8", "surrogateescape")` gives back the very bytes.
                "body": request.body.decode("utf-8", "surrogateescape"),
            }
        )
        return self._count

    def ended(self, number: int, how: str) -> None:
        """`whole` when the answer was sent to its end, `client gone` when the peer left before."""
        self._write({"ended": number, "at": time.time(), "how": how})

    def _write(self, entry: dict[str, object]) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")
