"""Whatever comes: the readers say yes in one way, or no by their own errors, however the bytes are cut."""

from __future__ import annotations

import random
import ssl
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.fuzz_parsers import SEEDS, fuzz

from bawn.egress import git
from bawn.egress.addresses import refusal
from bawn.egress.chunks import ChunkReader
from bawn.egress.clienthello import BadHello, read_hello
from bawn.egress.head import read_head
from bawn.egress.hosts import BadHostError, host_port, matches, normal_host, normal_pattern
from bawn.egress.policy import Allowed, Asked, Policy, Rule, decide, doubt, rule_of
from bawn.egress.reasons import Denied, answer
from bawn.errors import Fault

_NAT64 = IPv6Network("64:ff9b::/96")

names = st.sampled_from(["a.example", "b.example", "x.a.example", "y.x.a.example", "example", "c.example"])
patterns = st.one_of(names.filter(lambda name: "." in name), st.sampled_from(["*.a.example", "*.x.a.example"]))
rules = st.builds(
    Rule,
    host=patterns,
    ports=st.sampled_from([(443,), (80, 443), (8443,)]),
    methods=st.sampled_from([(), ("GET",), ("GET", "POST")]),
    paths=st.sampled_from([(), ("/v1/",), ("/v1/", "/v2"), ("/",)]),
    bytes=st.sampled_from([None, 10, 1000]),
    seconds=st.sampled_from([None, 5.0]),
    source=st.sampled_from(["one", "two"]),
)
asked = st.builds(
    Asked,
    host=names,
    port=st.sampled_from([80, 443, 8443]),
    method=st.sampled_from([None, "GET", "DELETE"]),
    path=st.sampled_from([b"/v1/me", b"/v2", b"/", b"/v1/../v2"]),
)


def expect(error: Fault | Denied | BadHello, *codes: str) -> None:
    """The error is one that this reader may raise."""
    assert error.code in codes, error


@given(st.lists(rules, max_size=6), asked, st.randoms())
def test_the_order_of_rules_means_nothing(some: list[Rule], wanted: Asked, order: random.Random) -> None:
    mixed = list(some)
    order.shuffle(mixed)
    assert decide(Policy("u", "dev", tuple(some)), wanted) == decide(Policy("u", "dev", tuple(mixed)), wanted)


@given(st.lists(rules, max_size=5), rules, asked)
def test_a_further_rule_takes_nothing_away(some: list[Rule], further: Rule, wanted: Asked) -> None:
    if isinstance(decide(Policy("u", "dev", tuple(some)), wanted), Allowed):
        assert isinstance(decide(Policy("u", "dev", (*some, further)), wanted), Allowed)


@given(asked)
def test_without_rules_nothing_is_allowed(wanted: Asked) -> None:
    assert isinstance(decide(Policy("u", "dev", ()), wanted), Denied)


@given(st.text(max_size=80))
def test_a_name_has_one_form(text: str) -> None:
    try:
        name = normal_host(text)
    except BadHostError:
        return
    assert normal_host(name) == name
    assert name.isascii()
    assert matches(name, name)
    with pytest.raises(ValueError):
        ip_address(name)


@given(st.text(max_size=60), st.text(max_size=8))
def test_an_authority_is_a_name_and_a_port_or_none(name: str, port: str) -> None:
    try:
        host, number = host_port(f"{name}:{port}")
    except BadHostError:
        return
    assert host == normal_host(name)
    assert str(number) == port


@given(st.text(max_size=60))
def test_a_rule_is_read_or_refused_by_words(text: str) -> None:
    try:
        rule = rule_of(text)
    except Fault as fault:
        expect(fault, "config.invalid")
        return
    assert normal_pattern(rule.host) == rule.host


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_an_address_that_is_reached_is_public_by_every_reading(address: IPv4Address | IPv6Address) -> None:
    if refusal(address, ()):
        return
    reached = getattr(address, "ipv4_mapped", None) or address
    if isinstance(reached, IPv6Address) and reached in _NAT64:
        reached = IPv4Address(int(reached) & 0xFFFFFFFF)
    assert reached.is_global
    assert not reached.is_multicast
    assert not reached.is_reserved


