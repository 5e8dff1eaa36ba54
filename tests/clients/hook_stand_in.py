"""Somebody in the place of the gateway's address for reports, who writes down what comes and answers as a test says; and
an `/etc` in which an agent finds the files of its adapter, with that address in them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bawn.adapters import installed

Answer = tuple[int, bytes]
INSIDE = "http://ai.bawn.internal"


def nothing_said(said: dict[str, Any]) -> Answer:
    return 200, b'{"effect":"allow"}' if "event" in said else b"{}"


@dataclass
class Told:
    path: str
    headers: dict[str, str]
    said: dict[str, Any]

    @property
    def event(self) -> str:
        return str(self.said.get("event") or self.said["hook_event_name"])


@dataclass
class StandIn:
    answer: Callable[[dict[str, Any]], Answer] = nothing_said
    told: list[Told] = field(default_factory=list)
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                stand_in.told.append(Told(self.path, headers, said))
                status, body = stand_in.answer(said)
                if stand_in.answer is not nothing_said:
                    time.sleep(stand_in.delay_s)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, *events: str) -> list[Told]:
        return [each for each in self.told if each.event in events]


def caged(agent: str, place: Path, url: str, wait_s: int | None = None) -> list[str]:
    """The words before a command by which it finds the adapter of `agent` in its `/etc`, and the address `url` in it.
    `wait_s`: how long the adapter waits for an answer, instead of as long as a person may take."""
    words = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/etc"]
    for each in sorted(Path("/etc").iterdir()):
        words += ["--ro-bind-try", str(each), str(each)]
    words += ["--ro-bind", str(place / "bawn"), "/etc/bawn"]
    for path, text in installed.files([agent]).items():
        text = text.replace(INSIDE, url)
        if wait_s is not None:
            text = (
                text.replace("900_000", str(wait_s * 1000)).replace("900", str(wait_s)).replace("930", str(wait_s + 9))
            )
        file = place / path.removeprefix("/etc/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for folder in sorted(place.iterdir()):
        if folder.name != "bawn":
            words += ["--ro-bind", str(folder), f"/etc/{folder.name}"]
    return [*words, "--"]
