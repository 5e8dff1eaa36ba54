"""Which file of an exec answers a path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.scripts.routes import Route, Routes, route_of, split


def routes(*files: str) -> Routes:
    return Routes([route for file in files if (route := route_of(f"api/v1/{file}")) is not None])


def found(held: Routes, path: str) -> tuple[str, dict[str, str | list[str]]] | None:
    match = held.find(path.encode())
    return None if match is None else (match.file.removeprefix("api/v1/"), match.parameters)


def test_a_literal_name_beats_a_named_segment_and_that_beats_the_rest() -> None:
    held = routes("[...path].py", "chat/completions.py", "models/[id].py", "models/gpt.py", "models/[...path].py")
    assert found(held, "/api/v1/chat/completions") == ("chat/completions.py", {})
    assert found(held, "/v1/models/gpt") == ("models/gpt.py", {})
    assert found(held, "/v1/models/other") == ("models/[id].py", {"id": "other"})
    assert found(held, "/v1/models/a/b") == ("models/[...path].py", {"path": ["a", "b"]})
    assert found(held, "/v1/embeddings") == ("[...path].py", {"path": ["embeddings"]})


def test_the_leftmost_difference_decides() -> None:
    held = routes("[a]/fixed.py", "chat/[...path].py")
    assert found(held, "/v1/chat/fixed") == ("chat/[...path].py", {"path": ["fixed"]})


def test_every_spelling_of_the_root_leads_to_the_same_files() -> None:
    held = routes("[...path].py")
    for root in ("/api/v1/", "/v1/", "/v1beta/", "/api/v1beta/"):
        assert found(held, f"{root}messages?beta=true") == ("[...path].py", {"path": ["messages"]})


def test_a_path_is_decoded_once() -> None:
    held = routes("[...path].py", "secret/key.py")
    assert found(held, "/v1/a%2Fb") == ("[...path].py", {"path": ["a/b"]})
    assert found(held, "/v1/secret%2Fkey") == ("[...path].py", {"path": ["secret/key"]})
    assert found(held, "/v1/a%252Fb") == ("[...path].py", {"path": ["a%2Fb"]})


@pytest.mark.parametrize(
    "path",
    [
        "/v1/", "/v1", "/", "", "/v1/a//b", "/v1/a/", "/v1/../x", "/v1/a/../b", "/v1/%2e%2e/b", "/v1/%2E", "/v1/a%",
        "/v1/%zz", "/v1/%ff", "/v1/a%00b", "/v1/a#b", "/v1/ä", "/v1/a b", "/other/a", "v1/a",
    ],
)  # fmt: skip
def test_a_path_that_is_not_plain_has_no_file(path: str) -> None:
    assert found(routes("[...path].py"), path) is None


@pytest.mark.parametrize(
    "file",
    [
        "api/v1/a.txt", "api/v2/a.py", "a.py", "api/v1/[...a]/b.py", "api/v1/[a]/[a].py", "api/v1/[A].py",
        "api/v1/a b.py", "api/v1//a.py", "/api/v1/a.py", "api/v1/a%2f.py", f"api/v1/{'a' * 200}.py",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_a_route_is_refused(file: str) -> None:
    with pytest.raises(Fault) as caught:
        route_of(file)
    assert caught.value.code == "script.invalid"


def test_files_that_are_only_imported_are_no_routes() -> None:
    assert route_of("api/v1/_shared.py") is None
    assert route_of("_lib/tools.py") is None
    assert route_of("api/v1/../.py") is None


names = st.from_regex(r"[a-z][a-z0-9.-]{0,6}", fullmatch=True)
parts = st.one_of(names, names.map(lambda name: f"[{name.replace('.', '_').replace('-', '_')}]"))
files = st.lists(parts, min_size=1, max_size=4).map(lambda segments: "/".join(segments) + ".py")


def sound(file: str) -> Route | None:
    try:
        return route_of(f"api/v1/{file}")
    except Fault:
        return None


@given(st.lists(files, max_size=8), st.text(max_size=30))
def test_what_is_found_is_always_one_of_the_files(held: list[str], path: str) -> None:
    kept = [route for file in held if (route := sound(file)) is not None]
    match = Routes(kept).find(b"/v1/" + path.encode("utf-8", "surrogatepass"))
    assert match is None or match.file in {route.file for route in kept}


@given(
    st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12), min_size=1, max_size=5)
)
def test_the_rest_of_a_path_comes_back_as_it_was_encoded(segments: list[str]) -> None:
    path = "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)
    match = routes("[...path].py").find(path.encode())
    if any(segment in (".", "..") for segment in segments):
        assert match is None
    else:
        assert match is not None
        assert match.parameters == {"path": segments}


@given(st.lists(files, min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_files_never_matters(held: list[str], random: object) -> None:
    kept = [route for file in held if (route := sound(file)) is not None]
    for route in kept:
        path = "/v1/" + "/".join(segment.name for segment in route.segments)
        one, other = Routes(kept).find(path.encode()), Routes(kept[::-1]).find(path.encode())
        assert one is not None
        assert one == other


@given(st.binary(max_size=60))
def test_no_bytes_make_a_dot_segment(path: bytes) -> None:
    assert not {"", ".", ".."} & set(split(b"/v1/" + path))
