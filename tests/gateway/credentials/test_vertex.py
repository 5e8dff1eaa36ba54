"""Keys of a service account become tokens of Google, fetched once and before they end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.gateway.conftest import Start
from tests.gateway.credentials.conftest import (
    ASKED,
    Ground,
    bearer,
    put_on,
)
from tests.gateway.host import Heard, Host, Said, host, refusal, said

from bawn.errors import Fault
from bawn.gateway.providers import Origin, address_of
from bawn.gateway.settings import Provider, ProviderKind
from bawn.gateway.tokens import service_account


@cache
def rsa() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def account_json(uri: str, **more: Any) -> str:
    pem = rsa().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = {"type": "service_account", "client_email": "bawn@house.example", "private_key": pem, "private_key_id": "k1"}
    return json.dumps(said | {"token_uri": uri} | more)


def unpacked(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Google(Host):
    """Gives tokens at /token, each another, and answers everything else as Claude would."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self.token_answer: Said | None = None
        self.refuse: Sequence[str] = ()

    def speak(self, heard: Heard) -> Said:
        if heard.path == "/token":
            if self.token_answer is not None:
                return self.token_answer
            self.tokens += 1
            return said({"access_token": f"ya29.token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"})
        if bearer(heard) in self.refuse:
            return refusal(401)
        answer = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
        return said(answer)


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    played = Google()
    async with host(played.speak) as there:
        played.port, played.heard, played.open = there.port, there.heard, there.open
        yield played


def vertex(there: Host) -> Provider:
    base = f"{there.url}/v1/projects/house-1/locations/eu"
    return Provider(kind=ProviderKind.VERTEX, base_url=base, region="eu", project="house-1")


async def test_claude_on_vertex_is_called_natively_with_a_token_for_the_key(start: Start, google: Google) -> None:
    yard = await start(more={"vertex": vertex(google)})
    secret = account_json(f"{google.url}/token")
    yard.held.hold("vertex", secret)
    async with yard.client() as client:
        asked = {"model": "vertex/anthropic/claude-x@1", "max_tokens": 9, "messages": ASKED, "temperature": 0.50}
        for _ in range(3):
            got = await client.post("/v1/messages", json=asked)
            assert got.status_code == 200
    token, *calls = google.heard
    assert [call.path for call in calls] == [
        "/v1/projects/house-1/locations/eu/publishers/anthropic/models/claude-x%401:rawPredict"
    ] * 3
    assert {bearer(call) for call in calls} == {"ya29.token-1"}
    assert "model" not in calls[0].json
    assert calls[0].json["anthropic_version"] == "vertex-2023-10-16"
    assert calls[0].json["temperature"] == 0.5
    form = dict(part.split("=", 1) for part in token.body.decode().split("&"))
    assert form["grant_type"] == "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    rsa().public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), PKCS1v15(), SHA256()
    )
    assert unpacked(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert unpacked(claims)["iss"] == "bawn@house.example"
    assert unpacked(claims)["aud"] == f"{google.url}/token"
    assert unpacked(claims)["exp"] - unpacked(claims)["iat"] == 3600
    assert "PRIVATE KEY" not in str(google.heard)


async def test_many_calls_at_once_want_one_token(ground: Ground, google: Google) -> None:
    ground.held.hold("p", account_json(f"{google.url}/token"))
    key = ground.ring.take(address_of("p", vertex(google), ""))
    google.open.clear()
    waiting = [asyncio.create_task(key.ready()) for _ in range(50)]
    while not google.heard:
        await asyncio.sleep(0.005)
    waiting[0].cancel()
    google.open.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [None] * 49
    assert google.tokens == 1
    assert put_on(key) == {"authorization": "Bearer ya29.token-1"}


async def test_a_token_is_fetched_anew_before_it_ends_and_nobody_waits_for_that(ground: Ground, google: Google) -> None:
    ground.held.hold("p", account_json(f"{google.url}/token"))
    key = ground.ring.take(address_of("p", vertex(google), ""))
    await key.ready()
    ground.clock.seconds += 3299
    await key.ready()
    assert google.tokens == 1
    ground.clock.seconds += 2
    await key.ready()
    assert put_on(key)["authorization"].endswith("token-1"), "the old one holds on"
    while google.tokens < 2:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    await key.ready()
    assert put_on(key)["authorization"].endswith("token-2")
    google.token_answer = said({}, 503)
    ground.clock.seconds += 3400
    await key.ready()
    await asyncio.sleep(0.02)
    await key.ready()
    assert put_on(key)["authorization"].endswith("token-2"), "while the place of tokens is ill, too"
    ground.clock.seconds += 200
    with pytest.raises(Fault) as refused:
        await key.ready()
    assert refused.value.code == "upstream.unreachable"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (said({"error": "invalid_grant", "error_description": "SECRET-DETAIL"}, 400), "upstream.key_refused"),
        (said({"error": {"message": "SECRET-DETAIL"}}, 403), "upstream.key_refused"),
        (refusal(500), "upstream.unreachable"),
        (refusal(302, location="http://169.254.169.254/"), "upstream.unreachable"),
        ((200, {"content-type": "text/html"}, b"<html>"), "upstream.unreachable"),
        (said({"access_token": "x\r\nhost: evil", "expires_in": 3600}), "upstream.unreachable"),
        (said({"access_token": "ya29.0123456789", "expires_in": -1}), "upstream.unreachable"),
        (said({"access_token": 5}), "upstream.unreachable"),
        (said([]), "upstream.unreachable"),
    ],
)
async def test_no_token_is_said_without_the_key_and_not_asked_for_again_at_once(
    ground: Ground, google: Google, answer: Said, code: str
) -> None:
    secret = account_json(f"{google.url}/token")
    ground.held.hold("p", secret)
    google.token_answer = answer
    key = ground.ring.take(address_of("p", vertex(google), ""))
    for _ in range(5):
        with pytest.raises(Fault) as refused:
            await key.ready()
        assert refused.value.code == code
        assert not any(
            part in f"{refused.value.sentence} {refused.value.cause}" for part in ("PRIVATE", "SECRET-DETAIL")
        )
    assert len(google.heard) == 1
    google.token_answer = None
    ground.clock.seconds += 5
    await key.ready()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-no-json-0123456789",
        "{}",
        account_json("http://tokens.example/token"),
        account_json("ftp://127.0.0.1/token"),
        account_json("https://tokens.example/a b"),
        account_json("https://tokens.example:99999/"),
        account_json("https://tokens.example/", private_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        account_json("https://tokens.example/", client_email=5),
    ],
)  # fmt: skip
def test_what_is_no_key_of_a_service_account_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(Fault) as refused:
        service_account(secret)
    assert refused.value.code == "upstream.key_refused"
    assert "PRIVATE" not in f"{refused.value.sentence}{refused.value.cause}"


