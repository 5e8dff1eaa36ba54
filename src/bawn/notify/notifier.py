"""Delivers single notices by `apprise`, in a process of its own.

Apprise opens connections with Python's own sockets, which the gateway process refuses itself; and it brings dozens of
clients for services, which shall not stand beside provider keys. So this process holds nothing: each request brings the
address, which is a secret, and the words, and is forgotten. It answers on a unix socket that only the gateway can open.

Of apprise's services those are refused that act on this machine instead of sending something away; it loads no plugins of
anybody's, follows no redirect and keeps nothing on disk.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

BODY_BYTES = 128 * 1024
TIMEOUT_S = 30.0
AT_ONCE = 16
LOCAL = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
"""Services of apprise that do something on the machine they run on."""

DELIVERED, UNUSABLE, FAILED = 204, 422, 502


@cache
def _asset() -> Any:
    # Loaded with the first notice: most installations send none, and it is large.
    from apprise import AppriseAsset  # noqa: PLC0415
    from apprise.common import PersistentStoreMode  # noqa: PLC0415

    return AppriseAsset(
        app_id="Bawn",
        app_desc="Bawn",
        app_url="",
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        plugin_paths=[],
        storage_mode=PersistentStoreMode.MEMORY,
    )


def deliver(url: str, title: str, body: str, kind: str) -> int:
    """One of DELIVERED, UNUSABLE, FAILED."""
    from apprise import Apprise  # noqa: PLC0415

    if url.partition("://")[0].strip().lower() in LOCAL:
        return UNUSABLE
    service = Apprise.instantiate(url, asset=_asset(), suppress_exceptions=True)
    if service is None:
        return UNUSABLE
    notifying = Apprise(asset=_asset())
    notifying.add(service)
    return DELIVERED if notifying.notify(body=body, title=title, notify_type=kind) else FAILED


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    server: Notifier

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            self._answer(UNUSABLE)
            return
        try:
            told = json.loads(self.rfile.read(int(length)))
            words = [str(told[name]) for name in ("url", "title", "body", "type")]
        except (ValueError, KeyError, TypeError):
            self._answer(UNUSABLE)
            return
        if not self.server.room.acquire(blocking=False):
            self._answer(FAILED)
            return
        try:
            status = deliver(*words)
        except Exception:  # noqa: BLE001 - a plugin of a service may raise anything; its words may hold the address
            status = FAILED
        finally:
            self.server.room.release()
        self._answer(status)

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response_only(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing: what is asked holds addresses."""


class Notifier(ThreadingMixIn, UnixStreamServer):
    """Serves on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        # Apprise speaks of addresses in its log.
        logging.getLogger("apprise").addHandler(logging.NullHandler())
        logging.getLogger("apprise").propagate = False
        self.room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left; nothing is told of it."""
