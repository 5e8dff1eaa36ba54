"""Which key a call is made with, what a refused one costs, and how each kind of key is put on."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import HeldKeys, Start
from tests.gateway.host import CHAT_ANSWER, Heard, Host, Said, host, refusal, said

from bawn.errors import Fault
from bawn.gateway.asking import ask
from bawn.gateway.credentials import Key, Keyring
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Address, Origin, address_of
from bawn.gateway.settings import Provider, ProviderKind
from bawn.gateway.sigv4 import ToSign, aws_key, signed
from bawn.gateway.tokens import service_account
from bawn.terms.event import Event

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
AWS = "AKIDEXAMPLEAKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
FIRST, SECOND = "sk-first-0123456789", "sk-second-0123456789"
ASKED = [{"role": "user", "content": "hello"}]


class HandClock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds - 1000)

    def monotonic(self) -> float:
        return self.seconds


class Ground:
    """A keyring on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.held = HeldKeys()
        self.events: list[Event] = []
        self.pool = Pool(time.monotonic, 5)
        self.ring = Keyring(self.held, self.pool, self.clock, self.events.append)
        self.plain = compiled(ProviderKind.OPENAI)

    def labels(self, count: int) -> list[str]:
        return [self.ring.take(self.plain).label for _ in range(count)]

    def told(self, key: Key, status: int, **headers: str) -> Key | None:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return self.ring.told(self.plain, key, status, lines)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    made.pool.close()


def compiled(kind: ProviderKind, name: str = "p", **more: object) -> Address:
    return address_of(name, Provider.model_validate({"kind": kind, **more}), "")


def put_on(key: Key, path: str = "/x", body: bytes = b"{}") -> dict[str, str]:
    lines = [b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json" % path.encode()]
    key.put_on(lines, "POST", path, body)
    return dict(line.decode().split(": ", 1) for line in lines[1:])


# which key


async def test_keys_take_turns_by_weight_and_smoothly(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND, "sk-third-0123456789", weights=(5, 1, 1))
    assert ground.labels(7) == ["", "", "k1", "", "k2", "", ""]
    assert Counter(ground.labels(70)) == {"": 50, "k1": 10, "k2": 10}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_in_one_round_each_key_has_exactly_its_share(weights: list[int]) -> None:
    ground = Ground()
    ground.held.hold("p", *(f"sk-{at}-0123456789" for at in range(len(weights))), weights=tuple(weights))
    counted = Counter(ground.labels(sum(weights)))
    assert [counted[f"k{at}" if at else ""] for at in range(len(weights))] == weights


async def test_a_refused_key_rests_ten_minutes_and_another_is_given_at_once(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    other = ground.told(key, 401)
    assert other is not None
    assert other.label != key.label
    assert set(ground.labels(6)) == {other.label}
    ground.clock.seconds += 599
    assert set(ground.labels(6)) == {other.label}
    ground.clock.seconds += 1
    assert len(set(ground.labels(6))) == 2
    assert [(event.event, event.provider, dict(event.detail)["label"]) for event in ground.events] == [
        ("key.rests", "p", key.label)
    ]


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("7", 7), ("0", 0), ("3600", 60), ("", 5), ("soon", 5), ("-3", 5), ("1e9", 5), ("٣", 5), ("9" * 400, 60),
        (format_datetime(NOON + timedelta(seconds=20), usegmt=True), 20),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0),
        ("Wed, 31 Jan 2030 12:00:20", 5),
    ],
)  # fmt: skip
async def test_a_key_with_too_many_calls_rests_as_long_as_the_provider_says(
    ground: Ground, said: str, rest: int
) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    assert ground.told(key, 429, **({"retry_after": said} if said else {})) is None, "the client tries again, not we"
    assert round(key.rests_until - ground.clock.seconds) == rest


