"""Which of a provider's paths a call goes to, whatever the client calls its model."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.gateway.habits import CONVERSATIONS, HABITS, WIRE_OF
from bawn.gateway.providers import Address, Serving, address_of, in_path, served, serving
from bawn.gateway.settings import Provider, ProviderKind
from bawn.terms.exchange import Endpoint, WireName


def address(kind: ProviderKind, **said: object) -> Address:
    base = {} if HABITS[kind].base_url else {"base_url": "https://models.example/v1"}
    return address_of("p", Provider.model_validate({"kind": kind, **base, **said}), "")


def at(where: Address, endpoint: Endpoint, model: str = "m", *, stream: bool = False) -> Serving:
    return serving(where, endpoint, WIRE_OF[endpoint], model, stream=stream)


@pytest.mark.parametrize("kind", ProviderKind)
def test_every_wire_of_a_conversation_is_served_natively_or_by_translation(kind: ProviderKind) -> None:
    where = address(kind)
    for endpoint in sorted(CONVERSATIONS - {Endpoint.CONVERSE}):
        found = at(where, endpoint)
        assert found.translated is (endpoint not in served(where))
        assert found.wire is WIRE_OF[found.endpoint]
        assert found.endpoint in served(where)
        assert found.path.startswith(where.prefix + "/")


def test_a_wire_that_is_served_is_not_translated() -> None:
    openai = address(ProviderKind.OPENAI)
    assert at(openai, Endpoint.RESPONSES) == Serving(Endpoint.RESPONSES, WireName.RESPONSES, "/v1/responses", False)
    assert at(openai, Endpoint.MESSAGES) == Serving(
        Endpoint.CHAT_COMPLETIONS, WireName.OPENAI, "/v1/chat/completions", True
    )
    for endpoint in (Endpoint.IMAGES, Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS, Endpoint.MODERATIONS):
        assert at(openai, endpoint).path == f"/v1/{endpoint.value}"


def test_what_is_no_conversation_is_refused_where_it_is_not_served() -> None:
    with pytest.raises(Fault) as refused:
        at(address(ProviderKind.ANTHROPIC), Endpoint.EMBEDDINGS)
    assert refused.value.code == "request.wire_mismatch"


def test_gemini_has_the_model_in_its_path_and_a_path_of_its_own_for_streams() -> None:
    gemini = address(ProviderKind.GEMINI)
    assert at(gemini, Endpoint.GENERATE, "gemini-2.5-pro").path == "/v1beta/models/gemini-2.5-pro:generateContent"
    streamed = at(gemini, Endpoint.GENERATE, "gemini-2.5-pro", stream=True)
    assert streamed.path == "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    assert gemini.key_header("AIza-1") == (b"x-goog-api-key", b"AIza-1")


def test_capabilities_add_and_take_away() -> None:
    plain = address(ProviderKind.OPENAI_COMPATIBLE)
    more = address(ProviderKind.OPENAI_COMPATIBLE, capabilities={"responses": True, "embeddings": False})
    assert at(plain, Endpoint.RESPONSES).translated
    assert not at(more, Endpoint.RESPONSES).translated
    assert Endpoint.EMBEDDINGS in served(plain)
    assert Endpoint.EMBEDDINGS not in served(more)


def test_a_capability_that_the_kind_cannot_have_is_refused_with_those_it_can() -> None:
    with pytest.raises(Fault) as refused:
        address(ProviderKind.ANTHROPIC, capabilities={"embeddings": True})
    assert refused.value.code == "config.invalid"
    assert "messages" in refused.value.sentence


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "/a",
        "a/",
        "a//b",
        "a%2fb",
        "a?b",
        "a#b",
        "a b",
        "a\r\nb",
        "ä",
        "a\\b",
        "a" * 513,
    ],
)
def test_a_name_that_could_leave_its_path_is_refused(name: str) -> None:
    with pytest.raises(Fault) as refused:
        in_path(name)
    assert refused.value.code == "request.invalid"


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("./:%a?#&\\ \r\n", max_size=20))
def test_whatever_a_name_is_it_stays_one_segment_after_any_number_of_decodings(name: str) -> None:
    try:
        written = in_path(name)
    except Fault:
        return
    assert not set(written) & set("/?#\\ \r\n")
    assert unquote(written) == name == unquote(unquote(written))
    assert all(part.strip(".") for part in name.split("/"))
