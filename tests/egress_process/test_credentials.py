"""Values that containers use without holding them: put in at one place of one host, and found in no answer."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.egress_process.conftest import ONE, TWO, Caller, Start, Yard, until
from tests.egress_process.sites import Remembering, Site

from bawn.egress.credentials import placeholder
from bawn.egress.policy import Rule
from bawn.egress.scrub import Scrubber, Search
from bawn.errors import Fault

HOST, OTHER = "api.test", "other.test"
SECRET = 's3cr3t/Va+lue=with&marks%and"quotes'
MARK = placeholder(ONE, "forge")


async def echoes(reader: Remembering, writer: asyncio.StreamWriter) -> None:
    """Shows what it was sent, in chunks of five bytes."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        told = head + await reader.readexactly(length)
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-told: " + head.split(b"\r\n")[2] + b"\r\n\r\n"
        )
        for at in range(0, len(told), 5):
            piece = told[at : at + 5]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


def forge(**changes: Any) -> dict[str, Any]:
    return {"name": "forge", "value": SECRET, "host": HOST, "header": "Authorization", "require": True, **changes}


async def brokered(start: Start, **changes: Any) -> tuple[Yard, Site, Caller]:
    yard = await start()
    site = await yard.site(HOST, echoes)
    await yard.gateway.entrust(ONE, forge(**changes))
    await yard.gateway.rule(ONE, Rule(host=HOST, credential="forge"), Rule(host=OTHER, methods=("GET",)))
    return yard, site, await yard.tls(HOST, trust=yard.inside())


def get(path: str = "/", host: str = HOST, **headers: str) -> str:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n"


async def test_the_value_stands_in_the_stead_of_its_placeholder_and_comes_back_to_nobody(start: Start) -> None:
    yard, site, caller = await brokered(start)
    caller.writer.write(get(authorization=f"token {MARK}").encode())
    status, headers, body = await caller.whole_answer()
    assert status == 200
    assert f"authorization: token {SECRET}\r\n".encode() in bytes(site.got)
    assert SECRET.encode() not in body
    assert SECRET not in headers["x-told"]
    assert b"token " + b"*" * len(SECRET) in body
    [used] = yard.gateway.of("egress.credential_used")
    assert used["detail"]["credential"] == "forge"
    assert SECRET not in repr(yard.gateway.events)


async def test_basic_authentication_is_understood(start: Start) -> None:
    _, site, caller = await brokered(start)
    said = base64.b64encode(f"user:{MARK}".encode()).decode()
    caller.writer.write(get(authorization=f"Basic {said}").encode())
    _, _, body = await caller.whole_answer()
    real = base64.b64encode(f"user:{SECRET}".encode())
    assert b"authorization: Basic " + real in bytes(site.got)
    assert real[8:-4] not in body


async def test_a_query_parameter_is_a_place_as_well(start: Start) -> None:
    _, site, caller = await brokered(start, header=None, query="key")
    status, body = await caller.send(get(f"/x?a=1&key={MARK}&b=2"))
    assert status == 200
    assert f"GET /x?a=1&key={quote(SECRET, safe='')}&b=2 HTTP/1.1".encode() in bytes(site.got)
    assert quote(SECRET, safe="").encode() not in body


@pytest.mark.parametrize(
    "request_text",
    [
        get(x_other=MARK),
        get(authorization="Bearer a-value-of-its-own"),
        get(f"/{MARK}"),
        get(f"/?q={MARK}"),
        get(f"/?q={MARK.replace('b', '%62', 1)}"),
        get(f"/?q={quote(MARK.replace('-', '%2d'))}"),
        get(authorization=f"{MARK} {MARK}"),
        get(authorization=placeholder(TWO, "forge")),
        get(authorization=f"Bearer {MARK}", Authorization=f"Bearer {MARK}"),
        get(authorization="Basic " + base64.b64encode(b"user:own").decode()),
        f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(MARK) + 4}\r\n\r\n{{\n{MARK}}}\n",
        (
            f"POST / HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n"
            f"5\r\n{MARK[:5]}\r\n{len(MARK) - 5:x}\r\n{MARK[5:]}\r\n0\r\n\r\n"
        ),
    ],
)
async def test_a_placeholder_astray_or_a_value_of_ones_own_refuses_the_request(start: Start, request_text: str) -> None:
    yard, site, caller = await brokered(start)
    status, body = await caller.send(request_text)
    assert (status, body["error"]["code"]) == (403, "egress.credential_misplaced")
    assert bytes(site.got) == b""
    assert yard.gateway.of("egress.credential_used") == []


