"""nginx twice: as the provider that always gives the same answer, and as the plain proxy that is the ceiling."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import LaneError

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Limestone, against those who come by night. " * 14},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 42, "completion_tokens": 140, "total_tokens": 182},
    },
    separators=(",", ":"),
)
"""About one kilobyte, as short answers are."""

_MESSAGE = json.dumps(
    {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "mock",
        "content": [{"type": "text", "text": "Limestone, against those who come by night. " * 14}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 42, "output_tokens": 140},
    },
    separators=(",", ":"),
)
"""The same on another wire."""

_COMMON = """
worker_processes 1;
daemon off;
error_log stderr crit;
pid {home}/{name}.pid;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  keepalive_requests 10000000;
  keepalive_timeout 600s;
  tcp_nodelay on;
"""
_MOCK = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    client_max_body_size 64m;
    location /v1/messages {{ default_type application/json; return 200 '{message}'; }}
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""
_PROXY = """
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://mock; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    mock: int
    proxy: int


@contextmanager
def both(home: Path) -> Iterator[Ports]:
    """The mock and the proxy in front of it, until the block ends."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise LaneError("nginx is not installed")
    ports = Ports(free_port(), free_port())
    texts = {
        "mock": _MOCK.format(port=ports.mock, answer=_ANSWER, message=_MESSAGE),
        "proxy": _PROXY.format(port=ports.proxy, upstream=ports.mock),
    }
    started = []
    try:
        for name, text in texts.items():
            path = home / f"{name}.conf"
            user = "user root;" if os.geteuid() == 0 else ""
            path.write_text(_COMMON.format(home=home, name=name, user=user) + text)
            started.append(subprocess.Popen([program, "-p", str(home), "-c", str(path)], stderr=subprocess.DEVNULL))
        await_port(ports.mock)
        await_port(ports.proxy)
        yield ports
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise LaneError(f"nothing answers on port {port}") from None
            time.sleep(0.05)
        else:
            return
