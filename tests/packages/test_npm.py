"""What npm sees and gets."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import httpx
import pytest
from tests.packages.conftest import OLD, ONE, Shop, tarball

NOW = "2999-01-01T00:00:00Z"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


async def npm(shop: Shop, folder: Path, *words: str) -> tuple[int, str]:
    """The real npm, which knows nothing but the mirror."""
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}') if not (
        folder / "package.json"
    ).exists() else None
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "npm_config_registry": f"{shop.url()}/npm/",
        "npm_config_ignore_scripts": "true", "npm_config_update_notifier": "false", "npm_config_audit": "false",
        "npm_config_cache": str(folder / ".cache"),
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run,
        ["npm", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=90,
    )
    return done.returncode, done.stdout + done.stderr


async def get(shop: Shop, path: str, accept: str = "") -> httpx.Response:
    async with httpx.AsyncClient(base_url=shop.url(), trust_env=False) as client:
        return await client.get(path, headers={"accept": accept} if accept else {})


@needs_npm
async def test_npm_installs_by_the_mirror_and_again_from_its_lock_file(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD))
    shop.package("@scope/other", ("2.0.0", OLD))
    code, said = await npm(shop, tmp_path / "work", "install", "tool", "@scope/other")
    assert code == 0, said
    assert (tmp_path / "work/node_modules/@scope/other/index.js").exists()
    shutil.rmtree(tmp_path / "work/node_modules")
    code, said = await npm(shop, tmp_path / "work", "ci")
    assert code == 0, said
    assert {each.package for each in shop.served} == {"tool", "@scope/other"}


@needs_npm
async def test_a_young_version_is_not_latest(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD), ("1.9.0", OLD), ("1.10.0", OLD), ("2.0.0-rc.1", OLD), ("3.0.0", NOW))
    document = (await get(shop, "/npm/tool")).json()
    assert document["dist-tags"] == {"latest": "1.10.0"}
    assert "3.0.0" not in document["versions"]
    assert (await npm(shop, tmp_path / "work", "install", "tool@3.0.0"))[0] != 0
    code, said = await npm(shop, tmp_path / "work", "install", "tool")
    assert code == 0, said
    assert (await get(shop, "/npm/tool/-/tool-3.0.0.tgz")).headers["x-bawn-reason"] == "packages.young"


@needs_npm
async def test_a_refusal_is_read_in_what_npm_prints(shop: Shop, tmp_path: Path) -> None:
    code, said = await npm(shop, tmp_path / "work", "install", "tool")
    assert code != 0
    assert "may not install packages with npm" in said


@needs_npm
async def test_install_scripts_do_not_run(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    scripts = {"scripts": {"postinstall": f"touch {tmp_path / 'ran'}"}}
    shop.package("tool", ("1.0.0", OLD), data={"1.0.0": tarball("tool", "1.0.0", scripts)}, **scripts)
    assert (await npm(shop, tmp_path / "work", "install", "tool"))[0] == 0
    assert not (tmp_path / "ran").exists()
    short = (await get(shop, "/npm/tool", "application/vnd.npm.install-v1+json")).json()
    assert short["versions"]["1.0.0"]["hasInstallScript"] is True
    assert "scripts" not in short["versions"]["1.0.0"]


async def test_tarballs_come_from_the_mirror_alone(shop: Shop) -> None:
    shop.allow()
    shop.package("@scope/tool", ("1.0.0", OLD))
    for accept in ("application/json", "application/vnd.npm.install-v1+json"):
        text = (await get(shop, "/npm/@scope%2ftool", accept)).text
        assert shop.registry.url not in text
        link = json.loads(text)["versions"]["1.0.0"]["dist"]["tarball"]
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(link)).status_code == 200


async def test_a_version_without_a_hash_is_not_there(shop: Shop) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD))
    document = json.loads(shop.registry.pages["/tool"])
    del document["versions"]["1.0.0"]["dist"]["integrity"]
    shop.registry.put("/tool", json.dumps(document).encode(), "application/json")
    assert (await get(shop, "/npm/tool")).status_code == 403
    assert (await get(shop, "/npm/tool/-/tool-1.0.0.tgz")).status_code == 404


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return made.getvalue()


@pytest.mark.parametrize(
    "data",
    [hostile("../x"), hostile("/etc/x"), hostile("package/x", tarfile.SYMTYPE), hostile("package/x", tarfile.LNKTYPE),
     hostile("package/x", tarfile.CHRTYPE), b"no tar file"],
    ids=["above", "absolute", "symlink", "hardlink", "device", "none"],
)  # fmt: skip
async def test_a_tarball_that_reaches_out_is_refused(shop: Shop, data: bytes) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD), data={"1.0.0": data})
    assert (await get(shop, "/npm/tool/-/tool-1.0.0.tgz")).headers["x-bawn-reason"] == "packages.hostile"


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"name": "other", "versions": {}}', b'{"name": "tool"}', b"<html>", b"[" * 100_000]
)
async def test_a_document_that_is_none_is_the_registrys_fault(shop: Shop, body: bytes) -> None:
    shop.allow()
    shop.registry.put("/tool", body, "application/json")
    assert (await get(shop, "/npm/tool")).headers["x-bawn-reason"] == "packages.upstream"


async def test_the_hosts_token_goes_to_its_registry_and_never_inside(shop: Shop) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD))
    answer = await get(shop, "/npm/tool")
    assert "npm-token-of-the-host" not in answer.text + str(answer.headers)
    assert shop.registry.asked[0][1]["authorization"] == "Bearer npm-token-of-the-host"
    assert ONE in shop.policies
