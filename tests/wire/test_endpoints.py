"""Which paths there are, and that nothing else is read into one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.wire import Route, endpoint

OPENAI, ANTHROPIC = WireName.OPENAI, WireName.ANTHROPIC
KNOWN = {
    "chat/completions": ("POST", Endpoint.CHAT_COMPLETIONS, OPENAI),
    "embeddings": ("POST", Endpoint.EMBEDDINGS, OPENAI),
    "messages": ("POST", Endpoint.MESSAGES, ANTHROPIC),
    "messages?beta=true": ("POST", Endpoint.MESSAGES, ANTHROPIC),
    "messages/count_tokens": ("POST", Endpoint.COUNT_TOKENS, ANTHROPIC),
    "models": ("GET", Endpoint.MODELS, None),
    "models?limit=1000": ("GET", Endpoint.MODELS, None),
}


@pytest.mark.parametrize("root", ["/api/v1/", "/v1/"])
@pytest.mark.parametrize("path", KNOWN)
def test_every_documented_path_is_known_under_both_roots(root: str, path: str) -> None:
    method, asked, speaks = KNOWN[path]
    assert endpoint(method, (root + path).encode()) == Route(asked, speaks)


@pytest.mark.parametrize("path", KNOWN)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "CONNECT", "post", ""])
def test_a_known_path_takes_its_method_only(path: str, method: str) -> None:
    assert refused(method, b"/v1/" + path.encode()) == "http.method_not_allowed"


def test_one_model_is_asked_for_by_its_id() -> None:
    assert endpoint("GET", b"/v1/models/p/m-1:free@x").model == "p/m-1:free@x"
    assert endpoint("GET", b"/v1/models/p%2Fm").model == "p/m"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_probe_is_answered(method: str) -> None:
    assert endpoint(method, b"/").endpoint is Endpoint.PROBE


def refused(method: str, path: bytes) -> str:
    with pytest.raises(Fault) as fault:
        endpoint(method, path)
    return fault.value.code


@pytest.mark.parametrize(
    "path",
    [
        b"", b"*", b"http://ai.bawn.internal/v1/messages", b"//v1/messages", b"/v1//messages", b"/v1/messages/",
        b"/v1/../v1/messages", b"/v1/./messages", b"/v1/messages;x", b"/v1/messages?", b"/v1/messages?beta=true&x=1",
        b"/v1/messages#x", b"/v1%2fmessages", b"/v1/m%65ssages", b"/V1/messages", b"/v1/Messages", b"/v1/messages\x00",
        b"/v1/messages\xff", b"/v1/messages ", b"/v1/chat\\completions", b"/v1/responses/", b"/v1/models/",
        b"/v1/models/%2e%2e", b"/v1/models/a%00", b"/v1/chat/completions?beta=true", b"/api/v2/messages",
        b"/v1/messages\n", b"/v1/models\n", b"/v1/models/a\n",
    ],
)  # fmt: skip
def test_what_would_need_a_second_reading_is_unknown(path: bytes) -> None:
    for method in ("GET", "POST"):
        assert refused(method, path) in ("http.unknown_path", "http.malformed")


@given(st.text(max_size=8), st.binary(max_size=40))
def test_any_path_is_a_route_or_a_fault(method: str, path: bytes) -> None:
    with suppress(Fault):
        assert endpoint(method, path).endpoint in Endpoint
