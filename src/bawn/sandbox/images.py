"""Images: folders that a box sees as its root, read-only, made from Debian packages by a recipe.

`mmdebstrap` takes packages from wherever the host's own apt takes them; the npm and PyPI parts are fetched by
those clients *on the host*, as they are configured there, with no install script run. An image is built
beside the old one and takes its place at the end, whole; the old one lies aside as long as a box has it as its root.
`host` is no folder: a box is then shown the host's own /usr.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bawn.errors import Fault, quoted
from bawn.sandbox import mount_points, python
from bawn.sandbox.recipes import RECIPES, Recipe
from bawn.sandbox.spec import IMAGE, RUNTIMES

HOST = "host"
"""No folder of ours but the host's own /usr."""

Progress = Callable[[str], None]


class Images:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = folder / ".leases"
        self._lock = threading.Lock()
        self.live: Callable[[], Collection[str]] = lambda: ()
        """The uuids of all boxes that have a root now. Whoever keeps them says so."""

    def rootfs(self, name: str) -> Path:
        path = self._folder / name / "rootfs"
        if not IMAGE.match(name) or not path.is_dir():
            raise Fault("sandbox.image_missing", f"there is no image {quoted(name)}")
        return path

    def lent(self, name: str, uuid: str, own: Iterable[str] = ()) -> Path:
        """The image as the root of a box: it stays as it is until the box is gone, whatever becomes of the name. `own` are
        the paths of the box's own files, for which it has places then."""
        with self._lock:
            path = self.rootfs(name)
            mount_points.make(path, own)
            self._leases.mkdir(mode=0o700, exist_ok=True)
            (self._leases / uuid).write_text(self._build_of(self._folder / name), encoding="utf-8")
        return path

    def sweep(self) -> None:
        """Clears away replaced and removed images that are no living box's root."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            live, used = set(self.live()), set()
            self._leases.mkdir(mode=0o700, exist_ok=True)
            for lease in self._leases.iterdir():
                if lease.name in live:
                    used.add(lease.read_text(encoding="utf-8"))
                else:
                    lease.unlink(missing_ok=True)
            for place in self._folder.glob(".old-*"):
                if self._build_of(place) not in used:
                    self._discard(place)

    def _build_of(self, place: Path) -> str:
        """By which one build of an image is told from the next."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            said = json.loads((place / "image.json").read_text(encoding="utf-8"))
            return str(said.get("build") or said.get("created"))
        return place.name

    def _set_aside(self, name: str) -> None:
        place = self._folder / name
        with contextlib.suppress(FileNotFoundError):
            place.rename(self._folder / f".old-{name}-{secrets.token_hex(8)}")

    def buildable(self) -> tuple[str, ...]:
        return tuple(RECIPES)

    def all(self) -> list[dict[str, object]]:
        runtimes = list(RUNTIMES)
        listed: list[dict[str, object]] = [{"name": HOST, "runtimes": runtimes, "created": None, "size_bytes": None}]
        with contextlib.suppress(FileNotFoundError):
            for place in sorted(self._folder.iterdir()):
                if IMAGE.match(place.name) and (place / "rootfs").is_dir():
                    said = self._described(place.name)
                    listed.append(
                        {
                            "name": place.name,
                            "runtimes": runtimes,
                            "created": said.get("created"),
                            "size_bytes": said.get("size_bytes"),
                            "digest": said.get("digest"),
                        }
                    )
        return listed

    def remove(self, name: str) -> None:
        self.rootfs(name)
        self._set_aside(name)
        self.sweep()

    def build(self, name: str, progress: Progress) -> dict[str, object]:
        """Makes or renews the image; every step tells its progress."""
        recipe = RECIPES.get(name)
        if recipe is None:
            raise Fault("sandbox.image_missing", f"there is no recipe {quoted(name)}")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".building-", dir=self._folder))
        try:
            self._bootstrap(recipe, fresh / "rootfs", progress)
            self._add_npm(recipe, fresh, progress)
            self._add_python(recipe, fresh, progress)
            return self.install(name, fresh, progress)
        finally:
            self._discard(fresh)

    def bring(self, name: str, source: Path, digest: str, progress: Progress) -> dict[str, object]:
        """Makes an image of an OCI archive or layout, by the digest of what is in it."""
        if not IMAGE.match(name) or name == HOST or name in RECIPES:
            raise Fault(
                "sandbox.invalid",
                f"{quoted(name)} cannot be the name of an imported image",
                remedy="Take small letters, digits and hyphens, at most 32, and no name of an image that is built.",
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".building-", dir=self._folder))
        try:
            said = imported(source, digest, fresh, progress)
            for note in said.get("notes", ()):
                progress(f"note: {note}")
            return self.install(name, fresh, progress, digest=said["digest"])
        finally:
            self._discard(fresh)

    def install(self, name: str, fresh: Path, progress: Progress, **further: object) -> dict[str, object]:
        """Puts `fresh` (with `rootfs` in it) in the place of the image `name`."""
        described: dict[str, object] = {
            "name": name,
            "build": secrets.token_hex(8),
            "created": int(time.time()),
            "size_bytes": _size(fresh / "rootfs"),
            **further,
        }
        (fresh / "image.json").write_text(json.dumps(described), encoding="utf-8")
        fresh.chmod(0o755)
        with self._lock:
            self._set_aside(name)
            fresh.rename(self._folder / name)
        self.sweep()
        progress(f"image {name} is ready")
        return described

    def _described(self, name: str) -> dict[str, object]:
        self.rootfs(name)
        try:
            said = json.loads((self._folder / name / "image.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _bootstrap(self, recipe: Recipe, rootfs: Path, progress: Progress) -> None:
        program = shutil.which("mmdebstrap", path=python.SYSTEM_PATH)
        if program is None:
            raise Fault("sandbox.runtime_missing", "mmdebstrap is not installed, which builds images")
        progress(f"Debian packages: {' '.join(recipe.packages)}")
        hooks = [f"--customize-hook={line}" for line in recipe.customize]
        # As an ordinary user the files must belong to that user alone: there is no range of uids to give them to.
        mode = "root" if os.geteuid() == 0 else "unshare" if _has_subuids() else "fakechroot"
        argv = [
            program, f"--mode={mode}", "--variant=minbase", f"--include={','.join(recipe.packages)}",
            "--aptopt=APT::Install-Recommends false", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--skip=output/dev", *hooks, _suite(), str(rootfs if mode != "unshare" else rootfs.with_suffix(".tar")),
        ]  # fmt: skip
        if mode == "root":
            # It mounts /proc and /sys in the new root. A build that is interrupted must not leave them there, where
            # clearing away the half-made image would reach the host's.
            argv = ["unshare", "--mount", "--propagation", "private", "--", *argv]
        listed = _sources(rootfs.parent)
        _run([*argv, *map(str, listed)], progress)
        for path in listed:
            path.unlink()
        if mode == "unshare":
            rootfs.mkdir()
            _run(
                [
                    "tar",
                    "--extract",
                    f"--directory={rootfs}",
                    f"--file={rootfs}.tar",
                    "--no-same-owner",
                    "--exclude=./dev/*",
                ],
                progress,
            )
            rootfs.with_suffix(".tar").unlink()

    def _add_npm(self, recipe: Recipe, fresh: Path, progress: Progress) -> None:
        if not recipe.npm:
            return
        npm = shutil.which("npm", path=python.SYSTEM_PATH)
        if npm is None:
            progress(f"left out, because npm is not installed here: {' '.join(recipe.npm)}")
            return
        progress(f"npm packages: {' '.join(recipe.npm)}")
        prefix = fresh / "rootfs/opt/npm"
        prefix.mkdir(parents=True)
        # No scripts of strangers on the host: what a package's postinstall would do, `links` does.
        argv = [
            npm,
            "install",
            "--ignore-scripts",
            "--fetch-retries=1",
            "--no-audit",
            "--no-fund",
            "--no-save",
            *recipe.npm,
        ]
        # In the folder, not by --prefix, which would also move npm's own settings (registry, authorities) out of sight.
        (prefix / "package.json").write_text("{}")
        _run(argv, progress, home=True, cwd=prefix)
        for name, target in recipe.links.items():
            found = next(iter(sorted(fresh.glob(f"rootfs/opt/npm/{target}"))), None)
            if found is None:
                raise Fault("sandbox.start_failed", f"the npm packages do not hold {target}")
            link = fresh / "rootfs/usr/local/bin" / name
            link.unlink(missing_ok=True)
            link.symlink_to("/" + str(found.relative_to(fresh / "rootfs")))
            found.chmod(0o755)
        _open_to_all(prefix)

    def _add_python(self, recipe: Recipe, fresh: Path, progress: Progress) -> None:
        if not recipe.python:
            return
        progress(f"Python packages: {' '.join(recipe.python)}")
        target = fresh / "rootfs/opt/sdks"
        argv = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
            "--no-compile",
            "--target",
            str(target),
        ]
        if _quietly([sys.executable, "-m", "pip", "--version"]) != 0:
            argv[:3] = ["/usr/bin/python3", "-m", "pip"]
        _run([*argv, *recipe.python], progress, home=True)
        _open_to_all(target)

    @staticmethod
    def _discard(path: Path) -> None:
        """Clear a folder away, but never through a mount that somebody left in it."""
        beneath = f"{path.resolve()}/"
        if any(line.split()[4].startswith(beneath) for line in Path("/proc/self/mountinfo").read_text().splitlines()):
            raise Fault("sandbox.start_failed", f"something is mounted beneath {path}", remedy="Unmount it first.")
        shutil.rmtree(path, ignore_errors=True)


_FETCHING = frozenset(
    ("node_extra_ca_certs", "ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle", "curl_ca_bundle",
     "http_proxy", "https_proxy", "no_proxy")
)  # fmt: skip
"""How this host reaches a registry: its authorities and proxies. For the build alone, never for a container."""


def _run(argv: Sequence[str], progress: Progress, *, home: bool = False, cwd: Path = Path("/")) -> None:
    """Runs a program and tells its lines. npm and pip fetch as the person has set them up: `home`."""
    env = python.environment()
    del env["PYTHONPATH"]
    if home:
        env["HOME"] = str(Path.home())
        env |= {
            name: value
            for name, value in os.environ.items()
            if name.lower().startswith(("npm_config_", "pip_")) or name.lower() in _FETCHING
        }
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        cwd=cwd,
    ) as process:
        last = ""
        for line in process.stdout or ():
            if line.strip():
                last = line.strip()
                progress(last)
    if process.returncode != 0:
        raise Fault("sandbox.start_failed", f"{Path(argv[0]).name} failed while the image was built", cause=last[:300])


