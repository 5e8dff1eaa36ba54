"""Whatever a registry or a container sends, it is read or refused, and nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.packages import npm_index, pip_index
from bawn.packages.advisories import Advisories, _add
from bawn.packages.door import _read
from bawn.packages.locks import hashes
from bawn.packages.names import npm_name, npm_tarball, pip_name, version_text, wheel, written
from bawn.packages.reasons import Refused

_leaf = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8),
    st.sampled_from(
        ["tool-1.0-py3-none-any.whl", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2020-01-01T00:00:00Z",
         "http://[", "//x:99999/y", "file:///x", "../../x", "sha512-AAAA", "sha512-é", "1.0.0", "a" * 40, "٣.٠.٠"]
    ),
)  # fmt: skip
_keys = st.sampled_from(
    ["files", "filename", "url", "hashes", "sha256", "upload-time", "core-metadata", "yanked", "size", "requires-python",
     "name", "versions", "1.0.0", "../../x", "dist", "tarball", "integrity", "shasum", "time", "dist-tags", "latest",
     "scripts", "install", "deprecated", "releases", "upload_time_iso_8601", "package", "ecosystem", "ranges", "events",
     "introduced", "type", "affected"]
)  # fmt: skip
_json = st.recursive(
    _leaf,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=5)),
    max_leaves=25,
)
_file = st.dictionaries(_keys, _json, max_size=4).map(
    lambda said: {"filename": "tool-1.0-py3-none-any.whl", "url": "x", **said}
)
_page = st.one_of(_json, st.builds(lambda files: {"files": files}, st.lists(st.one_of(_file, _json), max_size=4)))
_dist = st.dictionaries(_keys, _json, max_size=4).map(lambda said: {"shasum": "a" * 40, **said})
_document = st.builds(
    lambda versions, tags, times: {"name": "tool", "versions": versions, "dist-tags": tags, "time": times},
    st.dictionaries(
        st.sampled_from(["1.0.0", "../../x", "2.0.0-a", "", "x y"]),
        st.one_of(_json, st.builds(lambda d: {"dist": d}, _dist)),
        max_size=4,
    ),
    _json,
    _json,
)


@settings(max_examples=400, deadline=None)
@given(said=_page)
def test_index_pages_of_pip(said: Any) -> None:
    body = json.dumps(said).encode()
    try:
        listed = pip_index.read(
            body, "application/vnd.pypi.simple.v1+json", "https://a.invalid/simple/tool/", "tool", local=False
        )
    except Refused as refused:
        if refused.code != "packages.upstream":
            raise
        return
    for made in (pip_index.written_json("tool", listed), pip_index.written_html("tool", listed)):
        assert b"a.invalid" not in made
    pip_index.dates(body)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"<a href='", b"tool-1.0-py3-none-any.whl", b"'", b">", b"</a>", b"#sha256=", b"a" * 64, b"http://[", b" data-yanked",
             b" data-core-metadata='sha256=zz'", b"\xff", b"&#x110000;", b"<!", b"<![CDATA[", b"--"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_older_index_pages_of_pip(pieces: list[bytes]) -> None:
    try:
        listed = pip_index.read(b"".join(pieces), "text/html", "https://a.invalid/simple/tool/", "tool", local=False)
    except Refused:
        return
    pip_index.written_json("tool", listed)


@settings(max_examples=400, deadline=None)
@given(said=st.one_of(_document, _json), short=st.booleans())
def test_documents_of_npm(said: Any, short: bool) -> None:
    try:
        document = npm_index.read(json.dumps(said).encode(), "tool")
    except Refused as refused:
        if refused.code != "packages.upstream":
            raise
        return
    shown = json.loads(npm_index.shown(document, "tool", "http://here", lambda version: True, short=short))
    assert set(shown["dist-tags"].values()) <= set(shown["versions"])
    for name, version in shown["versions"].items():
        parts = version["dist"]["tarball"].removeprefix("http://here/npm/").split("/")
        assert npm_tarball(parts) == ("tool", name)


@settings(max_examples=200, deadline=None)
@given(said=_json)
def test_advisories(said: Any) -> None:
    known: dict[Any, Any] = {}
    _add(known, "MAL-1", {"package": {"ecosystem": "npm", "name": "tool"}, **(said if isinstance(said, dict) else {})})
    Advisories(known).find("npm", "tool", "1.0.0")


@settings(max_examples=400, deadline=None)
@given(head=st.binary(max_size=80), target=st.text(st.characters(codec="latin-1"), max_size=30))
def test_requests(head: bytes, target: str) -> None:
    for each in (head + b"\r\n\r\n", f"GET /{target} HTTP/1.1\r\nhost: a\r\n\r\n".encode("latin-1")):
        try:
            method, path, _, _ = _read(each)
        except Refused as refused:
            if refused.code != "packages.malformed":
                raise
        else:
            assert method in ("GET", "HEAD")
            assert path.isascii()
            assert path.isprintable()


@settings(max_examples=400, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=30),
        st.lists(st.sampled_from(["..", "/", ".", "a", "%", "@", "-", "\0", "A", "é"])).map("".join),
    )
)
def test_names_never_leave_their_folder(text: str) -> None:
    for reads in (pip_name, npm_name, version_text):
        try:
            name = reads(text)
        except Refused:
            continue
        assert name.isascii()
        assert not {"", ".", ".."} & set(name.split("/"))
    wheel(text, "tool")
    written(text)
    hashes(text)
    try:
        npm_tarball(text.split("/"))
    except Refused as refused:
        assert refused.code  # noqa: PT017 - either is an answer


@pytest.mark.parametrize("lone", ["\ud800", "tool\udcff"])
def test_halves_of_characters_are_no_names(lone: str) -> None:
    for reads in (pip_name, npm_name, version_text):
        with pytest.raises(Refused):
            reads(lone)
