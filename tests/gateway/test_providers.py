"""Which of a provider's paths a call goes to, whatever the client calls its model."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.gateway.habits import CONVERSATIONS, HABITS, WIRE_OF
from bawn.gateway.providers import Address, Serving, address_of, in_path, seller, served, serving
from bawn.gateway.settings import Provider, ProviderKind
from bawn.terms.exchange import Endpoint, WireName

NEEDED: dict[ProviderKind, dict[str, str]] = {
    ProviderKind.OPENAI_COMPATIBLE: {"base_url": "https://models.example/v1"},
    ProviderKind.SCRIPTED: {"base_url": "https://models.example/v1"},
    ProviderKind.AZURE: {"base_url": "https://house.openai.azure.com/openai/v1"},
    ProviderKind.BEDROCK: {"region": "eu-central-1"},
    ProviderKind.VERTEX: {"region": "europe-west1", "project": "house-1"},
}
"""What has to be said for a kind."""


def address(kind: ProviderKind, **said: object) -> Address:
    return address_of("p", Provider.model_validate({"kind": kind, **NEEDED.get(kind, {}), **said}), "")


def at(where: Address, endpoint: Endpoint, model: str = "m", *, stream: bool = False) -> Serving:
    return serving(where, endpoint, WIRE_OF[endpoint], model, stream=stream)


@pytest.mark.parametrize(
    ("kind", "model"),
    [(kind, f"{vendor}/m" if vendor else "m") for kind in ProviderKind for vendor in HABITS[kind].families or ("",)],
)
def test_every_wire_of_a_conversation_is_served_natively_or_by_translation(kind: ProviderKind, model: str) -> None:
    where = address(kind)
    for endpoint in sorted(CONVERSATIONS - {Endpoint.CONVERSE}):
        found = at(where, endpoint, model)
        assert found.translated is (endpoint not in served(where, model))
        assert found.wire is WIRE_OF[found.endpoint]
        assert found.endpoint in served(where, model)
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


def test_azure_has_openais_paths_behind_its_own_address() -> None:
    azure = address(ProviderKind.AZURE)
    assert azure.origin.authority == "house.openai.azure.com"
    assert at(azure, Endpoint.CHAT_COMPLETIONS).path == "/openai/v1/chat/completions"
    assert at(azure, Endpoint.RESPONSES).path == "/openai/v1/responses"
    assert azure.key_header("0123") == (b"api-key", b"0123")


def test_bedrock_is_where_its_region_is_and_has_the_model_in_its_path() -> None:
    bedrock = address(ProviderKind.BEDROCK)
    name = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert bedrock.origin.authority == "bedrock-runtime.eu-central-1.amazonaws.com"
    plain = at(bedrock, Endpoint.CONVERSE, name)
    assert plain.path == "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert at(bedrock, Endpoint.CONVERSE, name, stream=True).path.endswith("/converse-stream")
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/house"
    assert at(bedrock, Endpoint.CONVERSE, arn).path.count("/") == 3, "one segment, whatever it is called"
    assert at(bedrock, Endpoint.CHAT_COMPLETIONS, name).endpoint is Endpoint.CONVERSE


def test_vertex_serves_each_vendors_models_by_that_vendors_wire() -> None:
    vertex = address(ProviderKind.VERTEX)
    root = "/v1/projects/house-1/locations/europe-west1/publishers"
    assert vertex.origin.authority == "europe-west1-aiplatform.googleapis.com"
    google = at(vertex, Endpoint.GENERATE, "google/gemini-2.5-pro")
    assert google.path == f"{root}/google/models/gemini-2.5-pro:generateContent"
    assert google.fields == ()
    streamed = at(vertex, Endpoint.GENERATE, "google/gemini-2.5-pro", stream=True)
    assert streamed.path == f"{root}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    claude = at(vertex, Endpoint.MESSAGES, "anthropic/claude-sonnet-4-5@20250929")
    assert claude.path == f"{root}/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict"
    assert dict(claude.fields) == {"model": "", "anthropic_version": "vertex-2023-10-16"}
    streamed = at(vertex, Endpoint.MESSAGES, "anthropic/claude", stream=True)
    assert streamed.path == f"{root}/anthropic/models/claude:streamRawPredict"
    counted = at(vertex, Endpoint.COUNT_TOKENS, "anthropic/claude")
    assert counted.path == f"{root}/anthropic/models/count-tokens:rawPredict"
    assert dict(counted.fields)["model"] == "claude"
    assert at(vertex, Endpoint.MESSAGES, "google/gemini").endpoint is Endpoint.GENERATE
    assert at(vertex, Endpoint.GENERATE, "anthropic/claude").endpoint is Endpoint.MESSAGES
    assert served(vertex, "anthropic/claude") == (Endpoint.MESSAGES, Endpoint.COUNT_TOKENS)


@pytest.mark.parametrize("name", ["gemini-2.5-pro", "meta/llama", "google/", "google/../x", "/gemini", ""])
def test_a_model_of_no_vendor_that_vertex_has_is_refused(name: str) -> None:
    with pytest.raises(Fault) as refused:
        at(address(ProviderKind.VERTEX), Endpoint.GENERATE, name)
    assert refused.value.code in ("request.unknown_model", "request.invalid")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
    ],
)
def test_some_of_vertexs_regions_are_reached_elsewhere(region: str, host: str) -> None:
    vertex = address(ProviderKind.VERTEX, region=region)
    assert vertex.origin.authority == host
    assert vertex.prefix == f"/v1/projects/house-1/locations/{region}"


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({"kind": "azure"}, "base_url"),
        ({"kind": "bedrock"}, "region"),
        ({"kind": "bedrock", "base_url": "https://bedrock.example"}, "region"),
        ({"kind": "vertex", "region": "europe-west1"}, "project"),
        ({"kind": "vertex", "project": "house-1"}, "region"),
        ({"kind": "openai", "region": "eu"}, "region"),
        ({"kind": "bedrock", "region": "eu-central-1", "project": "house-1"}, "project"),
    ],
)
def test_what_a_kind_needs_and_what_it_does_not_know_is_said(said: dict[str, str], missing: str) -> None:
    with pytest.raises(Fault, match=missing) as refused:
        address_of("p", Provider.model_validate(said), "")
    assert refused.value.code == "config.invalid"


@pytest.mark.parametrize("region", ["eu.evil.example/", "EU", "x@y", "eu-central-1:443", "a", "-x"])
def test_a_region_cannot_lead_to_another_host(region: str) -> None:
    with pytest.raises(ValueError):
        Provider.model_validate({"kind": "bedrock", "region": region})


@pytest.mark.parametrize(
    ("said", "whose"),
    [
        ({"kind": "anthropic"}, "anthropic"),
        ({"kind": "bedrock", "region": "eu-central-1"}, "aws"),
        ({"kind": "azure", "base_url": "https://house.openai.azure.com/openai/v1"}, "azure"),
        ({"kind": "azure", "base_url": "https://azure.com.example/openai/v1"}, ""),
        ({"kind": "anthropic", "base_url": "https://gateway.example/v1"}, ""),
        ({"kind": "openai-compatible", "base_url": "https://gateway.example/v1"}, ""),
    ],
)
def test_prices_are_those_of_who_owns_the_address(said: dict[str, str], whose: str) -> None:
    assert seller(Provider.model_validate(said)) == whose


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
