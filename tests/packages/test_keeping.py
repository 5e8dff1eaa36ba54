"""What is kept: across restarts, without a registry, and on a disk that lies or is full."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from tests.packages.conftest import OLD, Shop, sha256, wheel
from tests.packages.test_npm import get, needs_npm, npm
from tests.packages.test_pip import pip

from bawn.packages.contents import look_into_wheel
from bawn.packages.mirror import Mirror
from bawn.packages.once import Once
from bawn.packages.pages import Page, Pages
from bawn.packages.pins import Pins
from bawn.packages.reasons import Refused
from bawn.packages.shelf import Shelf
from bawn.packages.sources import Memory, Reading

WHEEL = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
TARBALL = "/npm/tool/-/tool-1.0.0.tgz"


def again(shop: Shop) -> None:
    """The mirror as after a restart: it has its folder and nothing else."""
    old = shop.mirror
    shop.shelf = Shelf(shop.folder, 1 << 30)
    shop.mirror = Mirror(shop.upstreams, old._registries, shop.folder, shop.shelf, old._record, old._origin)
    shop.doors._mirror = shop.mirror


def down(shop: Shop) -> None:
    for path in tuple(shop.registry.pages):
        shop.registry.status[path] = 503


@needs_npm
async def test_installing_goes_on_after_a_restart_while_the_registry_is_down(shop: Shop, tmp_path: Path) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    shop.package("tool", ("1.0.0", OLD))
    assert (await pip(shop, tmp_path / "lib", "tool"))[0] == 0
    assert (await npm(shop, tmp_path / "work", "install", "tool"))[0] == 0
    down(shop)
    again(shop)
    code, said = await pip(shop, tmp_path / "lib2", "tool")
    assert code == 0, said
    code, said = await npm(shop, tmp_path / "work2", "install", "tool")
    assert code == 0, said
    page = await get(shop, "/pypi/simple/tool/")
    assert page.headers["x-bawn-stale"] == "1"
    assert (await get(shop, "/npm/tool")).headers["warning"].startswith("110")


async def test_what_the_registry_withdrew_is_gone_and_not_kept(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    assert (await get(shop, "/pypi/simple/tool/")).status_code == 200
    del shop.registry.pages["/simple/tool/"]
    shop.mirror.forget()
    assert (await get(shop, "/pypi/simple/tool/")).status_code == 404
    shop.registry.status["/simple/tool/"] = 503
    again(shop)
    assert (await get(shop, "/pypi/simple/tool/")).status_code == 502


async def test_a_page_cannot_vouch_for_a_kept_file_with_the_hash_of_another(shop: Shop) -> None:
    evil, good = wheel("tool", "1.0", {"evil.py": b"1"}), wheel("tool")
    shop.allow(project="other")
    shop.wheel("tool", ("1.0", OLD), data={"1.0": evil})
    assert (await get(shop, WHEEL)).status_code == 200
    again(shop)
    page = json.loads(shop.registry.pages["/simple/tool/"])
    locked = "sha512:" + "ab" * 64
    page["files"][0]["hashes"] = {"sha256": sha256(evil), "sha512": "ab" * 64}
    shop.registry.put("/simple/tool/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")
    shop.allow(mode="locked", locks=frozenset({locked, f"sha256:{sha256(good)}"}))
    assert (await get(shop, WHEEL)).headers["x-bawn-reason"] == "packages.changed"


async def test_a_kept_file_is_looked_into_again_by_a_process_that_has_not(shop: Shop, tmp_path: Path) -> None:
    evil = wheel("tool", "1.0", {"tool.pth": b"import os\n"})
    shop.allow()
    shop.wheel("tool", ("1.0", OLD), data={"1.0": evil})
    (shop.folder / "files" / sha256(evil)).write_bytes(evil)
    assert (await get(shop, WHEEL)).headers["x-bawn-reason"] == "packages.starts_code"
    assert shop.registry.count("/files/tool-1.0-py3-none-any.whl") == 0
    shop.allow(code_at_start=frozenset({"pip:tool"}))
    assert (await get(shop, WHEEL)).status_code == 200


async def test_a_file_that_vanishes_is_fetched_anew(shop: Shop) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD))
    first = (await get(shop, TARBALL)).content
    for each in (shop.folder / "files").iterdir():
        each.unlink()
    assert (await get(shop, TARBALL)).content == first


async def test_the_longest_unused_file_goes_first(shop: Shop) -> None:
    shop.allow()
    for name in ("one", "two", "three"):
        shop.wheel(name, ("1.0", OLD), data={"1.0": wheel(name, "1.0", {f"{name}.txt": b"x" * 5000})})
    shop.shelf.limit_bytes = 14_000
    held: list[set[str]] = []
    for name in ("one", "two", "one", "three"):
        assert (await get(shop, f"/pypi/files/{name}/{name}-1.0-py3-none-any.whl")).status_code == 200
        held.append({each.name for each in (shop.folder / "files").iterdir()})
        await asyncio.sleep(0.02)
    of = {name: sha256(shop.registry.pages[f"/files/{name}-1.0-py3-none-any.whl"]) for name in ("one", "two", "three")}
    assert held[-1] == {of["one"], of["three"]}
    shop.shelf.limit_bytes = 1000
    shop.wheel("four", ("1.0", OLD), data={"1.0": wheel("four", "1.0", {"f": b"x" * 5000})})
    refused = await get(shop, "/pypi/files/four/four-1.0-py3-none-any.whl")
    assert refused.headers["x-bawn-reason"] == "packages.unavailable"


async def test_a_disk_out_of_order_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bawn.packages.shelf.os.fsync", full)
    refused = await get(shop, WHEEL)
    assert (refused.status_code, refused.headers["x-bawn-reason"]) == (503, "packages.unavailable")
    assert list((shop.folder / "coming").iterdir()) == []


async def test_what_an_ended_process_left_half_way_is_cleared(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1 << 20)
    (tmp_path / "coming" / "half").write_bytes(b"half")
    Shelf(tmp_path, 1 << 20)
    assert list((tmp_path / "coming").iterdir()) == []
    assert await shelf.found("x", None, lambda path: look_into_wheel(path, "x")) is None
    assert await shelf.found("x", "../../etc/passwd", lambda path: look_into_wheel(path, "x")) is None


async def test_a_damaged_page_is_no_page(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    await pages.keep("a", Page(b"body", "text/html", "u"))
    assert await pages.last("a") == Page(b"body", "text/html", "u")
    (path,) = (tmp_path / "pages").iterdir()
    for data in (path.read_bytes()[:-2], b"", b"{}\n", path.read_bytes().replace(b"sha256", b"sha255")):
        path.write_bytes(data)
        assert await pages.last("a") is None


async def test_pages_take_only_so_much_room(tmp_path: Path) -> None:
    pages = Pages(tmp_path, limit_bytes=4000)
    for number in range(130):
        await pages.keep(str(number), Page(str(number).encode(), "text/html", "u"))
    assert sum(each.stat().st_size for each in (tmp_path / "pages").iterdir()) < 8000


async def test_memory_holds_only_so_much() -> None:
    memory: Memory[int] = Memory(weight=10_000)
    asked: list[int] = []

    async def ask(number: int) -> Reading[int]:
        asked.append(number)
        return Reading(number, 3000)

    for number in (1, 2, 1, 3, 1):
        assert (await memory.get(str(number), partial(ask, number))).value == number
    assert asked == [1, 2, 3]


async def test_pins_outlive_an_end_half_way(tmp_path: Path) -> None:
    await Pins(tmp_path).confirm("p", "pip", "a", "1" * 64)
    (path,) = (tmp_path / "pins").iterdir()
    with path.open("ab") as file:
        file.write(b'["pip/b", "22')
    pins = Pins(tmp_path)
    await pins.confirm("p", "pip", "b", "2" * 64)
    with pytest.raises(Refused):
        await pins.confirm("p", "pip", "a", "3" * 64)
    pins = Pins(tmp_path)
    await pins.confirm("p", "pip", "b", "2" * 64)
    for name in ("a", "b"):
        with pytest.raises(Refused, match="used before"):
            await pins.confirm("p", "pip", name, "3" * 64)


async def test_one_container_cannot_have_too_much_under_way() -> None:
    once, end = Once(), asyncio.Event()

    async def act() -> str:
        await end.wait()
        return "done"

    asked = [asyncio.create_task(once.do(str(number), "one", act)) for number in range(64)]
    await asyncio.sleep(0)
    for each in asked[:32]:
        each.cancel()  # who leaves does not make room: what was asked for goes on
    with pytest.raises(Refused, match="too much"):
        await once.do("more", "one", act)
    other = asyncio.create_task(once.do("more", "two", act))
    await asyncio.sleep(0)
    end.set()
    assert await other == "done"
    assert await asyncio.gather(*asked[32:]) == ["done"] * 32
    assert await once.do("more", "one", act) == "done"


async def test_an_act_that_fails_when_nobody_waits_any_more_is_quiet() -> None:
    once = Once()

    async def act() -> str:
        await asyncio.sleep(0.01)
        raise Refused("packages.upstream", "no")

    asked = asyncio.create_task(once.do("x", "one", act))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.sleep(0.05)
    with pytest.raises(Refused):
        await once.do("x", "one", act)
