"""What the host's own clients are configured to use, asked from the clients that are installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bawn.sandbox.python import interpreter, source_root
from bawn.sandbox.registries import npm_settings, pip_settings

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


def said(home: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bawn.sandbox.registries"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_DIRS": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=home,
    )
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pip_of(home: Path, text: str, **environment: str) -> dict[str, Any]:
    (home / "pip.conf").write_text(text)
    found: dict[str, Any] = said(home, PIP_CONFIG_FILE=str(home / "pip.conf"), **environment)["pip"]
    return found


def test_indexes_of_pip_come_from_its_own_configuration(tmp_path: Path) -> None:
    found = pip_of(
        tmp_path,
        "[global]\nindex-url = https://me:p'a%22ss@one.invalid/simple\nextra-index-url =\n  file:///srv/own\n  https://two.invalid/\n"
        "[install]\nfind-links = /srv/wheels\n",
    )
    assert found["index"] == "https://me:p'a%22ss@one.invalid/simple"
    assert (found["extra"], found["find_links"]) == (["file:///srv/own", "https://two.invalid/"], ["/srv/wheels"])


def test_the_environment_outdoes_the_file(tmp_path: Path) -> None:
    assert pip_of(tmp_path, "[global]\nindex-url = https://one.invalid\n", PIP_INDEX_URL="https://two.invalid")[
        "index"
    ] == ("https://two.invalid")


@pytest.mark.parametrize("yes", ["true", "1", "yes"])
def test_a_pip_that_may_ask_no_index_means_that_none_is_asked(tmp_path: Path, yes: str) -> None:
    found = pip_of(
        tmp_path, f"[global]\nno-index = {yes}\nextra-index-url = https://one.invalid\nfind-links = /srv/w\n"
    )
    assert (found["index"], found["extra"], found["find_links"]) == (None, [], ["/srv/w"])


def test_what_pip_asks_by_itself_is_read_from_the_installed_pip(tmp_path: Path) -> None:
    from pip._internal.models.index import PyPI

    assert pip_of(tmp_path, "")["index"] == PyPI.simple_url


def test_nothing_of_the_folder_in_which_bawn_is_started_is_run_or_believed(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("pip.py", "json.py", "netrc.py", "pip/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"open({str(ran)!r}, 'a').write({name!r})\n")
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    (tmp_path / ".npmrc").write_text("registry=https://strangers.invalid/\n")
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [*interpreter(), "-m", "bawn.sandbox.registries"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(source_root())},
        capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert not ran.exists(), ran.read_text()
    assert "strangers" not in done.stdout


def test_a_file_that_is_named_from_the_folder_in_which_bawn_is_started_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.conf").write_text("[global]\nindex-url = https://one.invalid/simple\n")
    assert said(tmp_path, PIP_CONFIG_FILE="own.conf")["pip"]["index"] == "https://one.invalid/simple"


def test_a_configuration_that_pip_cannot_read_does_not_come_to_mean_the_index_that_is_built_in(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("this is none\n[global\nindex-url = https://private.invalid/simple\n")
    assert "pip" not in said(tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))


def test_passwords_of_netrc_are_those_of_pip(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine one.invalid login me password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    found = pip_of(
        tmp_path, "[global]\nindex-url = https://one.invalid:8443/simple\nextra-index-url = https://two.invalid\n"
    )
    header = "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert found["keys"] == [["//one.invalid:8443/", header]]


def test_authorities_are_read_by_the_operators_rights(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    found = pip_of(tmp_path, f"[global]\ncert = {tmp_path}/own.pem\n")
    assert found["authorities"].startswith("-----BEGIN")
    for missing in ("absent.pem", "empty.pem"):
        (tmp_path / "empty.pem").write_text("")
        assert pip_of(tmp_path, f"[global]\ncert = {tmp_path}/{missing}\n")["authorities_unreadable"] is True


@needs_npm
def test_registries_and_tokens_of_npm_come_from_its_own_configuration(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text(
        "registry=https://one.invalid/npm/\n@own:registry = https://two.invalid/\n"
        "//one.invalid/npm/:_authToken=${OWN_TOKEN}\n//two.invalid/:username=me\n"
        f"//two.invalid/:_password={base64.b64encode(b's3cret').decode()}\n//other.invalid/:_authToken=not-needed\n"
        "; //three.invalid/:_authToken=no\n"
    )
    found = said(tmp_path, OWN_TOKEN="t0ken")["npm"]
    assert (found["registry"], found["scopes"]) == ("https://one.invalid/npm/", {"@own": "https://two.invalid/"})
    assert sorted(found["keys"]) == [
        ["//one.invalid/npm/", "Bearer t0ken"],
        ["//two.invalid/", "Basic " + base64.b64encode(b"me:s3cret").decode()],
    ]


def test_what_is_no_setting_is_none() -> None:
    assert pip_settings("") == pip_settings("nothing\nglobal.index-url=[\nx=1\n") == {}
    assert npm_settings([{"registry": "x", "//a/:email": "b", "@s:registry": "not an address"}]) == ({}, [])
    assert npm_settings([{"//a/:_password": "é", "//a/:username": "b"}]) == ({}, [])
    assert npm_settings([{"//a:81/b/:_auth": "eA=="}, {"//a:81/b/:_auth": "eQ=="}]) == (
        {},
        [("//a:81/b/", "Basic eQ==")],
    )