@given(st.binary(max_size=60).map(lambda data: b"/" + data))
def test_a_path_without_doubt_means_the_same_however_often_it_is_decoded(path: bytes) -> None:
    if doubt(path):
        return
    once = unquote_to_bytes(path)
    assert unquote_to_bytes(once) == once
    assert once.count(b"/") == path.count(b"/")
    assert b"/../" not in once + b"/"


@given(st.binary(max_size=400))
def test_any_bytes_are_no_head_or_one(data: bytes) -> None:
    for held in (
        data,
        data + b"\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n" + data + b"\r\n\r\n",
    ):
        try:
            found = read_head(held)
        except Denied as denied:
            expect(denied, "egress.malformed", "egress.bad_host", "egress.authority_mismatch")
            answer(denied)
            continue
        if found is not None:
            head, length = found
            assert head.host == normal_host(head.host)
            assert b"\r\n\r\n" in held[:length]


GOOD_HEADS = [seed for seed in SEEDS["head"] if seed.endswith(b"\r\n\r\n")]


@given(st.sampled_from(GOOD_HEADS), st.binary(max_size=40))
def test_a_head_is_read_the_same_however_much_of_it_is_there(whole: bytes, after: bytes) -> None:
    expected = _outcome(whole + after)
    for cut in range(len(whole)):
        found = _outcome(whole[:cut])
        assert found in (None, expected) or isinstance(found, str), (cut, found)
        if isinstance(found, str):
            assert found == expected


def _outcome(data: bytes) -> object:
    try:
        return read_head(data)
    except Denied as denied:
        return denied.code


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    st.binary(max_size=20),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_chunks_are_read_the_same_however_they_are_cut(pieces: list[bytes], after: bytes, cuts: list[int]) -> None:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n" + after
    reader, got, at, turn = ChunkReader(), b"", 0, 0
    while at < len(whole) and not reader.done:
        size = cuts[turn % len(cuts)]
        got += b"".join(reader.feed(whole[at : at + size]))
        at, turn = at + size, turn + 1
    assert reader.done
    assert got == b"".join(pieces)
    assert reader.rest() + whole[at:] == after


@given(st.binary(max_size=60))
def test_any_bytes_are_chunks_or_refused(data: bytes) -> None:
    reader = ChunkReader()
    try:
        for byte in data:
            reader.feed(bytes([byte]))
    except Denied as denied:
        expect(denied, "egress.malformed")


@pytest.mark.parametrize(
    "body",
    [b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\n\r\n",
     b"+5\r\nhello\r\n",
     b"0x5\r\nhello\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n", b"-1\r\n", b"\r\n", b"0\r\nx: y\r\n\r\n", b"0\r\nX",
     b"fffffffff\r\n",
     b"5\r\rhello\r\n", b"0\n\n", b"g\r\n"],
)  # fmt: skip
def test_a_chunk_that_ends_otherwise_than_it_says_is_refused(body: bytes) -> None:
    with pytest.raises(Denied):
        ChunkReader().feed(body)


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\nhost: a.example\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: b.example\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example:81\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ncontent-length: +1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ncontent-length: 1, 1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding : chunked\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n folded: x\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\nx: y\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\nx: a\0b\r\n\r\n",
        b"GET  http://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1 \r\nhost: a.example\r\n\r\n",
        b"GET http://a.example/ HTTP/2.0\r\nhost: a.example\r\n\r\n",
        b"get http://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET https://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET ftp://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET http://u@a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET http://a.example?x HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"CONNECT a.example HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: b.example:443\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:80\r\n\r\n",
        b"CONNECT http://a.example:443/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\ncontent-length: 5\r\n\r\nhello",
        b"\r\nGET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"GET http://a.example/" + b"a" * 20_000,
    ],
)
def test_a_head_that_two_readers_would_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(Denied):
        assert read_head(head) is None
        read_head(head + b"\r\n\r\n")


# TLS


