"""Where the management API is reached: the unix socket of this machine, or a loopback address with a token."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class Place(Struct, frozen=True):
    socket: str = ""
    """Path of the unix socket; empty when `base_url` is used."""
    base_url: str = "http://bawn"
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def shown(self) -> str:
        return self.socket or self.base_url

    def __repr__(self) -> str:
        return f"Place({self.shown!r})"


def home(environ: Mapping[str, str], uid: int) -> Path:
    """$BAWN_HOME, or what stands for it."""
    if environ.get("BAWN_HOME"):
        return Path(environ["BAWN_HOME"])
    if uid == 0:
        return Path("/var/lib/bawn")
    return Path(environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "/")) / ".local/state") / "bawn"


def config_file(environ: Mapping[str, str], uid: int) -> Path:
    """$BAWN_CONFIG, or what stands for it."""
    if environ.get("BAWN_CONFIG"):
        return Path(environ["BAWN_CONFIG"])
    if uid == 0:
        return Path("/etc/bawn/bawn.yaml")
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config") / "bawn/bawn.yaml"


def found(socket: str | None = None, base_url: str | None = None, token: str | None = None) -> Place:
    """The place that arguments name, else the environment (BAWN_URL with BAWN_TOKEN, BAWN_SOCKET), else this home.

    Without an own $BAWN_HOME an ordinary user who may open root's socket speaks to root's installation only
    when nothing of their own listens.
    """
    env = os.environ
    if base_url or (not socket and env.get("BAWN_URL")):
        return Place(base_url=(base_url or env["BAWN_URL"]).rstrip("/"), token=token or env.get("BAWN_TOKEN", ""))
    if socket or env.get("BAWN_SOCKET"):
        return Place(socket=socket or env["BAWN_SOCKET"], token=token or "")
    own = home(env, os.getuid()) / "run" / "bawn.sock"
    shared = Path("/var/lib/bawn/run/bawn.sock")
    if not env.get("BAWN_HOME") and not own.exists() and os.access(shared, os.W_OK):
        own = shared
    return Place(socket=str(own), token=token or "")
