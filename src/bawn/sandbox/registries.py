"""Which package registries this host's own pip and npm are configured to use: `python -m bawn.sandbox.registries`.

Read by asking the installed clients, in the operator's environment and by the operator's rights, so that private mirrors,
authorities and passwords are those that the operator uses. No registry's name stands in this project: what pip asks when
nothing is configured is read from the installed pip. Prints one JSON object; whoever starts this keeps it in memory,
because it may hold passwords. The clients are asked from the root folder: from where the operator stands, Python would
run a `pip.py` that lies there, and npm would take its registry from a `.npmrc`. A client that cannot say what it is configured
to use counts as none, since asking somebody else instead would tell a stranger the names of private packages.
Standard library only, as everything that the supervisor starts.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import importlib
import json
import netrc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_ASK_S = 20.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_PLACES = frozenset({"pip_config_file", "npm_config_userconfig", "npm_config_globalconfig"})
"""Variables with the path of a file, which may be written from where the operator stands."""
_TRUE = frozenset({"1", "y", "yes", "t", "true", "on"})
"""What pip takes for yes."""
_KEY = re.compile(r"(//[^\s:]+(?::\d+)?[^\s:]*/):(_authToken|_auth|username|_password)\Z")
_SCOPE = re.compile(r"(@[^\s:]+):registry\Z")


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


# pip


def _pip() -> dict[str, Any] | None:
    for program in ([sys.executable, "-P", "-m", "pip"], ["pip3"], ["python3", "-m", "pip"]):
        if (listed := _asked([*program, "config", "list"])) is not None:
            break
    else:
        return None
    settings = pip_settings(listed)
    folders = settings.get("find-links", "").split()
    if settings.get("no-index", "").lower() in _TRUE:
        indexes: list[str] = []
    else:
        index = settings.get("index-url") or _built_in()
        if not index:
            return None
        indexes = [index, *settings.get("extra-index-url", "").split()]
    cert = settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    proxy = settings.get("proxy")
    return {
        "index": indexes[0] if indexes else None,
        "extra": indexes[1:],
        "find_links": folders,
        "cert": cert,
        "keys": _netrc([*indexes, *folders]),
        "proxies": {f"{scheme}_proxy": proxy for scheme in ("http", "https") if proxy},
        **_authorities(cert),
    }


def pip_settings(listed: str) -> dict[str, str]:
    """`global.index-url='…'` a line: what is about installing outdoes what is global, and the environment outdoes both."""
    order = {"global": 0, "install": 1, ":env:": 2}
    held: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        section, dot, key = name.rpartition(".")
        rank = order.get(section, -1)
        if equals and dot and rank >= held.get(key, (0, ""))[0]:
            try:
                said = ast.literal_eval(value)  # pip prints what Python prints
            except (ValueError, SyntaxError):
                continue
            held[key] = (rank, str(said))
    return {key: value for key, (_, value) in held.items()}


def _built_in() -> str | None:
    """What the installed pip asks when nothing is configured."""
    try:
        index = importlib.import_module("pip._internal.models.index").PyPI.simple_url
    except (ImportError, AttributeError):
        program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        index = (_asked(["/usr/bin/python3", "-c", program]) or "").strip()
    return index or None


def _netrc(places: Iterable[str]) -> list[tuple[str, str]]:
    """The passwords that pip finds in `~/.netrc` for addresses that bring none."""
    try:
        known = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return []
    keys: list[tuple[str, str]] = []
    for place in places:
        parts = urlsplit(place)
        if parts.hostname and parts.username is None and (entry := known.hosts.get(parts.hostname)) is not None:
            keys.append((f"//{parts.netloc}/", _basic(f"{entry[0]}:{entry[2]}")))
    return keys


# npm


def _npm() -> dict[str, Any] | None:
    if shutil.which("npm") is None:
        return None
    try:
        told = json.loads(_asked(["npm", "config", "list", "--json"]) or "{}")
    except ValueError:
        told = {}
    registry = str(told.get("registry") or "")
    if not registry.startswith(("http://", "https://")):
        return None
    files = [_lines(told.get(name)) for name in ("globalconfig", "userconfig")]
    environment = {
        name[len("npm_config_") :]: value
        for name, value in os.environ.items()
        if name.lower().startswith("npm_config_")
    }
    scopes, keys = npm_settings([*files, environment])
    hosts = {urlsplit(each).hostname for each in (registry, *scopes.values())}
    cafile, inline = told.get("cafile"), told.get("ca")
    without = told.get("noproxy")
    proxies = {
        "http_proxy": told.get("proxy"),
        "https_proxy": told.get("https-proxy") or told.get("proxy"),
        "no_proxy": ",".join(map(str, without)) if isinstance(without, list) else without,
    }
    authorities = {"authorities": "\n".join(inline if isinstance(inline, list) else [str(inline)])} if inline else {}
    return {
        "registry": registry,
        "scopes": scopes,
        "cafile": cafile,
        # Only what these registries need.
        "keys": [(at, header) for at, header in keys if urlsplit(at).hostname in hosts],
        "proxies": {name: value for name, value in proxies.items() if isinstance(value, str) and value},
        **(authorities or _authorities(cafile)),
    }


def npm_settings(files: Iterable[Mapping[str, str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The registries of single scopes, and what opens which address, which npm itself does not print. Later files count."""
    scopes: dict[str, str] = {}
    said: dict[str, dict[str, str]] = {}
    for file in files:
        for name, value in file.items():
            if (scope := _SCOPE.match(name)) is not None and value.startswith(("http://", "https://")):
                scopes[scope[1]] = value
            elif (key := _KEY.match(name)) is not None:
                said.setdefault(key[1], {})[key[2]] = value
    return scopes, [(at, header) for at, fields in said.items() if (header := _npm_header(fields)) is not None]


def _npm_header(fields: Mapping[str, str]) -> str | None:
    if token := fields.get("_authToken"):
        return f"Bearer {token}"
    if both := fields.get("_auth"):
        return f"Basic {both}"
    if "username" in fields and "_password" in fields:
        try:
            password = base64.b64decode(fields["_password"]).decode()
        except ValueError:
            return None
        return _basic(f"{fields['username']}:{password}")
    return None


def _lines(place: object) -> dict[str, str]:
    """`name = value` a line, with `${VARIABLE}` filled in as npm does."""
    try:
        text = Path(str(place)).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    made: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith((";", "#")):
            plain = value.strip().strip("\"'")
            filled = re.sub(r"\$\{([A-Za-z0-9_]+)\??\}", lambda found: os.environ.get(found[1], ""), plain)
            made[name.strip()] = filled
    return made


# both


def _authorities(place: object) -> dict[str, Any]:
    """The certificates of a file, read here because only the operator may be able to."""
    if not isinstance(place, str) or not place:
        return {}
    try:
        text = Path(place).read_text("ascii", errors="replace")
    except OSError:
        text = ""
    # A file that says nothing must not come to mean whatever is trusted by default.
    return {"authorities": text} if "BEGIN" in text else {"authorities_unreadable": True}


def _basic(words: str) -> str:
    return f"Basic {base64.b64encode(words.encode()).decode()}"


def _asked(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    """The operator's, as it means the same in another folder."""
    return {
        name: str(Path(value).absolute()) if name.lower() in _PLACES and value and not value.startswith("~") else value
        for name, value in os.environ.items()
    }


if __name__ == "__main__":
    said = json.dumps(found()).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
        while said:
            said = said[os.write(1, said) :]
