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

from bawn.packages.locks import hashes
from bawn.packages.names import written
from bawn.sandbox.client_config import client_environment

NOW = "2999-01-01T00:00:00Z"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


async def npm(shop: Shop, folder: Path, *words: str) -> tuple[int, str]:
    """The real npm, which knows nothing but the mirror."""
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}') if not (
        folder / "package.json"
    ).exists() else None
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **client_environment(),
        "NPM_CONFIG_REGISTRY": f"{shop.url()}/npm/", "NPM_CONFIG_CACHE": str(folder / ".cache"),
        "NPM_CONFIG_USERCONFIG": "/dev/null", "NPM_CONFIG_AUDIT": "false", "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_FETCH_RETRIES": "0",
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


# Lock files


def locked_elsewhere(shop: Shop, folder: Path, registry: str) -> None:
    """A project whose lock file was made with another registry, by whose addresses npm asks."""
    folder.mkdir()
    names = {"tool": "tool", "other": "@scope/other"}
    packages: dict[str, object] = {
        "": {"name": "x", "version": "1.0.0", "dependencies": dict.fromkeys(names.values(), "1.0.0")}
    }
    for name in names.values():
        dist = json.loads(shop.registry.pages[f"/{name}"])["versions"]["1.0.0"]["dist"]
        resolved = f"{registry}{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"
        packages[f"node_modules/{name}"] = {"version": "1.0.0", "resolved": resolved, "integrity": dist["integrity"]}
    lock = {"name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    (folder / "package.json").write_text(json.dumps(packages[""]))
    (folder / "package-lock.json").write_text(json.dumps(lock))


@needs_npm
@pytest.mark.parametrize(
    "elsewhere", ["https://registry.invalid/", "https://mirror.invalid/repository/all/", "http://10.0.0.1:4873/"]
)
async def test_npm_installs_from_a_lock_file_that_was_made_elsewhere(
    shop: Shop, tmp_path: Path, elsewhere: str
) -> None:
    for name in ("tool", "@scope/other", "else"):
        shop.package(name, ("1.0.0", OLD), ("1.1.0", OLD))
    locked_elsewhere(shop, tmp_path / "work", elsewhere)
    shop.allow(mode="locked", locks=hashes((tmp_path / "work/package-lock.json").read_text()))
    code, said = await npm(shop, tmp_path / "work", "ci")
    assert code == 0, said
    assert {(each.package, each.version) for each in shop.served} == {("tool", "1.0.0"), ("@scope/other", "1.0.0")}
    assert shop.refusals == []
    code, said = await npm(shop, tmp_path / "more", "install", "else")
    assert code != 0
    assert "lock file" in said


@needs_npm
async def test_a_lock_file_that_is_made_inside_binds_nobody_to_the_mirror(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD))
    assert (await npm(shop, tmp_path / "work", "install", "tool"))[0] == 0
    lock = (tmp_path / "work/package-lock.json").read_text()
    assert "sha512-" in lock
    assert shop.url() not in lock


@needs_npm
async def test_npm_refuses_a_lock_file_whose_hash_is_of_something_else(shop: Shop, tmp_path: Path) -> None:
    for name in ("tool", "@scope/other"):
        shop.package(name, ("1.0.0", OLD))
    locked_elsewhere(shop, tmp_path / "work", "https://registry.invalid/")
    locks = hashes((tmp_path / "work/package-lock.json").read_text())
    shop.package("tool", ("1.0.0", OLD), data={"1.0.0": tarball("tool", "1.0.0", {"description": "changed"})})
    shop.allow(mode="locked", locks=locks)
    code, said = await npm(shop, tmp_path / "work", "ci")
    assert code != 0
    assert "packages.not_locked" in said


@pytest.mark.parametrize(
    ("tags", "versions", "latest"),
    [
        ({"latest": "3.0.0"}, ["1.0.0", "2.0.0"], "2.0.0"),
        ({"latest": "1.9.1", "next": "2.0.0"}, ["1.9.0", "2.0.0"], "1.9.0"),
        ({"latest": "2.0.0"}, ["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        ({"latest": "1.0.0"}, ["2.0.0-rc.1"], "2.0.0-rc.1"),
        ({}, ["1.10.0", "1.9.0"], "1.10.0"),
    ],
)
async def test_latest_goes_back_and_never_on_to_what_its_authors_hold_back(
    shop: Shop, tags: dict[str, str], versions: list[str], latest: str
) -> None:
    shop.allow()
    hidden = set(tags.values()) - set(versions)
    shop.package("tool", *((each, OLD) for each in versions), *((each, NOW) for each in hidden))
    document = json.loads(shop.registry.pages["/tool"])
    document["dist-tags"] = tags
    shop.registry.put("/tool", json.dumps(document).encode(), "application/json")
    shown = (await get(shop, "/npm/tool")).json()
    assert shown["dist-tags"]["latest"] == latest
    assert set(shown["dist-tags"].values()) <= set(shown["versions"])


async def test_approved_names_of_npm_are_taken_letter_by_letter(shop: Shop) -> None:
    for name in ("my.tool", "my-tool", "JSONTool", "jsontool", "@own/a"):
        shop.package(name, ("1.0.0", OLD))
    shop.allow(allow=written("my.tool") | written("@own/*") | written("JSONTool"))
    assert (await get(shop, "/npm/JSONTool")).status_code == 200
    assert (await get(shop, "/npm/my.tool")).status_code == 200
    assert (await get(shop, "/npm/@own%2fa")).status_code == 200
    for name in ("my-tool", "jsontool", "@other%2fa"):
        assert (await get(shop, f"/npm/{name}")).headers["x-bawn-reason"] == "packages.not_approved"


async def test_a_package_may_be_exempt_from_the_cooldown(shop: Shop) -> None:
    shop.package("@own/a", ("1.0.0", NOW))
    shop.package("tool", ("1.0.0", NOW))
    shop.allow(cooldown_exempt=written("@own/*"))
    assert (await get(shop, "/npm/@own%2fa")).status_code == 200
    assert (await get(shop, "/npm/tool")).headers["x-bawn-reason"] == "packages.young"
