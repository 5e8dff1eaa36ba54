"""`python -m bawn.sandbox.importing SOURCE DIGEST FOLDER`: an image of a stranger becomes `FOLDER/rootfs`.

A process of its own, with a limit on its memory, because everything that it reads was written by somebody else.
It prints what it does, a line each, and at the end one JSON object, or one with `fault` in it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from bawn.errors import Fault
from bawn.sandbox.layers import MAX_BYTES, Root
from bawn.sandbox.oci import ArchiveLayout, FolderLayout, Image, Layer, Layout, place, read, unfit
from bawn.sandbox.python import SYSTEM_PATH

_MEMORY_BYTES = 2 << 30
_PIECE = 1 << 20
_SPARE_BYTES = 1 << 30
"""What stays free on the disk."""
_AGENT = "agent:x:1000:1000::/home/agent:/bin/sh\n"


class _Hashed:
    """A stream that knows the digest of what was read, and how much there may be."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self._source = source
        self._left = limit
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size if size >= 0 else _PIECE)
        self._left -= len(data)
        if self._left < 0:
            raise unfit("a layer is larger than may be unpacked here")
        self._hash.update(data)
        return data

    def drained(self) -> str:
        """The digest, once everything is read."""
        while self.read(_PIECE):
            pass
        return f"sha256:{self._hash.hexdigest()}"


def main(source: str, digest: str, folder: str) -> int:
    os.umask(0o022)  # a box must see what it is given
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        said = _imported(source, digest, Path(folder))
    except Fault as fault:
        said = {"fault": fault.sentence, "remedy": fault.remedy, "code": fault.code}
    except (OSError, MemoryError) as error:
        said = {"fault": f"the image cannot be imported: {type(error).__name__}: {error!s:.200}", "remedy": ""}
    _say(json.dumps(said))
    return 1 if "fault" in said else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _imported(source: str, digest: str, folder: Path) -> dict[str, Any]:
    rootfs = folder / "rootfs"
    rootfs.mkdir(mode=0o755)
    with _layout(Path(source)) as layout:
        image = read(layout, digest)
        descriptor = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            spare = shutil.disk_usage(folder).free - _SPARE_BYTES
            root = Root(descriptor, spare)
            for number, layer in enumerate(image.layers, 1):
                _say(f"layer {number} of {len(image.layers)}: {layer.digest}")
                with _verified(layout, layer, folder) as blob:
                    _unpacked(blob, layer, root)
            return {"digest": image.digest, "notes": _furnished(root, image)}
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _layout(source: Path) -> Iterator[Layout]:
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fault("sandbox.invalid", f"{source} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") if stat.S_ISREG(os.fstat(descriptor).st_mode) else _closing(descriptor) as opened:
        if opened is not None:
            yield ArchiveLayout(opened)
        elif source.is_dir():
            yield FolderLayout(source)
        else:
            raise Fault("sandbox.invalid", f"{source} is neither an archive nor a folder")


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _verified(layout: Layout, layer: Layer, folder: Path) -> Iterator[IO[bytes]]:
    """A copy of a layer's bytes that nobody else can change, once they have the digest."""
    with tempfile.TemporaryFile(dir=folder) as kept, layout.file(place(layer.digest)) as opened:
        hashed = _Hashed(opened, min(MAX_BYTES, shutil.disk_usage(folder).free - _SPARE_BYTES))
        while data := hashed.read(_PIECE):
            kept.write(data)
        if hashed.drained() != layer.digest:
            raise unfit(f"what lies under {layer.digest} has another digest")
        kept.seek(0)
        yield kept


def _unpacked(blob: IO[bytes], layer: Layer, root: Root) -> None:
    if layer.packing == "zstd":
        program = shutil.which("zstd", path=SYSTEM_PATH)
        if program is None:
            raise Fault("sandbox.runtime_missing", "zstd is not installed, which unpacks a layer of this image")
        argv = [program, "--decompress", "--stdout", "--memory=256MB"]
        with subprocess.Popen(argv, stdin=blob, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            try:
                _read(process.stdout, layer, root)
            finally:
                process.kill() if process.poll() is None else None
    elif layer.packing == "gzip":
        try:
            with gzip.open(blob) as opened:
                _read(cast("IO[bytes]", opened), layer, root)
        except (gzip.BadGzipFile, EOFError) as error:
            raise unfit("a layer is not gzip as it says") from error
    else:
        _read(blob, layer, root)


def _read(opened: IO[bytes], layer: Layer, root: Root) -> None:
    hashed = _Hashed(opened, MAX_BYTES)
    root.unpack(cast("IO[bytes]", hashed))
    if hashed.drained() != layer.unpacked:
        raise unfit(f"a layer unpacks to something else than {layer.unpacked}")


def _furnished(root: Root, image: Image) -> list[str]:
    """What a box needs of its root, and what is worth knowing about this one."""
    if root.is_link("etc"):
        raise unfit("its /etc is a link")
    for place_, mode in (
        ("workspace", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777),
        ("var/tmp", 0o1777), ("home/agent", 0o755), ("etc", 0o755),
    ):  # fmt: skip
        root.folder(place_, mode)
    for name in ("resolv.conf", "hostname", "hosts"):
        root.write(f"etc/{name}", b"")
    root.write("etc/nsswitch.conf", b"", fresh=False)
    users, groups = (
        root.read("etc/passwd").decode("utf-8", "replace"),
        root.read("etc/group").decode("utf-8", "replace"),
    )
    if not any(line.split(":")[2:3] == ["1000"] for line in users.splitlines()):
        root.write("etc/passwd", (_ended(users) + _AGENT).encode())
    if not any(line.split(":")[2:3] == ["1000"] for line in groups.splitlines()):
        root.write("etc/group", (_ended(groups) + "agent:x:1000:\n").encode())
    notes = []
    if not root.runs("bin/sh"):
        notes.append("it has no /bin/sh: commands in it have to be programs, and the agents' settings are not written")
    if root.left_out:
        notes.append(f"{root.left_out} devices, pipes or sockets were left out")
    if not any(root.read(path, 1) for path in ("etc/ssl/certs/ca-certificates.crt", "etc/ssl/cert.pem")):
        notes.append("it has no certificate authorities: HTTPS by the egress door needs them")
    return notes


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:4]))
