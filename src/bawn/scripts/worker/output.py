"""What scripts print and log: one line of JSON each, to the pipe that the gateway reads.

Nothing waits for the reader: what the pipe does not hold is dropped and counted, so that a script that floods its log
harms the log alone.
"""

from __future__ import annotations

import contextvars
import io
import json
import os
import time

LINE_LIMIT = 3000
"""Characters; with what stands beside them a line is written at once or not at all (PIPE_BUF)."""
_PIPE_BUF = 4096

current: contextvars.ContextVar[tuple[str, str, str]] = contextvars.ContextVar("current", default=("", "", ""))
"""The script, the call and the container that a line belongs to."""


class Output(io.TextIOBase):
    """Stands in place of `sys.stdout` and `sys.stderr`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = ""
        self._dropped = 0
        os.set_blocking(descriptor, False)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if len(self._begun) > LINE_LIMIT:
            lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            self.line("print", line)
        return len(text)

    def line(self, level: str, text: str) -> None:
        script, call, container = current.get()
        if self._dropped:
            text = f"{text} ({self._dropped} lines before this one were lost)"
        shown = text if len(text) <= LINE_LIMIT else text[:LINE_LIMIT] + "…"
        said = {"at": round(time.time(), 3), "level": level, "script": script, "call": call, "container": container}
        while True:
            data = json.dumps(said | {"line": shown}, separators=(",", ":")).encode() + b"\n"
            if len(data) <= _PIPE_BUF:
                break
            shown = shown[: len(shown) // 2] + "…"
        try:
            os.write(self._descriptor, data)
        except OSError:
            self._dropped += 1
        else:
            self._dropped = 0
