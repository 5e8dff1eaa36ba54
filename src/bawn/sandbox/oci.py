"""An OCI image layout (image-spec 1.1) as an archive or a folder, read by digest.

A name in a layout is somebody's claim; a digest is not. So nothing is taken from a layout but what has been asked
for by its sha256, and its bytes count only after they were found to have it. What says which image is meant is
the operator's digest: of a manifest, or of an index that has one for this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from bawn.errors import Fault

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
MAX_DOCUMENT = 4 << 20
MAX_MEMBERS = 100_000
MAX_LAYERS = 256

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_PACKINGS = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class Layer:
    digest: str
    """Of the bytes as they lie in the layout."""
    packing: str
    """Empty, gzip or zstd."""
    unpacked: str
    """The digest of the tar archive in it."""


@dataclass(frozen=True, slots=True)
class Image:
    digest: str
    """Of the manifest."""
    layers: tuple[Layer, ...]


class Layout(Protocol):
    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """A file by its path in the layout. Fault when there is none."""


class FolderLayout:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise unfit(f"{name} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as opened:
            yield opened


class ArchiveLayout:
    """A layout in one uncompressed tar archive, as podman, skopeo and docker write it."""

    def __init__(self, archive: IO[bytes]) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            self._tar = tarfile.TarFile(fileobj=archive, mode="r")
            for count, member in enumerate(self._tar):
                if count >= MAX_MEMBERS:
                    raise unfit(f"it has over {MAX_MEMBERS} files")
                name = member.name.removeprefix("./")
                if member.isreg() and member.type != tarfile.GNUTYPE_SPARSE:
                    if name in self._members:
                        raise unfit(f"the file {name[:100]!r} is in it twice")
                    self._members[name] = member
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise unfit("it is not an uncompressed tar archive") from error

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        member = self._members.get(name)
        opened = self._tar.extractfile(member) if member is not None else None
        if opened is None:
            raise unfit(f"it has no {name}")
        with opened:
            yield opened


def read(layout: Layout, digest: str) -> Image:
    """The image of that digest. Fault `sandbox.invalid` when there is none, or none for this machine."""
    with layout.file("index.json") as opened:
        index = _object(opened.read(MAX_DOCUMENT + 1), "index.json")
    offered = _manifests(index)
    chosen = next((each for each in offered if each["digest"] == digest), None)
    if chosen is None:
        # An index may stand within the index: of an image that exists for several machines.
        nested = (inner for each in offered if each.get("mediaType") in _INDEXES for inner in _within(layout, each))
        chosen = next((each for each in nested if each["digest"] == digest), None)
    if chosen is None:
        raise unfit(_which(digest, offered))
    if chosen.get("mediaType") in _INDEXES:
        chosen = _for_this_machine(_within(layout, chosen))
    return _image(layout, chosen["digest"])


def _which(digest: str, offered: list[dict[str, Any]]) -> str:
    digests = ", ".join(each["digest"] for each in offered[:5]) or "none"
    if not digest:
        return f"say which image is meant by its digest; it has {digests}"
    return f"it has no image {digest}; it has {digests}"


def blob(layout: Layout, digest: str) -> bytes:
    """A document by its digest."""
    with layout.file(place(digest)) as opened:
        data = opened.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise unfit(f"the document {digest} is over {MAX_DOCUMENT} bytes")
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise unfit(f"what lies under {digest} has another digest")
    return data


def place(digest: str) -> str:
    """Where in a layout the bytes of that digest lie."""
    if not DIGEST.match(digest):
        raise unfit(f"{digest[:100]!r} is not a sha256 digest")
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _within(layout: Layout, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _manifests(_object(blob(layout, entry["digest"]), "an index"))


def _manifests(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = index.get("manifests")
    if not isinstance(found, list) or not all(
        isinstance(each, dict) and isinstance(each.get("digest"), str) and DIGEST.match(each["digest"])
        for each in found
    ):
        raise unfit("its index does not list manifests by sha256")
    return found


def _for_this_machine(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    for each in manifests:
        said = each.get("platform")
        if isinstance(said, dict) and said.get("os") == "linux" and said.get("architecture") == _architecture():
            return each
    raise unfit(f"it has no image for linux on {_architecture()}")


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _image(layout: Layout, digest: str) -> Image:
    manifest = _object(blob(layout, digest), "the manifest")
    if manifest.get("mediaType", _MANIFESTS[0]) not in _MANIFESTS or "manifests" in manifest:
        # A document that could be read as an index and as a manifest is neither (CVE-2021-41190).
        raise unfit("what the digest names is not the manifest of an image")
    config = _object(blob(layout, _text(manifest.get("config"), "digest")), "the configuration")
    if config.get("os") != "linux" or config.get("architecture") != _architecture():
        raise unfit(f"it is for {config.get('os')!s:.20} on {config.get('architecture')!s:.20}, not for this machine")
    rootfs = config.get("rootfs")
    unpacked = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not isinstance(unpacked, list) or len(layers) != len(unpacked):
        raise unfit("its manifest and its configuration name different layers")
    if not 0 < len(layers) <= MAX_LAYERS:
        raise unfit(f"it has {len(layers)} layers, and 1 to {MAX_LAYERS} are taken")
    return Image(digest, tuple(_layer(each, tar) for each, tar in zip(layers, unpacked, strict=True)))


def _layer(said: object, unpacked: object) -> Layer:
    digest, kind = _text(said, "digest"), _text(said, "mediaType")
    if kind not in _PACKINGS:
        raise unfit(f"a layer is of the kind {kind[:80]!r}, which is not taken")
    if not DIGEST.match(digest) or not isinstance(unpacked, str) or not DIGEST.match(unpacked):
        raise unfit("a layer is not named by sha256")
    return Layer(digest, _PACKINGS[kind], unpacked)


def _text(said: object, key: str) -> str:
    value = said.get(key) if isinstance(said, dict) else None
    if not isinstance(value, str):
        raise unfit(f"it lacks a {key}")
    return value


def _object(data: bytes, what: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    if len(data) > MAX_DOCUMENT:
        raise unfit(f"{what} is over {MAX_DOCUMENT} bytes")
    try:
        value = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise unfit(f"{what} is not plain JSON") from error
    if not isinstance(value, dict):
        raise unfit(f"{what} is not an object")
    return value


def unfit(why: str) -> Fault:
    return Fault(
        "sandbox.invalid",
        f"the image cannot be imported: {why}",
        remedy="Make the archive anew, e.g. with `podman save --format oci-archive` or `skopeo copy`.",
    )
