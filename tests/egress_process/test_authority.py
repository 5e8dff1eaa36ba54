"""The authority that vouches for hosts whose TLS ends at the door: for these, and for nobody else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from bawn.egress.authority import Authority


def shaken(authority: Authority, served: str, asked: str, pem: str | None = None) -> None:
    """A handshake in memory. SSLError when the client does not believe."""
    server = authority.context(served)
    client = ssl.create_default_context(cadata=pem or authority.pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=asked)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for end in (near, far):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    assert near.version() in ("TLSv1.2", "TLSv1.3")


def now() -> datetime:
    return datetime.now(UTC)


def test_containers_believe_it_for_its_hosts() -> None:
    authority = Authority(now)
    assert authority.speak_for(["seen.test", "*.wide.test"])
    shaken(authority, "seen.test", "seen.test")
    shaken(authority, "a.wide.test", "a.wide.test")


@pytest.mark.parametrize("host", ["other.test", "seen.test.other.test", "xseen.test", "localhost"])
def test_nobody_believes_it_for_another_host_even_if_it_signs(host: str) -> None:
    authority = Authority(now)
    authority.speak_for(["seen.test"])
    with pytest.raises(ssl.SSLError, match="permitted subtree violation"):
        shaken(authority, host, host)


def test_an_authority_of_no_hosts_is_believed_for_none() -> None:
    with pytest.raises(ssl.SSLError):
        shaken(Authority(now), "seen.test", "seen.test")


def test_what_was_trusted_before_a_host_was_added_is_trusted_for_its_own() -> None:
    authority = Authority(now)
    authority.speak_for(["seen.test"])
    old = authority.pem
    assert authority.speak_for(["later.test"])
    assert not authority.speak_for(["seen.test", "later.test"])
    shaken(authority, "seen.test", "seen.test", old)
    shaken(authority, "later.test", "later.test")
    with pytest.raises(ssl.SSLError):
        shaken(authority, "later.test", "later.test", old)


def test_two_boots_have_nothing_in_common() -> None:
    one, two = Authority(now), Authority(now)
    for each in (one, two):
        each.speak_for(["seen.test"])
    with pytest.raises(ssl.SSLError):
        shaken(one, "seen.test", "seen.test", two.pem)


def test_its_certificate_says_what_it_may_not() -> None:
    certificate = x509.load_pem_x509_certificate(Authority(now).pem.encode())
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert len(constraints.value.excluded_subtrees or ()) == 2
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.value.ca, basic.value.path_length) == (True, 0)


def test_certificates_of_hosts_are_kept_and_made_anew_before_they_end() -> None:
    moment = now()
    authority = Authority(lambda: moment)
    authority.speak_for(["seen.test"])
    first = authority.context("seen.test")
    assert authority.context("seen.test") is first
    moment += timedelta(days=6, hours=1)
    assert authority.context("seen.test") is not first