def hello_of(
    name: str | None, *, alpn: list[str] | None = None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(alpn)
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(came, goes, server_hostname=name).do_handshake()
    return goes.read()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_real_hello_is_read_byte_by_byte(newest: ssl.TLSVersion) -> None:
    whole = hello_of("files.example", alpn=["h2", "http/1.1"], newest=newest)
    for cut in range(len(whole)):
        assert read_hello(whole[:cut]) is None
    hello = read_hello(whole)
    assert hello is not None
    assert (hello.server_name, hello.alpn) == ("files.example", (b"h2", b"http/1.1"))


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_hello_in_many_records_is_put_together(size: int) -> None:
    message = hello_of("files.example")[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    hello = read_hello(b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces))
    assert hello is not None
    assert hello.server_name == "files.example"


def rebuilt(extensions: bytes) -> bytes:
    """A hello with these extensions alone."""
    body = b"\x03\x03" + b"r" * 32 + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + len(extensions).to_bytes(2) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


def sni(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(bytes([kind]) + len(name).to_bytes(2) + name for name in names)
    return b"\0\0" + (len(entries) + 2).to_bytes(2) + len(entries).to_bytes(2) + entries


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (hello_of(None), "egress.sni_missing"),
        (rebuilt(b""), "egress.sni_missing"),
        (rebuilt(sni(b"a.example", b"b.example")), "egress.not_tls"),
        (rebuilt(sni(b"a.example") + sni(b"a.example")), "egress.not_tls"),
        (rebuilt(sni(b"a.example", kind=1)), "egress.not_tls"),
        (rebuilt(sni(b"a\0.example")), "egress.sni_mismatch"),
        (rebuilt(sni(b"127.0.0.1")), "egress.sni_mismatch"),
        (rebuilt(sni(b"")), "egress.sni_mismatch"),
        (rebuilt(sni(b"a.example") + b"\xfe\x0d\0\x04echo"), "egress.ech"),
        (rebuilt(sni(b"a.example") + b"\xff\xce\0\0"), "egress.ech"),
        (rebuilt(sni(b"a.example")[:-1]), "egress.not_tls"),
        (b"GET / HTTP/1.1\r\n\r\n", "egress.not_tls"),
        (b"\x80\x2e\x01\x00\x02", "egress.not_tls"),
        (b"SSH-2.0-x\r\n", "egress.not_tls"),
        (b"\x16\x03\x01\0\0", "egress.not_tls"),
        (b"\x16\x03\x01\0\x04\x02\0\0\0", "egress.not_tls"),
        (b"\x16\x03\x01\0\x04\x01\xff\xff\xff", "egress.not_tls"),
        (b"\x15\x03\x01\0\x02\x02\x28", "egress.not_tls"),
    ],
)
def test_a_hello_that_does_not_say_one_host_is_refused_by_its_code(data: bytes, code: str) -> None:
    with pytest.raises(BadHello) as caught:
        read_hello(data)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_any_bytes_are_a_hello_or_refused(data: bytes) -> None:
    for held in (data, b"\x16\x03\x01" + data, rebuilt(data)):
        try:
            read_hello(held)
        except BadHello as bad:
            expect(bad, "egress.not_tls", "egress.sni_missing", "egress.sni_mismatch", "egress.ech")


# git


@given(st.binary(max_size=200))
def test_any_bytes_are_a_push_or_refused(data: bytes) -> None:
    try:
        git.changes(data)
    except Denied as denied:
        expect(denied, "egress.malformed")


def test_a_push_is_read_the_same_however_much_of_it_is_there() -> None:
    line = b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/fix\0 report-status\n"
    whole = (len(line) + 4).to_bytes(2).hex().encode() + line + b"0000PACK"
    for cut in range(len(whole) - 4):
        assert git.changes(whole[:cut]) is None
    (change,) = git.changes(whole) or []
    assert change.reference == "refs/heads/fix"


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_a_short_run_of_the_fuzzer_finds_nothing(seed: int) -> None:
    assert fuzz(seconds=0.02, seed=seed) == []