async def test_a_place_of_tokens_that_cannot_be_reached_is_said_so(ground: Ground) -> None:
    ground.held.hold("p", account_json("http://127.0.0.1:1/token"))
    with pytest.raises(Fault) as refused:
        await ground.ring.take(address_of("p", vertex(Host(port=1)), "")).ready()
    assert refused.value.code == "upstream.unreachable"


async def test_a_service_account_that_gets_no_token_leaves_the_call_to_another(start: Start, google: Google) -> None:
    yard = await start(more={"vertex": vertex(google)})
    yard.held.hold("vertex", "sk-this-is-none-of-them", account_json(f"{google.url}/token"))
    async with yard.client() as client:
        asked = {"model": "vertex/anthropic/claude", "max_tokens": 9, "messages": ASKED}
        got = [await client.post("/v1/messages", json=asked) for _ in range(3)]
    assert [each.status_code for each in got] == [200] * 3
    assert len(yard.keyring.resting("vertex")) == 1


async def test_a_token_that_was_refused_is_not_sent_again(start: Start, google: Google) -> None:
    yard = await start(more={"vertex": vertex(google)})
    yard.held.hold("vertex", account_json(f"{google.url}/token"))
    google.refuse = ("ya29.token-1",)
    async with yard.client() as client:
        asked = {"model": "vertex/anthropic/claude", "max_tokens": 9, "messages": ASKED}
        got = [await client.post("/v1/messages", json=asked) for _ in range(2)]
    assert [each.status_code for each in got] == [503, 200]


async def test_a_token_that_the_provider_quotes_does_not_reach_the_container(start: Start, google: Google) -> None:
    def echo(heard: Heard) -> Said:
        status, headers, body = google.speak(heard)
        return status, headers, body.replace(b'"hello"', json.dumps(bearer(heard)).encode())

    async with host(echo) as there:
        yard = await start(more={"vertex": vertex(there)})
        yard.held.hold("vertex", account_json(f"{there.url}/token"))
        async with yard.client() as client:
            asked = {"model": "vertex/anthropic/claude", "max_tokens": 9, "messages": ASKED}
            got = await client.post("/v1/messages", json=asked)
    assert got.status_code == 200
    assert "ya29" not in got.text


async def test_claude_on_vertex_streams_from_the_scripted_model(start: Start, scripted: Path) -> None:
    base = f"http://{(scripted / 'address').read_text()}/v1/projects/house-1/locations/eu"
    claude = Provider(kind=ProviderKind.VERTEX, base_url=base, key="none")
    yard = await start(more={"vertex": claude})
    async with yard.client() as client:
        asked = {"model": "vertex/anthropic/echo", "max_tokens": 50, "messages": ASKED}
        plain = await client.post("/v1/messages", json=asked)
        streamed = await client.post("/v1/messages", json={**asked, "stream": True})
        counted = await client.post("/v1/messages/count_tokens", json={"model": asked["model"], "messages": ASKED})
    assert plain.json()["content"][0]["text"] == "hello"
    assert b"message_stop" in streamed.content
    assert counted.json()["input_tokens"] > 0


def test_an_origin_of_tokens_is_where_the_key_says() -> None:
    found = service_account(account_json("https://oauth2.googleapis.com/token"))
    assert (found.origin, found.path) == (Origin("oauth2.googleapis.com", 443, tls=True), "/token")