async def test_when_all_rest_the_one_that_wakes_first_is_used(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    one, two = ground.ring.all(ground.plain)
    ground.told(one, 401)
    ground.told(two, 429, retry_after="30")
    assert ground.labels(3) == [two.label] * 3
    assert ground.told(two, 403) is None, "nobody is awake"
    assert ground.ring.resting("p").keys() == {one.held.id, two.held.id}


async def test_a_key_that_is_told_403_rests_only_when_another_one_is_not(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    other = ground.told(key, 403)
    assert other is not None
    assert ground.ring.resting("p") == {}
    ground.ring.refused(ground.plain, key)
    assert ground.ring.resting("p").keys() == {key.held.id}
    ground.ring.served(key)
    assert ground.ring.resting("p") == {}


async def test_what_nobody_may_ask_puts_no_key_to_rest(start: Start) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(403) if b"forbidden" in heard.body else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            for _ in range(3):
                asked = {"model": "keyed/forbidden", "messages": ASKED}
                assert (await client.post("/v1/chat/completions", json=asked)).status_code == 503
            assert yard.keyring.resting("keyed") == {}
            fine = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert fine.status_code == 200


async def test_the_only_key_is_used_though_it_was_refused(ground: Ground) -> None:
    ground.held.hold("p", FIRST)
    key = ground.ring.take(ground.plain)
    assert ground.told(key, 401) is None
    assert ground.ring.take(ground.plain) is key


async def test_keys_that_are_taken_away_while_one_is_refused_lose_no_answer(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    ground.held.hold("p")
    assert ground.told(key, 401) is None


async def test_a_rotated_key_is_awake_and_the_others_go_on_resting(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    one, two = ground.ring.all(ground.plain)
    ground.told(one, 401)
    ground.told(two, 401)
    held = ground.held.keys_for("p")
    ground.held.hold("p", "sk-fresh-0123456789")
    fresh = ground.held.keys_for("p")[0]
    ground.held.put("p", (fresh, held[1]))
    assert ground.labels(3) == [""] * 3
    assert ground.ring.take(ground.plain).secret == b"sk-fresh-0123456789"
    assert ground.ring.resting("p").keys() == {held[1].id}


async def test_a_reload_wakes_no_key_even_when_the_provider_has_moved(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    ground.told(key, 401)
    same = compiled(ProviderKind.OPENAI)
    moved = compiled(ProviderKind.OPENAI, base_url="https://elsewhere.example/v1")
    for address in (same, moved):
        assert {ground.ring.take(address).label for _ in range(4)} == {"k1"}


async def test_without_a_key_the_remedy_is_named(ground: Ground) -> None:
    with pytest.raises(Fault, match="no key") as refused:
        ground.ring.take(ground.plain)
    assert refused.value.code == "upstream.no_key"


def test_a_key_shows_itself_nowhere() -> None:
    ground = Ground()
    ground.held.hold("p", FIRST, AWS)
    for key in ground.ring.all(ground.plain):
        assert FIRST not in f"{key!r} {key.held!r}"
        assert "wJalr" not in f"{key!r} {key.held!r}"


# calls


def bearer(heard: Heard) -> str:
    return heard.headers.get("authorization", "").removeprefix("Bearer ")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_call_whose_key_is_refused_is_made_again_with_another(start: Start, status: int) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(status) if bearer(heard) == FIRST else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            for _ in range(3):
                got = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
                assert got.status_code == 200
    assert [bearer(heard) for heard in there.heard] == [FIRST, SECOND, SECOND, SECOND]
    await yard.settled(3)
    assert yard.ledger.running(yard.registry.now.container.uuid) == 0
    assert [dict(event.detail)["key"] for event in yard.record.of("call.settled")] == ["k1"] * 3
    rested = yard.record.of("key.rests")[0]
    assert (rested.provider, dict(rested.detail)) == ("keyed", {"label": "", "seconds": "600"})
    assert FIRST not in str(yard.record.events)


async def test_a_call_is_made_again_once_and_not_with_every_key(start: Start) -> None:
    async with host(lambda heard: refusal(401)) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND, "sk-third-0123456789")
        async with yard.client() as client:
            got = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert (got.status_code, got.json()["error"]["code"]) == (503, "upstream.key_refused")
    assert len(there.heard) == 2
    assert len(yard.keyring.resting("keyed")) == 2


async def test_too_many_calls_pass_on_to_the_client_and_the_next_call_has_another_key(start: Start) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(429, retry_after="9") if bearer(heard) == FIRST else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            first = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
            then = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert (first.status_code, first.headers["retry-after"], then.status_code) == (429, "9", 200)
    assert [bearer(heard) for heard in there.heard] == [FIRST, SECOND]


async def test_a_refused_stream_is_made_again_as_well(start: Start, scripted: Path) -> None:
    frames = (
        b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )

    def answer(heard: Heard) -> Said:
        return refusal(401) if bearer(heard) == FIRST else (200, {"content-type": "text/event-stream"}, frames)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            asked = {"model": "keyed/m", "messages": ASKED, "stream": True}
            got = await client.post("/v1/chat/completions", json=asked)
    assert got.status_code == 200
    assert b"[DONE]" in got.content


# Azure


async def test_azure_is_called_by_openais_paths_with_its_own_header(start: Start) -> None:
    async with host() as there:
        azure = Provider(kind=ProviderKind.AZURE, base_url=f"{there.url}/openai/v1")
        yard = await start(more={"azure": azure})
        yard.held.hold("azure", "0123456789abcdef")
        async with yard.client() as client:
            got = await client.post("/v1/chat/completions", json={"model": "azure/house-gpt", "messages": ASKED})
    assert got.status_code == 200
    heard = there.heard[0]
    assert (heard.path, heard.headers["api-key"]) == ("/openai/v1/chat/completions", "0123456789abcdef")
    assert "authorization" not in heard.headers
    assert heard.json["model"] == "house-gpt"


# Bedrock


async def test_a_key_of_aws_signs_the_exact_request_and_is_not_sent(ground: Ground) -> None:
    ground.held.hold("p", AWS)
    address = compiled(ProviderKind.BEDROCK, region="eu-central-1")
    path, body = "/model/anthropic.claude-v2%3A1/converse", b'{"messages":[]}'
    added = put_on(ground.ring.take(address), path, body)
    key = aws_key(AWS)
    assert key is not None
    headers = (("content-type", "application/json"), ("host", "bedrock-runtime.eu-central-1.amazonaws.com"))
    assert added == dict(signed(ToSign("POST", path, "", headers, body), key, "eu-central-1", "bedrock", NOON))
    assert "wJalr" not in str(added)
    other = put_on(ground.ring.take(address), path, body + b" ")
    assert other["authorization"] != added["authorization"]


async def test_a_temporary_key_of_aws_sends_its_session_which_never_comes_back(ground: Ground) -> None:
    ground.held.hold("p", f"{AWS}:session-token-0123456789")
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    assert put_on(key)["x-amz-security-token"] == "session-token-0123456789"
    assert key.secret == b"session-token-0123456789"


async def test_an_api_key_of_bedrock_is_sent_as_it_stands(ground: Ground) -> None:
    ground.held.hold("p", "ABSK-0123456789")
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    assert put_on(key) == {"authorization": "Bearer ABSK-0123456789"}


async def test_what_is_sent_in_parts_cannot_be_signed(ground: Ground) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    ground.held.hold("p", AWS)
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    with pytest.raises(Fault, match="signed whole"):
        key.put_on([b""], "POST", "/x", parts())


async def test_the_scripted_model_answers_where_bedrock_would(ground: Ground, scripted: Path) -> None:
    origin = f"http://{(scripted / 'address').read_text()}"
    ground.held.hold("p", AWS)
    address = compiled(ProviderKind.BEDROCK, region="eu-central-1", base_url=origin)
    path = "/model/echo/converse"
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]}).encode()
    lines = [b"POST %b HTTP/1.1\r\nhost: %b" % (path.encode(), address.origin.authority.encode())]
    lines.append(b"content-length: %d" % len(body))
    ground.ring.take(address).put_on(lines, "POST", path, body)
    told = await ask(ground.pool, time.monotonic, address.origin, b"\r\n".join(lines) + b"\r\n\r\n", body)
    assert told.status == 200
    assert json.loads(told.body)["output"]["message"]["content"] == [{"text": "hello"}]


# Vertex


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
