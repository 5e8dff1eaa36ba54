"""Images of others: imported by digest, and then the root of boxes like any other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.sandbox.oci_archive import Archive, entry, folder, link, tar


def tiny() -> bytes:
    """A root with a shell of this host, and what that is linked to."""
    shell = Path(shutil.which("dash") or "/bin/sh").resolve()
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    libraries = {Path(found) for found in re.findall(r"(/\S+)", listed)}
    return tar(
        folder("bin"), entry("bin/dash", shell.read_bytes(), mode=0o755), link("bin/sh", "dash"),
        *(entry(str(path).lstrip("/"), path.resolve().read_bytes(), mode=0o755) for path in sorted(libraries)),
        entry("etc/motd", b"of a stranger\n"), link("tmp", "/etc"), link("etc/hosts", "/etc/motd"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def imported(yard: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    archive = tmp_path_factory.mktemp("oci") / "tiny.tar"
    digest = Archive(tiny(), packed="gzip").write(archive)
    unnamed = yard.bawn("images", "import", "tiny", str(archive))
    assert unnamed.code != 0
    assert digest in unnamed.err, "the refusal says which there are"
    yard.done("images", "import", "tiny", f"{archive}@{digest}")
    assert {"name": "tiny", "digest": digest}.items() <= next(
        each for each in yard.json("images", "list") if each["name"] == "tiny"
    ).items()
    yield "tiny"
    yard.done("images", "remove", "tiny")


def test_a_box_of_an_imported_image_has_its_files_and_the_doors(
    yard: Installation, imported: str, runtime: str
) -> None:
    box = yard.box(f"tiny-{runtime}", runtime, imported)
    try:
        said = box.sh(
            "read -r line < /etc/motd; echo $line; echo x > /tmp/x && echo wrote; cd /home/agent && echo home"
        )
        assert said.out.split("\n")[:3] == ["of a stranger", "wrote", "home"], said
        assert "ai.bawn.internal" in box.sh("while read -r line; do echo $line; done < /etc/hosts").out
        assert box.sh("echo spoiled > /etc/motd").code != 0
    finally:
        yard.done("containers", "delete", box.name)


def test_an_ordinary_user_imports_and_runs_images_as_well(
    own: Installation, runtime: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = own.place / "tiny.tar"
    digest = Archive(tiny()).write(archive)
    archive.chmod(0o644)
    own.done("images", "import", "tiny", f"{archive}@{digest}")
    said = own.bawn(
        "run", "--rm", "--runtime", runtime, "--image", "tiny", "--", "sh", "-c", "read -r x < /etc/motd; echo $x"
    )
    assert said.out.strip() == "of a stranger", said


def test_nothing_is_fetched_from_a_registry(yard: Installation) -> None:
    said = yard.bawn("images", "import", "far", "registry.invalid/library/tool:latest")
    assert said.code != 0
    assert "save the image to a file first" in " ".join(said.err.replace("│", " ").split())


def test_a_name_that_is_built_here_cannot_be_taken(yard: Installation, tmp_path: Path) -> None:
    digest = Archive(tar(entry("x"))).write(tmp_path / "x.tar")
    said = yard.bawn("images", "import", "agent", f"{tmp_path / 'x.tar'}@{digest}")
    assert said.code != 0
    assert "cannot be the name" in said.err
