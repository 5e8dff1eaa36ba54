"""What is known to be bad, and what happens while that cannot be read."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version as Theirs

from bawn.packages.advisories import Advisories, load
from bawn.packages.names import NPM, PIP
from bawn.packages.renewal import Renewal
from bawn.packages.versions import key, released


def entry(id_: str, name: str, ecosystem: str = "PyPI", **said: Any) -> dict[str, Any]:
    return {"id": id_, "affected": [{"package": {"ecosystem": ecosystem, "name": name}, **said}]}


def written(folder: Path, *entries: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, each in enumerate(entries):
        (folder / f"{number}.json").write_text(json.dumps(each))
    return folder


def ranged(kind: str, *events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": list(events)}]}


@pytest.mark.parametrize(
    ("said", "ecosystem", "bad", "fine"),
    [
        ({}, "npm", ["0.0.1", "9.9.9", "no version"], []),
        ({"versions": ["1.1"]}, "PyPI", ["1.1", "1.1.0", "v1.1"], ["1.1.1", "1.0"]),
        ({"versions": ["1.1.0"]}, "npm", ["1.1.0"], ["1.1.1"]),
        (ranged("SEMVER", {"introduced": "0"}), "npm", ["0.0.1", "9.0.0-rc.1"], []),
        (ranged("SEMVER", {"introduced": "1.2.0"}, {"fixed": "1.3.0"}), "npm", ["1.2.0", "1.3.0-rc.1"], ["1.1.9", "1.3.0"]),
        (ranged("SEMVER", {"introduced": "0"}, {"last_affected": "1.3.0"}), "npm", ["1.3.0"], ["1.3.1"]),
        (
            ranged("ECOSYSTEM", {"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "3.1"}),
            "PyPI", ["1.0", "1.9.post1", "2.0rc1", "3.0"], ["0.9", "2.0", "3.1"],
        ),
        (ranged("SEMVER", {"introduced": "what"}), "npm", ["1.0.0"], []),
        ({"versions": ["5.0.0"], **ranged("GIT", {"introduced": "0"})}, "npm", ["5.0.0"], ["4.0.0"]),
    ],
)  # fmt: skip
def test_an_entry_means_what_its_format_says(
    tmp_path: Path, said: dict[str, Any], ecosystem: str, bad: list[str], fine: list[str]
) -> None:
    known = load(written(tmp_path / "dump", entry("MAL-2026-1", "tool", ecosystem, **said)))
    short = NPM if ecosystem == "npm" else PIP
    assert {version: known.find(short, "tool", version) for version in (*bad, *fine)} == {
        **dict.fromkeys(bad, "MAL-2026-1"), **dict.fromkeys(fine),
    }  # fmt: skip


def test_others_count_only_when_the_operator_wants_them(tmp_path: Path) -> None:
    place = written(
        tmp_path / "dump", entry("GHSA-1", "My_Tool"), {**entry("MAL-1", "gone"), "withdrawn": "2026-01-01"}
    )
    assert load(place).find(PIP, "my-tool", "1.0") is None
    assert load(place, every=True).find(PIP, "my-tool", "1.0") == "GHSA-1"
    assert load(place, every=True).find(PIP, "gone", "1.0") is None


def test_a_zip_is_read_as_a_folder_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/MAL-1.json", json.dumps(entry("MAL-1", "tool")))
        archive.writestr("b.json", "[not json")
    assert load(tmp_path / "all.zip").find(PIP, "tool", "1.0") == "MAL-1"


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_place_without_advisories_is_an_error_and_not_an_all_clear(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(ValueError):
        load(tmp_path / "all.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError):
        load(tmp_path / "empty")


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nothing_is_known_to_be_harmless_until_the_advisories_were_read(tmp_path: Path) -> None:
    told: list[Advisories | None] = []
    renewal = Renewal(told.append)
    renewal.look_s = renewal.again_s = 0.05
    renewal.watch(str(tmp_path / "dump"), every=False)
    assert told == [None]
    await asyncio.sleep(0.2)
    assert told == [None]
    written(tmp_path / "dump", entry("MAL-1", "tool"))
    await until(lambda: len(told) == 2)
    assert told[1] is not None
    assert told[1].find(PIP, "tool", "1") == "MAL-1"
    # renewed by itself
    written(tmp_path / "dump", entry("MAL-1", "tool"), entry("MAL-2", "other"))
    await until(lambda: len(told) == 3)
    assert told[2] is not None
    assert told[2].find(PIP, "other", "1") == "MAL-2"
    # a renewal that cannot be read leaves what was known
    for each in (tmp_path / "dump").iterdir():
        each.unlink()
    await asyncio.sleep(0.2)
    assert len(told) == 3
    renewal.watch(str(tmp_path / "dump"), every=False)
    assert len(told) == 3
    renewal.watch(None, every=False)
    assert told[3] is not None
    assert len(told[3]) == 0
    renewal.close()


_numbers = st.integers(0, 30).map(str)
_theirs = st.builds(
    lambda epoch, release, pre, post, dev, local: epoch + ".".join(release) + pre + post + dev + local,
    st.sampled_from(["", "1!", "0!"]),
    st.lists(_numbers, min_size=1, max_size=4),
    st.sampled_from(["", "a1", "b2", "rc1", "alpha", ".beta.3", "-c4", "pre1"]),
    st.sampled_from(["", ".post1", "-2", "post", ".rev3"]),
    st.sampled_from(["", ".dev1", "dev", "-dev2"]),
    st.sampled_from(["", "+local", "+1.2", "+ubuntu-1"]),
)


@given(one=_theirs, other=_theirs)
def test_python_versions_are_ordered_as_their_standard_says(one: str, other: str) -> None:
    ours = key(PIP, one), key(PIP, other)
    assert ours[0] is not None
    assert ours[1] is not None
    theirs = Theirs(one), Theirs(other)
    assert (ours[0] < ours[1], ours[0] == ours[1]) == (theirs[0] < theirs[1], theirs[0] == theirs[1])
    assert released(PIP, one) == (not theirs[0].is_prerelease)


def test_npm_versions_are_ordered_as_their_standard_says() -> None:
    rising = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
              "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]  # fmt: skip
    keys = [key(NPM, each) for each in rising]
    assert sorted(keys, key=str) != keys
    assert sorted(each for each in keys if each is not None) == keys
    assert key(NPM, "1.0.0+build") == key(NPM, "1.0.0")
    assert key(NPM, "1.0") is key(NPM, "") is key(PIP, "what?") is None
