"""Which package registries this host's own pip and npm are configured to use: `python -m bawn.sandbox.registries`.

Read by asking the installed clients, in the operator's environment, so that private mirrors, authorities and passwords are
those that the operator uses. No registry's name stands in this project: what pip asks when nothing is configured is read
from the installed pip. Prints one JSON object; whoever starts this keeps it in memory, because it may hold passwords.
Standard library only, as everything that the supervisor starts.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import Any

_ASK_S = 20.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def found() -> dict[str, Any]:
    """`pip` and `npm`, each only when its client is installed, and `proxies`."""
    said: dict[str, Any] = {}
    if (pip := _pip()) is not None:
        said["pip"] = pip
    if (npm := _npm()) is not None:
        said["npm"] = npm
    proxies = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES}
    said["proxies"] = {name: value for name, value in proxies.items() if value}
    return said


def _pip() -> dict[str, Any] | None:
    listed = _asked([sys.executable, "-m", "pip", "config", "list"]) or _asked(["pip3", "config", "list"])
    settings = _settings(listed or "")
    index = settings.get("index-url") or _built_in()
    if not index:
        return None
    return {
        "index": index,
        "extra": settings.get("extra-index-url", "").split(),
        "find_links": settings.get("find-links", "").split(),
        "cert": settings.get("cert"),
    }


def _settings(listed: str) -> dict[str, str]:
    """`global.index-url='…'` a line: what is about installing outdoes what is global, and the environment outdoes both."""
    order = {"global": 0, "install": 1, ":env:": 2}
    held: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        section, dot, key = name.rpartition(".")
        rank = order.get(section, -1)
        if equals and dot and rank >= held.get(key, (-1, ""))[0]:
            words = shlex.split(value)
            held[key] = (rank, words[0].replace("\\n", " ") if words else "")
    return {key: value for key, (_, value) in held.items()}


def _built_in() -> str | None:
    """What the installed pip asks when nothing is configured."""
    try:
        index = importlib.import_module("pip._internal.models.index").PyPI.simple_url
    except (ImportError, AttributeError):
        program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        index = (_asked(["/usr/bin/python3", "-c", program]) or "").strip()
    return index or None


def _npm() -> dict[str, Any] | None:
    if shutil.which("npm") is None:
        return None
    registry = (_asked(["npm", "config", "get", "registry"]) or "").strip()
    if not registry.startswith(("http://", "https://")):
        return None
    said: dict[str, Any] = {"registry": registry}
    cafile = (_asked(["npm", "config", "get", "cafile"]) or "").strip()
    if cafile.startswith("/"):
        said["cafile"] = cafile
    if (token := _token(registry)) is not None:
        said["token"] = token
    return said


def _token(registry: str) -> str | None:
    """The token for this registry from the operator's own file, which npm itself does not print."""
    places = [os.environ.get("NPM_CONFIG_USERCONFIG") or os.path.expanduser("~/.npmrc")]  # noqa: PTH111 - an unset home stays as it is
    wanted = "//" + registry.split("://", 1)[1].rstrip("/") + "/:_authToken"
    for place in places:
        try:
            with open(place, encoding="utf-8") as file:  # noqa: PTH123 - the path may be anything the operator says
                lines = file.read().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            name, equals, value = line.partition("=")
            if equals and name.strip() == wanted:
                return os.path.expandvars(value.strip().strip('"'))
    return None


def _asked(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(found()) + "\n")
