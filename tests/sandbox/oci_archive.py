"""OCI archives as a test wants them, sound ones and others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
LAYER = "application/vnd.oci.image.layer.v1.tar"


def entry(name: str, data: bytes = b"", *, mode: int = 0o644, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode, info.size = mode, len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, mode=mode, type=tarfile.DIRTYPE)


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Archive:
    """An image of these layers. `change` may spoil the blobs and documents before they are written."""

    def __init__(self, *layers: bytes, packed: str = "", config: Mapping[str, Any] | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        described = []
        for layer in layers:
            data = gzip.compress(layer) if packed == "gzip" else layer
            kind = f"{LAYER}+{packed}" if packed else LAYER
            described.append({"mediaType": kind, "digest": self.put(data), "size": len(data)})
        said = {
            "os": "linux",
            "architecture": MACHINE,
            "config": {"Env": ["PATH=/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            **(config or {}),
        }
        self.manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "config": {"digest": self.put(json.dumps(said).encode())},
            "layers": described,
        }

    def put(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)

    def write(self, path: Path, change: Callable[[dict[str, bytes]], None] | None = None) -> str:
        """Writes the archive; the digest of its manifest."""
        named = self.put(json.dumps(self.manifest).encode())
        files = {f"blobs/sha256/{key.removeprefix('sha256:')}": data for key, data in self.blobs.items()}
        index = {"schemaVersion": 2, "manifests": [{"digest": named, "mediaType": "x"}]}
        files |= {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
        if change is not None:
            change(files)
        path.write_bytes(tar(*(entry(name, data) for name, data in files.items())))
        return named
