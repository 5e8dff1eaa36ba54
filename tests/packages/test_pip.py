"""What pip sees and gets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from tests.packages.conftest import OLD, ONE, TWO, Shop, sha256, wheel

from bawn.packages.advisories import Advisories, Affected
from bawn.packages.locks import hashes
from bawn.packages.names import written
from bawn.packages.settings import Packages
from bawn.sandbox.client_config import client_environment

NOW = "2999-01-01T00:00:00Z"


async def pip(shop: Shop, target: Path, *words: str, uuid: str = ONE) -> tuple[int, str]:
    """The real pip, which knows nothing but the mirror."""
    argv = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--target", str(target), *words]
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(target.parent), "PIP_CONFIG_FILE": "/dev/null", **client_environment(),
        "PIP_INDEX_URL": f"{shop.url(uuid)}/pypi/simple/", "PIP_RETRIES": "0",
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


async def get(shop: Shop, path: str, uuid: str = ONE, accept: str = "") -> httpx.Response:
    async with httpx.AsyncClient(base_url=shop.url(uuid), trust_env=False) as client:
        return await client.get(path, headers={"accept": accept} if accept else {})


async def test_pip_installs_a_wheel_by_the_mirror(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    code, said = await pip(shop, tmp_path / "lib", "tool")
    assert code == 0, said
    assert (tmp_path / "lib" / "tool.py").exists()
    assert [(each.package, each.version) for each in shop.served] == [("tool", "1.0")]


async def test_nothing_is_shown_to_a_container_that_may_not_install(shop: Shop, tmp_path: Path) -> None:
    shop.wheel("tool", ("1.0", OLD))
    shop.allow(TWO)
    shop.allow(ONE, ecosystems=frozenset({"npm"}))
    answer = await get(shop, "/pypi/simple/tool/")
    assert answer.status_code == 403
    assert "@pip" in answer.text
    assert shop.registry.asked == []
    assert (await pip(shop, tmp_path / "lib", "tool", uuid=TWO))[0] == 0


async def test_a_young_version_is_not_there_and_an_older_one_is_taken(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD), ("2.0", NOW))
    code, said = await pip(shop, tmp_path / "lib", "tool")
    assert "tool-1.0" in said, said
    assert (code, (await pip(shop, tmp_path / "other", "tool==2.0"))[0]) == (0, 1)
    asked = await get(shop, "/pypi/files/tool/tool-2.0-py3-none-any.whl")
    assert (asked.status_code, "younger" in asked.text) == (403, True)


async def test_a_version_of_unknown_age_is_young_unless_the_operator_says_otherwise(shop: Shop) -> None:
    shop.wheel("tool", ("1.0", ""))
    shop.allow()
    assert "tool-1.0" not in (await get(shop, "/pypi/simple/tool/")).text
    shop.allow(trust_undated=True)
    assert "tool-1.0" in (await get(shop, "/pypi/simple/tool/")).text


async def test_a_page_without_dates_is_dated_by_the_older_document(shop: Shop) -> None:
    shop.allow()
    body = wheel("tool")
    shop.registry.put("/files/tool-1.0-py3-none-any.whl", body)
    link = f'<a href="/files/tool-1.0-py3-none-any.whl#sha256={sha256(body)}">tool-1.0-py3-none-any.whl</a>'
    shop.registry.put("/simple/tool/", link.encode(), "text/html")
    dates = b'{"releases": {"1.0": [{"filename": "tool-1.0-py3-none-any.whl", "upload_time_iso_8601": "2020-01-01T00:00:00Z"}]}}'
    shop.registry.put("/pypi/tool/json", dates, "application/json")
    assert f"#sha256={sha256(body)}" in (await get(shop, "/pypi/simple/tool/")).text


async def test_source_distributions_do_not_exist(shop: Shop, tmp_path: Path) -> None:
    shop.allow(trust_undated=True)
    links = '<a href="/files/tool-1.0.tar.gz">tool-1.0.tar.gz</a> <a href="/files/tool-1.0.zip">tool-1.0.zip</a>'
    shop.registry.put("/simple/tool/", links.encode(), "text/html")
    code, _ = await pip(shop, tmp_path / "lib", "tool")
    assert code != 0
    assert shop.served == []


@pytest.mark.parametrize(
    "files",
    [
        {"tool.pth": b"import os; os.system('true')\n"},
        {"tool-1.0.data/purelib/x.pth": b"# a comment\n\timport tool\n"},
        {"sitecustomize.py": b"x = 1\n"},
        {"usercustomize/__init__.py": b""},
        {"../escape.py": b""},
        {"/absolute.py": b""},
    ],
    ids=lambda files: next(iter(files)),
)
async def test_a_wheel_that_would_run_or_reach_out_is_refused(
    shop: Shop, tmp_path: Path, files: dict[str, bytes]
) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD), data={"1.0": wheel("tool", "1.0", files)})
    code, said = await pip(shop, tmp_path / "lib", "tool")
    assert code != 0
    assert "403" in said
    assert {each.code for each in shop.refusals} <= {"packages.hostile", "packages.starts_code"}
    assert [(each.name, each.version) for each in shop.refusals] == [("tool", "1.0")]
    assert shop.served == []


async def test_a_pth_file_that_only_names_a_folder_is_fine(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.wheel(
        "tool", ("1.0", OLD), data={"1.0": wheel("tool", "1.0", {"tool.pth": b"tool_lib\n", "tool_lib/more.py": b""})}
    )
    code, said = await pip(shop, tmp_path / "lib", "tool")
    assert code == 0, said


async def test_a_file_that_is_not_what_the_registry_said_is_refused(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.registry.put("/files/tool-1.0-py3-none-any.whl", wheel("tool", "1.0", {"more.py": b"1"}))
    answer = await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")
    assert (answer.status_code, answer.headers["x-bawn-reason"]) == (403, "packages.changed")


async def test_every_hash_that_a_registry_says_must_be_right(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    body = shop.registry.pages["/files/tool-1.0-py3-none-any.whl"]
    for hashes_, wanted in (
        ({"sha512": hashlib.sha512(body).hexdigest(), "sha256": "0" * 64}, 403),
        ({"sha512": "0" * 128, "sha256": sha256(body)}, 403),
        ({"sha512": hashlib.sha512(body).hexdigest(), "sha256": sha256(body)}, 200),
    ):
        page = json.loads(shop.registry.pages["/simple/tool/"])
        page["files"][0]["hashes"] = hashes_
        shop.registry.put("/simple/tool/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")
        shop.mirror.forget()
        assert (await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")).status_code == wanted


async def test_bytes_that_changed_under_a_name_are_refused_for_the_project_that_knew_the_others(shop: Shop) -> None:
    shop.allow(project="one")
    shop.wheel("tool", ("1.0", OLD))
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
    assert (await get(shop, path)).status_code == 200
    shop.mirror.forget()
    shop.wheel("tool", ("1.0", OLD), data={"1.0": wheel("tool", "1.0", {"more.py": b"1"})})
    assert (await get(shop, path)).headers["x-bawn-reason"] == "packages.changed"
    shop.allow(project="two")
    assert (await get(shop, path)).status_code == 200


async def test_a_kept_file_that_was_altered_on_the_disk_is_fetched_anew(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
    first = await get(shop, path)
    (kept,) = (tmp_path / "kept" / "files").iterdir()
    kept.write_bytes(b"something else")
    assert (await get(shop, path)).content == first.content
    assert shop.registry.count("/files/tool-1.0-py3-none-any.whl") == 2


async def test_only_what_the_lock_file_names_is_served_in_locked_mode(shop: Shop, tmp_path: Path) -> None:
    shop.wheel("tool", ("1.0", OLD), ("1.1", OLD))
    locked = sha256(wheel("tool", "1.0"))
    body = shop.registry.pages["/files/tool-1.0-py3-none-any.whl"]
    shop.allow(mode="locked", locks=frozenset({f"sha256:{sha256(body)}"}))
    assert locked
    page = (await get(shop, "/pypi/simple/tool/")).text
    assert ("tool-1.0" in page, "tool-1.1" in page) == (True, False)
    refused = await get(shop, "/pypi/files/tool/tool-1.1-py3-none-any.whl")
    assert refused.headers["x-bawn-reason"] == "packages.not_locked"
    shop.allow(mode="locked")
    assert "tool-1.0" not in (await get(shop, "/pypi/simple/tool/")).text


async def test_only_approved_names_are_served_however_they_are_written(shop: Shop) -> None:
    shop.wheel("my-tool", ("1.0", OLD))
    shop.wheel("other", ("1.0", OLD))
    shop.allow(allow=frozenset({"pip:my-tool"}))
    for name in ("my-tool", "My_Tool", "my.tool", "MY--TOOL"):
        assert (await get(shop, f"/pypi/simple/{name}/")).status_code == 200
    assert (await get(shop, "/pypi/simple/other/")).headers["x-bawn-reason"] == "packages.not_approved"


async def test_known_malware_is_refused_by_its_advisory(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD), ("1.1", OLD))
    shop.mirror.advisories = Advisories({("pip", "tool"): (Affected("MAL-2026-1", frozenset({"1.1"})),)})
    assert (await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")).status_code == 200
    refused = await get(shop, "/pypi/files/tool/tool-1.1-py3-none-any.whl")
    assert "MAL-2026-1" in refused.text


async def test_it_goes_on_from_what_it_has_when_the_registry_is_down(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
    assert (await get(shop, path)).status_code == 200
    for each in tuple(shop.registry.pages):
        shop.registry.status[each] = 503
    shop.mirror.forget()
    assert (await get(shop, "/pypi/simple/tool/")).status_code == 200
    assert (await get(shop, path)).status_code == 200
    assert (await get(shop, "/pypi/simple/unseen/")).status_code in (404, 502)


async def test_many_who_ask_at_once_cost_the_registry_one_download(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.registry.delay_s = 0.1
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
    answers = await asyncio.gather(*(get(shop, path) for _ in range(20)))
    assert {each.status_code for each in answers} == {200}
    assert shop.registry.count("/files/tool-1.0-py3-none-any.whl") == 1


async def test_nothing_is_served_that_cannot_be_recorded(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.unable = True
    assert (await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")).status_code == 503


async def test_a_redirect_to_another_host_without_tls_is_not_followed(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.registry.moved["/files/tool-1.0-py3-none-any.whl"] = "http://localhost:9/elsewhere"
    answer = await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")
    assert answer.headers["x-bawn-reason"] == "packages.upstream"


@pytest.mark.parametrize(
    "path",
    ["/", "/pypi", "/pypi/simple/", "/pypi/simple/../../etc/passwd/", "/pypi/simple/%2e%2e/", "/pypi/files/tool/..%2f..%2fx",
     "/pypi/files/tool/x.whl", "/npm/", "/npm/-/user", "/npm/../x", "/npm/-/files/a/b/c/1.0.tgz", "/else"],
)  # fmt: skip
async def test_paths_that_mean_nothing_are_not_found(shop: Shop, path: str) -> None:
    shop.allow()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.ports[ONE])
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /pypi/simple/tool/ HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /pypi/simple/tool/ HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        b"GET /pypi/simple/tool/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_requests_that_no_client_sends_are_refused(shop: Shop, request_: bytes) -> None:
    shop.allow()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.ports[ONE])
    writer.write(request_)
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()


# What pip says when it was refused


@pytest.mark.parametrize(
    ("more", "words", "wanted"),
    [
        ({"ecosystems": frozenset({"npm"})}, "tool", "bawn egress allow"),
        ({"allow": frozenset({"pip:other"})}, "tool", "packages.allow"),
        ({"cooldown_days": 3000.0, "trust_undated": False}, "tool", "younger than 3000 days"),
        ({"mode": "locked"}, "tool", "lock file"),
        ({"mode": "locked"}, "tool>=1", "bawn.packages.not.locked"),
        ({"cooldown_days": 3000.0}, "tool==1.0", "bawn.packages.young"),
    ],
)
async def test_pip_prints_why_a_package_shows_no_version(
    shop: Shop, tmp_path: Path, more: dict[str, Any], words: str, wanted: str
) -> None:
    shop.allow(**more)
    shop.wheel("tool", ("1.0", "2023-01-01T00:00:00Z"))
    code, said = await pip(shop, tmp_path / "lib", words)
    assert code != 0
    assert wanted in said
    assert shop.served == []


async def test_only_pip_is_told_by_a_version_that_there_is_none(shop: Shop) -> None:
    shop.allow(mode="locked")
    shop.wheel("tool", ("1.0", OLD))
    kind = "application/vnd.pypi.simple.v1+json"
    assert (await get(shop, "/pypi/simple/tool/", accept=kind)).status_code == 403
    shop.allow()
    made_up = "/pypi/files/tool/tool-0+bawn.packages.not.locked-py3-none-any.whl"
    assert (await get(shop, made_up)).status_code == 404


# Metadata alone


def with_metadata(shop: Shop, text: bytes, told: bytes | None = None) -> None:
    shop.wheel("tool", ("1.0", OLD), ("1.1", NOW))
    page = json.loads(shop.registry.pages["/simple/tool/"])
    for file in page["files"]:
        file["core-metadata"] = {"sha256": sha256(text if told is None else told)}
        shop.registry.put(f"/files/{file['filename']}.metadata", text)
    shop.registry.put("/simple/tool/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")


async def test_metadata_is_served_alone_for_what_may_be_installed(shop: Shop) -> None:
    shop.allow()
    text = b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n"
    with_metadata(shop, text)
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl.metadata"
    for _ in range(2):
        assert (await get(shop, path)).content == text
    assert shop.registry.count(path.replace("/pypi/files/tool/", "/files/")) == 1
    assert f'data-core-metadata="sha256={sha256(text)}"' in (await get(shop, "/pypi/simple/tool/")).text
    young = await get(shop, path.replace("1.0", "1.1"))
    assert young.headers["x-bawn-reason"] == "packages.young"
    assert shop.served == []


async def test_metadata_that_is_not_what_the_registry_said_is_refused(shop: Shop) -> None:
    shop.allow()
    with_metadata(shop, b"Name: tool\n", b"Name: other\n")
    refused = await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl.metadata")
    assert refused.headers["x-bawn-reason"] == "packages.changed"


@pytest.mark.skipif(
    tuple(map(int, version("pip").split(".")[:2])) < (23, 1), reason="this pip does not ask for metadata alone"
)
async def test_pip_needs_no_wheel_that_it_does_not_install(shop: Shop, tmp_path: Path) -> None:
    """Of two versions the newer one needs something that is not there."""
    shop.allow()
    shop.wheel("tool", ("1.0", OLD), ("2.0", OLD))
    page = json.loads(shop.registry.pages["/simple/tool/"])
    for file, needs in zip(page["files"], ("", "Requires-Dist: absent\n"), strict=True):
        number = file["filename"].split("-")[1]
        text = f"Metadata-Version: 2.1\nName: tool\nVersion: {number}\n{needs}".encode()
        file["core-metadata"] = {"sha256": sha256(text)}
        shop.registry.put(f"/files/{file['filename']}.metadata", text)
    shop.registry.put("/simple/tool/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")
    code, said = await pip(shop, tmp_path / "lib", "tool")
    assert code == 0, said
    assert "tool-1.0" in said


async def test_pip_checks_hashes_of_a_lock_file_by_the_mirror(shop: Shop, tmp_path: Path) -> None:
    shop.wheel("tool", ("1.0", OLD), ("1.1", OLD))
    digest = sha256(shop.registry.pages["/files/tool-1.0-py3-none-any.whl"])
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"tool==1.0 \\\n    --hash=sha256:{digest}\n")
    shop.allow(mode="locked", locks=hashes(lock.read_text()))
    code, said = await pip(shop, tmp_path / "lib", "--require-hashes", "-r", str(lock))
    assert code == 0, said


async def test_nothing_is_served_while_advisories_cannot_be_read(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.mirror.advisories = None
    refused = await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")
    assert refused.headers["x-bawn-reason"] == "packages.unavailable"


def test_names_mean_both_ecosystems_unless_they_say_one() -> None:
    assert written("My.Tool") == {"pip:my-tool", "npm:My.Tool"}
    assert written("pip:My_Tool") == {"pip:my-tool"}
    assert written("npm:my.tool") == {"npm:my.tool"}
    assert written("@own/*") == {"npm:@own/*"}
    for none in ("", "npm:", "pip:@own/a", "a b", "../x", "npm:../x", "@/*", "@own/*/x"):
        assert written(none) == frozenset(), none
        with pytest.raises(ValidationError):
            Packages(allow=(none,))