async def test_a_placeholder_in_a_long_body_is_found_before_it_goes(start: Start) -> None:
    yard, site, caller = await brokered(start)
    text = b"x" * 100_000 + MARK.encode() + b"y" * 1000
    caller.writer.write(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
    await caller.ended()
    await until(lambda: yard.gateway.codes() == ["egress.credential_misplaced"])
    assert MARK.encode() not in bytes(site.got)


async def test_another_host_gets_neither_value_nor_placeholder(start: Start) -> None:
    yard, _, _ = await brokered(start)
    site = await yard.site(OTHER, echoes, address="93.184.215.99")
    caller = await yard.tls(OTHER, trust=yard.inside())
    status, body = await caller.send(get(host=OTHER, authorization=f"Bearer {MARK}"))
    assert (status, body["error"]["code"]) == (403, "egress.credential_misplaced")
    assert bytes(site.got) == b""


async def test_plain_http_gets_no_value(start: Start) -> None:
    yard, _, _ = await brokered(start)
    site = await yard.site(HOST, echoes, port=80, tls=False)
    await yard.gateway.rule(ONE, Rule(host=HOST, ports=(80, 443)))
    caller = await yard.dial()
    status, _ = await caller.send(
        f"GET http://{HOST}/ HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {MARK}\r\n\r\n"
    )
    assert status == 403
    assert bytes(site.got) == b""


async def test_another_port_of_the_host_passes_unread_and_gets_no_value(start: Start) -> None:
    yard, _, _ = await brokered(start)
    site = await yard.site(HOST, echoes, port=8443)
    await yard.gateway.rule(ONE, Rule(host=HOST, ports=(8443,)))
    caller = await yard.connect(f"{HOST}:8443")
    await caller.writer.start_tls(yard.outside.trusting(), server_hostname=HOST)
    assert (await caller.send(get(authorization=f"Bearer {MARK}")))[0] == 200
    assert SECRET.encode() not in bytes(site.got)


async def test_what_is_not_required_may_bring_its_own(start: Start) -> None:
    _, site, caller = await brokered(start, require=False)
    assert (await caller.send(get(authorization="Bearer own")))[0] == 200
    assert b"authorization: Bearer own" in bytes(site.got)


async def test_uses_are_counted_and_end(start: Start) -> None:
    yard, site, caller = await brokered(start, uses=2)
    for expected in (200, 200, 403):
        status, _ = await caller.send(get(authorization=f"Bearer {MARK}"))
        assert status == expected
    assert bytes(site.got).count(SECRET.encode()) == 2
    await yard.gateway.entrust(ONE, forge(uses=2))
    again = await yard.tls(HOST, trust=yard.inside())
    assert (await again.send(get(authorization=f"Bearer {MARK}")))[0] == 403


async def test_nothing_is_put_in_that_is_not_recorded(start: Start) -> None:
    yard, site, caller = await brokered(start)
    yard.gateway.unable = True
    status, body = await caller.send(get(authorization=f"Bearer {MARK}"))
    assert (status, body["error"]["code"]) == (503, "egress.unavailable")
    assert bytes(site.got) == b""


async def test_ranges_and_compression_do_not_hide_the_value(start: Start) -> None:
    async def compressed(reader: Remembering, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nxxxx")

    yard, site, caller = await brokered(start)
    await caller.send(get(authorization=f"Bearer {MARK}", range="bytes=0-9"))
    assert b"range" not in bytes(site.got)
    await yard.site(HOST, compressed)
    again = await yard.tls(HOST, trust=yard.inside())
    status, body = await again.send(get(authorization=f"Bearer {MARK}"))
    assert (status, body["error"]["code"]) == (502, "egress.upstream_broken")


@pytest.mark.parametrize(
    "changes",
    [{"value": "short"}, {"value": "line\r\nbreak-in-it"}, {"host": "127.0.0.1"}, {"query": "both"}, {"value": 7}],
)
async def test_values_that_cannot_be_kept_to_their_place_are_not_taken(start: Start, changes: dict[str, Any]) -> None:
    yard = await start()
    with pytest.raises(Fault) as caught:
        await yard.gateway.entrust(ONE, forge(**changes))
    assert caught.value.code == "egress.policy_invalid"
    assert str(changes.get("value", SECRET)) not in str(caught.value) + caught.value.cause


SPELLINGS = {
    "raw": SECRET.encode(),
    "percent": quote(SECRET, safe="").encode(),
    "percent, all of it": b"".join(b"%%%02x" % byte for byte in SECRET.encode()),
    "json": SECRET.replace('"', '\\"').replace("/", "\\/").encode(),
    "json, all of it": b"".join(b"\\u%04x" % byte for byte in SECRET.encode()),
    "hex": SECRET.encode().hex().encode(),
    "HEX": SECRET.encode().hex().upper().encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_every_spelling_is_taken_out_however_it_is_cut(spelling: str, size: int) -> None:
    text = b"before " + SPELLINGS[spelling] + b" after " + SPELLINGS[spelling]
    scrubber = Scrubber(Search([SECRET.encode()]))
    out = b"".join(scrubber.feed(text[at : at + size]) for at in range(0, len(text), size)) + scrubber.rest()
    assert len(out) == len(text)
    assert out.replace(b"*", b"") == b"before  after "
    assert scrubber.found == 2


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found_in_every_alignment(before: int, alphabet: Any) -> None:
    text = alphabet(b"x" * before + SECRET.encode() + b"tail")
    scrubber = Scrubber(Search([SECRET.encode()]))
    out = b"".join(scrubber.feed(bytes([byte])) for byte in text) + scrubber.rest()
    # What is left is too little to tell even two bytes of the value.
    assert out.count(b"*") >= len(SECRET) * 8 // 6 - 2
    assert scrubber.found == 1


@given(st.binary(max_size=400), st.integers(1, 50))
def test_what_holds_no_secret_comes_out_as_it_was(text: bytes, size: int) -> None:
    scrubber = Scrubber(Search([SECRET.encode()]))
    out = b"".join(scrubber.feed(text[at : at + size]) for at in range(0, len(text), size)) + scrubber.rest()
    assert out == text


def test_a_stream_without_a_beginning_of_the_secret_waits_for_nothing() -> None:
    scrubber = Scrubber(Search([b"0123456789abcdef"]))
    assert scrubber.feed(b"data: hello\n\n") == b"data: hello\n\n"