def imported(source: Path, digest: str, folder: Path, progress: Progress) -> dict[str, Any]:
    """What the program says that unpacks an image into `folder`; its Fault when it could not."""
    argv = [*python.interpreter(), "-m", "bawn.sandbox.importing", str(source), digest, str(folder)]
    last = ""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=python.environment(), cwd="/"
    ) as process:
        for line in process.stdout or ():
            if last:
                progress(last)
            last = line.strip()
    try:
        said = json.loads(last)
        if process.returncode == 0:
            return {"digest": str(said["digest"]), "notes": [str(note) for note in said["notes"]]}
        raise Fault(str(said.get("code", "sandbox.start_failed")), str(said["fault"]), remedy=said["remedy"] or None)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault("sandbox.start_failed", "the image cannot be imported: the program that unpacks it ended") from None


def _quietly(argv: Sequence[str]) -> int:
    return subprocess.run(argv, capture_output=True, env=python.environment(), check=False).returncode


def _sources(folder: Path, apt: Path = Path("/etc/apt")) -> list[Path]:
    """The host's own apt sources, so that an image comes from where the host's packages come: at most one file of each
    of the two forms, by whose ending mmdebstrap tells them apart."""
    lines: list[str] = []
    stanzas: list[str] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        with contextlib.suppress(OSError):
            if path.suffix == ".list":
                text = path.read_text(encoding="utf-8")
                lines += [line for line in text.splitlines() if line.strip().startswith("deb ")]
            elif path.suffix == ".sources":
                stanzas.append(path.read_text(encoding="utf-8").strip())
    written: list[Path] = []
    for name, text in (("host.list", "\n".join(lines)), ("host.sources", "\n\n".join(stanzas))):
        if text:
            written.append(folder / name)
            written[-1].write_text(f"{text}\n", encoding="utf-8")
    return written


def _suite() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return "stable"


def _has_subuids() -> bool:
    with contextlib.suppress(OSError, KeyError):
        user = Path.home().owner()
        return any(line.startswith(f"{user}:") for line in Path("/etc/subuid").read_text(encoding="utf-8").splitlines())
    return False


def _open_to_all(folder: Path) -> None:
    """What the supervisor's umask made private must be readable by the agent."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
