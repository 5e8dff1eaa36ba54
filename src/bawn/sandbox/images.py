"""Images: folders that a box sees as its root, read-only, made from Debian packages by a recipe.

`mmdebstrap` takes packages from wherever the host's own apt takes them; the npm and PyPI parts are fetched by
those clients *on the host*, as they are configured there, with no install script run. An image is built
beside the old one and takes its place at the end, whole. `host` is no folder: bubblewrap then shows the host's own /usr.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.sandbox import python
from bawn.sandbox.recipes import RECIPES, Recipe
from bawn.sandbox.spec import IMAGE

HOST = "host"
"""No folder of ours but the host's own /usr (bubblewrap only)."""

Progress = Callable[[str], None]


class Images:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rootfs(self, name: str) -> Path:
        path = self._folder / name / "rootfs"
        if not IMAGE.match(name) or not path.is_dir():
            raise Fault("sandbox.image_missing", f"there is no image {quoted(name)}")
        return path

    def podman_id(self, name: str) -> str:
        """The image in podman's store, by the id of its content, so that a name moved elsewhere changes nothing."""
        if name == HOST:
            raise Fault("sandbox.invalid", "the image 'host' is for bubblewrap only")
        found = self._described(name).get("podman")
        if not isinstance(found, str):
            raise Fault("sandbox.image_missing", f"podman has no image {quoted(name)}")
        return found

    def buildable(self) -> tuple[str, ...]:
        return tuple(RECIPES)

    def all(self) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = [
            {"name": HOST, "runtimes": ["bubblewrap"], "created": None, "size_bytes": None}
        ]
        with contextlib.suppress(FileNotFoundError):
            for place in sorted(self._folder.iterdir()):
                if IMAGE.match(place.name) and (place / "rootfs").is_dir():
                    said = self._described(place.name)
                    runtimes = ["bubblewrap", *(["podman"] if said.get("podman") else [])]
                    listed.append(
                        {
                            "name": place.name,
                            "runtimes": runtimes,
                            "created": said.get("created"),
                            "size_bytes": said.get("size_bytes"),
                        }
                    )
        return listed

    def remove(self, name: str) -> None:
        self.rootfs(name)
        imported = self._described(name).get("podman")
        podman = shutil.which("podman", path=python.SYSTEM_PATH)
        if isinstance(imported, str) and podman and os.geteuid() == 0:
            subprocess.run([podman, "rmi", "--", imported], capture_output=True, env=python.environment(), check=False)
        self._discard(self._folder / name)

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

    def install(self, name: str, fresh: Path, progress: Progress) -> dict[str, object]:
        """Puts `fresh` (with `rootfs` in it) in the place of the image `name`."""
        described: dict[str, object] = {
            "name": name,
            "created": int(time.time()),
            "size_bytes": _size(fresh / "rootfs"),
        }
        podman = shutil.which("podman", path=python.SYSTEM_PATH)
        if podman is not None and os.geteuid() == 0:
            described["podman"] = self._import(podman, name, fresh, progress)
        (fresh / "image.json").write_text(json.dumps(described), encoding="utf-8")
        fresh.chmod(0o755)
        place, old = self._folder / name, self._folder / f".old-{name}-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            place.rename(old)
        fresh.rename(place)
        self._discard(old)
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
        sources = _sources()
        with tempfile.NamedTemporaryFile("w", suffix=".list", dir=rootfs.parent, encoding="utf-8") as listed:
            if sources:
                listed.write(sources)
                listed.flush()
                argv.append(listed.name)
            _run(argv, progress)
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

    def _import(self, podman: str, name: str, fresh: Path, progress: Progress) -> str:
        progress("podman import")
        archive = fresh / "image.tar"
        try:
            _run(
                ["tar", "--create", f"--file={archive}", f"--directory={fresh / 'rootfs'}", "--numeric-owner", "."],
                progress,
            )
            done = subprocess.run(
                [podman, "import", "--quiet", str(archive), f"localhost/bawn/{name}:latest"],
                capture_output=True, text=True, env=python.environment(), check=False,
            )  # fmt: skip
        finally:
            archive.unlink(missing_ok=True)
        if done.returncode != 0:
            raise Fault("sandbox.start_failed", "podman could not import the image", cause=done.stderr.strip()[-300:])
        return done.stdout.strip().splitlines()[-1].removeprefix("sha256:")

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


def _quietly(argv: Sequence[str]) -> int:
    return subprocess.run(argv, capture_output=True, env=python.environment(), check=False).returncode


def _sources() -> str:
    """The host's own apt sources in one-line form, so that an image comes from where the host's packages come."""
    lines: list[str] = []
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))):
        with contextlib.suppress(OSError):
            lines += [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip().startswith("deb ")]
    return "".join(f"{line}\n" for line in lines)


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
