"""Other gateways beside ours, with `PEERS=1`: the same load, the same mock, the same machine.

They are fetched by the ordinary package clients into a directory of the bench and never become a
dependency. One that cannot be installed or started is left out, with the reason.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import LaneError
from bench.nginx import await_port, free_port


@dataclass(frozen=True, slots=True)
class Peer:
    url: str
    headers: Mapping[str, str]
    """What this peer wants to be told with every call."""


@contextmanager
def litellm(home: Path, mock: int) -> Iterator[Peer]:
    """LiteLLM's proxy with one worker."""
    room = home / "litellm"
    venv.create(room, with_pip=True)
    _installed([str(room / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"], "litellm")
    config = room / "config.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: mock/mock\n"
        f"    litellm_params: {{model: openai/mock, api_base: 'http://127.0.0.1:{mock}/v1', api_key: sk-bench}}\n"
        "litellm_settings: {telemetry: false}\n"
    )
    port = free_port()
    argv = [str(room / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--num_workers", "1"]
    # It refuses to start without a key for itself, so its check of the caller is in the figure, as ours is.
    key = f"sk-{secrets.token_hex(32)}"
    with _served(argv, port, room, {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}):
        yield Peer(f"http://127.0.0.1:{port}/v1/chat/completions", {"authorization": f"Bearer {key}"})


@contextmanager
def portkey(home: Path, mock: int) -> Iterator[Peer]:
    """Portkey's gateway, which is told by headers where to send a call."""
    if shutil.which("npm") is None:
        raise LaneError("npm is not installed")
    room = home / "portkey"
    room.mkdir()
    _installed(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(room), "@portkey-ai/gateway"],
        "portkey",
    )
    port = free_port()
    script = room / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    with _served(["node", str(script), f"--port={port}", "--headless"], port, room, {"PORT": str(port)}):
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{mock}/v1"}
        yield Peer(f"http://127.0.0.1:{port}/v1/chat/completions", headers)


def _installed(argv: list[str], name: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise LaneError(f"{name} cannot be installed here: {done.stderr.strip()[-200:]}")


@contextmanager
def _served(argv: list[str], port: int, room: Path, extra: Mapping[str, str]) -> Iterator[None]:
    with (room / "log").open("wb") as log:
        process = subprocess.Popen(argv, env=os.environ | dict(extra), stdout=log, stderr=log)
        try:
            await_port(port, 90)
            yield
        finally:
            process.terminate()
            process.wait(20)
