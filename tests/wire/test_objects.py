"""Which calls about kept objects there are, and that nothing else is read into one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.wire import endpoint
from bawn.wire.anthropic_betas import passed_betas
from bawn.wire.object_requests import FIELDS, read_object_call
from bawn.wire.objects import ENDPOINTS, FAMILIES, ID, ROWS, Body, ObjectCall, Row, names_objects, object_call

ANTHROPIC = ((b"anthropic-version", b"2023-06-01"),)


def filled(row: Row) -> str:
    return "/".join(f"{step[1:-1]}-1" if step.startswith("{") else step for step in row.path.split("/"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.wire}-{row.method}-{row.path}")
def test_every_row_is_reached_by_its_path_and_method(row: Row) -> None:
    route = endpoint(row.method, b"/v1/" + filled(row).encode(), ANTHROPIC if row.wire == "anthropic" else ())
    assert route.object is not None
    assert route.object.row == row
    assert len(route.object.ids) == row.path.count("{")
    assert (route.endpoint, route.wire) == (ENDPOINTS[row.family], row.wire)


def test_the_tables_are_about_the_same_rows() -> None:
    assert set(FAMILIES) == set(ENDPOINTS)
    assert set(FIELDS) == {row.path for row in ROWS if row.body is Body.JSON}
    assert Endpoint.RESPONSES not in ENDPOINTS.values()


@given(st.text("abc/._-%2fF?=&{}files0responses", max_size=60), st.sampled_from(("GET", "POST", "DELETE", "PUT")))
def test_whatever_is_read_as_an_object_is_written_as_it_came(text: str, method: str) -> None:
    with suppress(Fault):
        call = object_call(method, b"files/" + text.encode(), anthropic=False)
        assert all(ID.fullmatch(name) for name in call.ids)
        assert f"files/{text}".partition("?")[0] == call.path
        assert ".." not in call.path
        assert "%" not in call.path


@pytest.mark.parametrize(
    "query", ["stream=true", "after=", "after=a&after=b", "after=a/b", "x=1", "&", "limit=1&limit=2"]
)
def test_a_query_that_is_not_in_the_table_is_unknown(query: str) -> None:
    with pytest.raises(Fault) as fault:
        endpoint("GET", b"/v1/files?" + query.encode())
    assert fault.value.code == "http.unknown_path"


def test_the_query_is_kept_but_for_the_provider() -> None:
    call = object_call("GET", b"files?limit=5&provider=one&include[]=a&include[]=b&after=file-1", anthropic=False)
    assert call.query == (("limit", "5"), ("include[]", "a"), ("include[]", "b"), ("after", "file-1"))
    assert (call.provider, call.cursors) == ("one", ("file-1",))


@pytest.mark.parametrize("path", [b"files", b"files/x", b"responses/x", b"messages/batches", b"batches?limit=1"])
def test_these_name_objects(path: bytes) -> None:
    assert names_objects(path)


@pytest.mark.parametrize("path", [b"responses", b"messages", b"messages/count_tokens", b"models/files", b"filesx"])
def test_these_do_not(path: bytes) -> None:
    assert not names_objects(path)


def called(method: str, path: str, **said: Any) -> Any:
    call: ObjectCall = object_call(method, path.encode(), anthropic=False)
    return read_object_call(call, msgspec.json.encode(said) if said else b"")


@pytest.mark.parametrize(
    ("said", "resources"),
    [
        ({"file_ids": ["file-1", "file-2"]}, ("file-1", "file-2")),
        ({"name": "https://x.example", "metadata": {"file_id": "file-3", "a": "http://x"}}, ()),
        ({"chunking_strategy": {"type": "auto", "file_id": "file-4"}}, ("file-4",)),
    ],
)
def test_ids_in_a_body_have_an_owner_and_labels_are_text(said: dict[str, Any], resources: tuple[str, ...]) -> None:
    exchange = called("POST", "vector_stores", **said)
    assert (exchange.resources, exchange.fetches, exchange.unknown_tools) == (resources, (), ())


def test_fields_that_are_not_documented_are_unknown() -> None:
    assert called("POST", "vector_stores", webhook="x").unknown_tools == ("field:webhook",)
    assert called("POST", "vector_stores", File_IDs=["file-1"]).unknown_tools == ("field:File_IDs",)
    assert called("POST", "conversations", items=[{"type": "x", "tools": [{"type": "mcp"}]}]).unknown_tools == ("mcp",)


def test_cursors_of_lists_of_objects_have_an_owner() -> None:
    assert called("GET", "files?after=file-1").resources == ("file-1",)
    assert called("GET", "vector_stores/vs_1/files?after=file-1").resources == ("vs_1", "file-1")
    assert called("GET", "responses/resp_1/input_items?after=msg_1").resources == ("resp_1",)


def test_a_call_without_a_body_takes_none() -> None:
    with pytest.raises(Fault) as fault:
        called("DELETE", "files/file-1", also="file-2")
    assert fault.value.code == "request.invalid"


def test_betas_for_objects_pass_where_there_are_some() -> None:
    assert passed_betas(b"files-api-2025-04-14,x-2025", ()) == b""
    assert passed_betas(b"files-api-2025-04-14,x-2025", (), kept=True) == b"files-api-2025-04-14"
    assert WireName.ANTHROPIC in {row.wire for row in ROWS}
