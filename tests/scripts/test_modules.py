"""Third-party modules: exactly what the lock file names, and nothing of it runs while it is installed."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scripts.standing import Standing

from bawn.errors import Fault
from bawn.sandbox.locked import read
from bawn.supervisor.modules import configured

HASH = "--hash=sha256:" + "a" * 64


def wheel(folder: Path, name: str, version: str, text: str) -> str:
    """A wheel of one module; its line in a lock file."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    place = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(place.read_bytes()).hexdigest()}\n"


USES = """
async def handle(req, res, ctx):
    import greeting
    return {"said": greeting.WORD}
"""


async def test_exactly_what_the_lock_file_names_is_there_for_the_scripts_of_the_project(standing: Standing) -> None:
    standing.write(USES)
    folder = standing.home / "wheels"
    lock = standing.home / "scripts/shop/requirements.lock"
    standing.registries = {"pip": {"index": None, "find_links": [str(folder)]}}
    lock.write_text("# made by hand\n" + wheel(folder, "greeting", "1.0", "WORD = 'hello'\n"))
    assert (await standing.ask("install", project="shop"))["modules"] == ["greeting==1.0"]

    # The registry has other bytes by now: refused, and the modules stay.
    wheel(folder, "greeting", "1.0", "WORD = 'other'\n")
    with pytest.raises(Fault) as refused:
        await standing.ask("install", project="shop")
    assert refused.value.code == "script.modules"
    assert "HASHES" in refused.value.cause
    await standing.start()
    assert await standing.call() == (200, {"said": "hello"})
    assert [path.name for path in (standing.home / "workers/modules").iterdir()] == ["shop"]

    lock.write_text(wheel(folder, "greeting", "2.0", "WORD = 'good day'\n"))
    await standing.ask("install", project="shop")
    await standing.stop()
    await standing.start()
    assert await standing.call() == (200, {"said": "good day"})


async def test_a_lock_file_that_is_a_link_is_not_read(standing: Standing) -> None:
    standing.write(USES)
    (standing.home / "scripts/shop/requirements.lock").symlink_to("/etc/hostname")
    with pytest.raises(Fault) as refused:
        await standing.ask("install", project="shop")
    assert refused.value.code == "script.modules"


@pytest.mark.parametrize(
    "line",
    [
        "greeting", "greeting==1.0", f"greeting>=1.0 {HASH}", f"greeting==1.* {HASH}", "-r other.txt", "--index-url http://x.test",
        "-e .", f"greeting @ http://x.test/a.whl {HASH}", f"./greeting.whl {HASH}", f"greeting==1.0 {HASH} --no-binary :all:",
        f"greeting==1.0 {HASH} --config-settings=x", "--hash=sha256:" + "a" * 64, f"greeting==1.0 --hash=md5:{'a' * 32}",
        f"greeting==1.0; python_version > '3' --index-url http://x.test {HASH} x",
    ],
)  # fmt: skip
def test_what_is_no_exact_version_with_hashes_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(Fault) as refused:
        read(f"# first\n\n{line}\n")
    assert "line 3 " in refused.value.sentence


def test_what_tools_write_is_read() -> None:
    text = f"# by a tool\n\na-b[x,y]==1.0+cpu ; python_version >= '3.9' \\\n    {HASH} \\\n    {HASH}\n    # via c\n"
    text += f"d==2 {HASH}  # note\n"
    assert [(each.name, each.version) for each in read(text)] == [("a-b", "1.0+cpu"), ("d", "2")]
    assert read("") == []


PIECES = [*"ab=1.0 -\\\n#;@/:'", "a==1", HASH, " --index-url x", " ; b == 'c' "]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_line_that_is_accepted_holds_an_option_but_hashes(text: str) -> None:
    try:
        found = read(text)
    except Fault:
        return
    for each in found:
        assert all(word.startswith("--hash=") for word in each.line.split() if word.startswith("-"))


def test_pip_is_told_what_this_hosts_pip_is_configured_for() -> None:
    said = {
        "index": "https://one.test/simple", "extra": ["https://two.test/simple"], "find_links": ["/srv/wheels", "https://x.test/w"],
        "keys": [("//two.test/", "Basic " + base64.b64encode(b"me:p/w").decode())], "proxies": {"https_proxy": "http://p.test"},
    }  # fmt: skip
    environment, folders = configured(said)
    assert folders == ["/srv/wheels"]
    assert environment == {
        "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "https://one.test/simple", "https_proxy": "http://p.test",
        "PIP_EXTRA_INDEX_URL": "https://me:p%2Fw@two.test/simple", "PIP_FIND_LINKS": "/folders/0 https://x.test/w",
    }  # fmt: skip
    assert configured({"index": None})[0]["PIP_NO_INDEX"] == "1"
