"""Installs what a project's lock file names, in a box that has a network and sees nothing but the folder it fills.

pip asks the registries that this host's own pip is configured for; the hashes of the lock file say what is taken. Only wheels
are, so that nothing of a package runs. A new folder takes the place of the old when it is whole: workers that run keep what they
have, the next start has the new.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from bawn.errors import Fault
from bawn.sandbox import python, working
from bawn.sandbox.cgroup import Cgroups, own_name
from bawn.sandbox.executing import memory_file
from bawn.sandbox.locked import SIZE_LIMIT, Locked, read
from bawn.sandbox.spec import Limits
from bawn.sandbox.working import Shown
from bawn.supervisor.boxed import Box, launched
from bawn.supervisor.users import User

TIMEOUT_S = 900.0
SCRATCH_BYTES = 1 << 30
SLOT = working.COUNT_LIMIT
"""Of the workers' uids; only one installs at a time."""
LIMITS = Limits(pids=64, memory_bytes=2 << 30, cpus=2.0)
_NAMES = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf")
_SAID = 2000


class Modules:
    """`registries` says what this host's clients are configured to use (`sandbox/registries.py`)."""

    def __init__(
        self,
        home: Path,
        cgroups: Cgroups,
        registries: Callable[[], bytes],
        *,
        gateway: User | None,
        owner: User | None,
        rootless: bool,
    ) -> None:
        self._home = home
        self._cgroups = cgroups
        self._registries = registries
        self._gateway = gateway
        self._owner = owner
        self._rootless = rootless
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def install_slowly(self, program: str, project: str) -> dict[str, object]:
        """In a thread: what was installed, as `name==version`. Faults `script.modules`."""
        wanted = read(self._lock(project))
        folder = self._home / "workers" / "modules"
        folder.mkdir(mode=0o700, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            if self._owner is not None:
                os.chown(made, self._owner.uid, self._owner.gid)
            if wanted:
                self._fill(program, made, wanted)
            self._put(made, folder / project)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return {"modules": [f"{each.name}=={each.version}" for each in wanted]}

    def close(self) -> None:
        """The supervisor ends: whoever installs is stopped, or does not begin."""
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def _lock(self, project: str) -> str:
        whose = os.geteuid() if self._gateway is None else self._gateway.uid
        folder = working.opened(self._home, "scripts", project, owner=whose)
        try:
            fd = os.open("requirements.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise Fault("script.modules", "requirements.lock is no file that can be read", cause=str(error)) from None
        finally:
            os.close(folder)
        with os.fdopen(fd, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise Fault("script.modules", f"requirements.lock is longer than {SIZE_LIMIT} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Fault("script.modules", "requirements.lock is not UTF-8") from None

    def _fill(self, program: str, made: Path, wanted: list[Locked]) -> None:
        said: dict[str, Any] = json.loads(self._registries() or b"{}").get("pip") or {}
        if not said:
            raise Fault(
                "script.modules", "pip is not installed on this host, or does not say what it is configured for"
            )
        told = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, with the process
        lock = memory_file("".join(f"{each.line}\n" for each in wanted))
        authorities = memory_file(str(said.get("authorities", ""))) if said.get("authorities") else None
        options = ["--share-net", "--ro-bind-data", str(lock), "/requirements.lock"]
        if authorities is not None:
            options += [
                "--ro-bind-data",
                str(authorities),
                "/authorities.pem",
                "--setenv",
                "PIP_CERT",
                "/authorities.pem",
            ]
        for name in _NAMES:
            options += ["--ro-bind", name, name] if Path(name).exists() else []
        shown = [Shown("/modules", os.open(made, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), writable=True)]
        environment, folders = configured(said)
        for number, path in enumerate(folders):
            shown.append(Shown(f"/folders/{number}", os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)))
        for name, value in environment.items():
            options += ["--setenv", name, value]
        box = Box(program, "modules", shown, None if self._rootless else SLOT, SCRATCH_BYTES, options)
        command = [
            *python.interpreter(),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]
        command += ["--no-cache-dir", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile"]
        command += ["--target", "/modules", "--requirement", "/requirements.lock"]
        fds = [lock, *([] if authorities is None else [authorities])]
        group = own_name(self._home, "script.modules")
        try:
            self._cgroups.make(group, LIMITS)
            with self._cgroups.doors(group) as groups:
                self._process = launched(box, command, fds, groups, told.fileno())
            if self._closed:
                self._process.kill()
            code = self._process.wait(TIMEOUT_S)
            told.seek(max(0, told.seek(0, os.SEEK_END) - _SAID))
            words = told.read().decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            raise Fault("script.modules", f"pip took longer than {TIMEOUT_S:g} s") from None
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None
            self._cgroups.remove(group)
            told.close()
            for fd in (*fds, *(each.descriptor for each in shown)):
                os.close(fd)
        if code != 0:
            raise Fault("script.modules", "pip could not install what requirements.lock names", cause=words)

    def _put(self, made: Path, place: Path) -> None:
        # The one before is kept until the next time: workers that run import from it still.
        # Exactly its own: what `mkdtemp` adds has no hyphen, so `a` is never taken for the beginning of `a-b`.
        for old in [each for each in place.parent.iterdir() if each.name.rpartition("-")[0] == f".old-{place.name}"]:
            shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(place.with_name(f".old-{place.name}-{made.name.removeprefix('.new-')}"))
        made.rename(place)


def configured(said: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """pip's environment for what this host's pip is configured to use, and the local folders among it."""
    keys = [(str(at), str(header)) for at, header in said.get("keys") or ()]
    places: list[str] = []
    folders: list[str] = []
    for each in said.get("find_links") or ():
        path = str(each).removeprefix("file://")
        if path.startswith("/"):
            places.append(f"/folders/{len(folders)}")
            folders.append(path)
        else:
            places.append(_opened(str(each), keys))
    made = {"PIP_CONFIG_FILE": os.devnull}
    if said.get("index"):
        made["PIP_INDEX_URL"] = _opened(str(said["index"]), keys)
        made["PIP_EXTRA_INDEX_URL"] = " ".join(_opened(str(each), keys) for each in said.get("extra") or ())
    else:
        made["PIP_NO_INDEX"] = "1"
    if places:
        made["PIP_FIND_LINKS"] = " ".join(places)
    made |= {str(name): str(value) for name, value in (said.get("proxies") or {}).items()}
    return {name: value for name, value in made.items() if value}, folders


def _opened(url: str, keys: list[tuple[str, str]]) -> str:
    """The address with the password that `~/.netrc` has for it, if any."""
    parts = urlsplit(url)
    header = next((header for at, header in keys if at == f"//{parts.netloc}/" and header.startswith("Basic ")), "")
    if not header:
        return url
    name, _, word = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    return urlunsplit(parts._replace(netloc=f"{quote(name, safe='')}:{quote(word, safe='')}@{parts.netloc}"))
