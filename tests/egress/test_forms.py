"""Every form of a place that must not be reached is refused, and none that must be."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.egress import forms

from bawn.egress.addresses import METADATA, OWN, refusal
from bawn.egress.hosts import BadHostError, host_port, matches, normal_host
from bawn.egress.policy import Allowed, Asked, Policy, decide, doubt, rule_of
from bawn.egress.reasons import Denied
from bawn.errors import Fault

ALLOWED = Policy("u", "dev", (rule_of("allowed.example:443"), rule_of("*.wild.example:443")))
API = rule_of({"host": "api.example", "methods": ["GET"], "paths": ["/v1/", "/exact"]})


def test_there_are_more_than_a_thousand_forms() -> None:
    counted = (forms.refused_addresses(), forms.refused_names(), forms.refused_authorities(), forms.doubtful_paths())
    assert sum(len(each) for each in counted) > 1900


def test_every_address_that_is_not_public_is_refused() -> None:
    leaks = [text for text in forms.refused_addresses() if not refusal(ip_address(text), ())]
    assert leaks == []


def test_public_addresses_are_reached() -> None:
    wrong = [text for text in (*forms.PUBLIC_4, *forms.PUBLIC_6) if refusal(ip_address(text), ())]
    assert wrong == []
    # What translators write in daily use is as good as what it carries.
    for text in forms.PUBLIC_4:
        assert not refusal(ip_address(f"::ffff:{text}"), ())
        assert not refusal(ip_address(f"64:ff9b::{text}"), ())


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:169.254.169.254"]
)
def test_metadata_services_have_a_code_of_their_own(text: str) -> None:
    assert refusal(ip_address(text), ()) == METADATA


def test_this_hosts_own_addresses_are_refused_though_they_are_public() -> None:
    own = {ip_address("8.8.8.8"), ip_address("2606:4700::1")}
    for text in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::1"):
        assert refusal(ip_address(text), own) == OWN


def test_every_odd_name_is_refused() -> None:
    leaks = []
    for text in forms.refused_names():
        try:
            leaks.append((text, normal_host(text)))
        except BadHostError:
            continue
    # One dot at the end is the one spelling that is mended: it is the same name in DNS.
    assert [each for each in leaks if each[0].removesuffix(".") != each[1]] == []
    assert [each for each in leaks if each[0].removesuffix(".") == each[1] and not each[0].endswith(".")] == []


def test_good_names_are_taken_as_they_are() -> None:
    assert [normal_host(name) for name in forms.good_names()] == forms.good_names()
    assert normal_host("WWW.Example.ORG.") == "www.example.org"


def test_every_odd_authority_is_refused() -> None:
    leaks = []
    for text in forms.refused_authorities():
        try:
            leaks.append((text, host_port(text)))
        except BadHostError:
            continue
    assert [each for each in leaks if not each[0].removesuffix(":443").endswith(".")] == []


def test_every_doubtful_path_is_refused_where_a_rule_looks_at_paths() -> None:
    policy = Policy("u", "dev", (API,))
    leaks = [
        path
        for path in forms.doubtful_paths()
        if isinstance(decide(policy, Asked("api.example", 443, "GET", path)), Allowed)
    ]
    assert leaks == []


@pytest.mark.parametrize(
    "path", [b"/v1/", b"/v1/me", b"/v1/a/b/c", b"/exact", b"/exact/below", b"/v1/a-b_c~d", b"/v1/%41"]
)
def test_plain_paths_beneath_the_allowed_are_allowed(path: bytes) -> None:
    assert isinstance(decide(Policy("u", "dev", (API,)), Asked("api.example", 443, "GET", path)), Allowed)


@pytest.mark.parametrize("path", [b"/", b"/v1", b"/v10/me", b"/v", b"/exactly", b"/V1/me", b"/x/v1/", b"/exact%41"])
def test_other_paths_are_not(path: bytes) -> None:
    denied = decide(Policy("u", "dev", (API,)), Asked("api.example", 443, "GET", path))
    assert isinstance(denied, Denied)
    assert denied.code == "egress.path_not_allowed"
    assert not doubt(path)


@pytest.mark.parametrize(
    ("host", "port", "reached"),
    [
        ("allowed.example", 443, True),
        ("allowed.example", 80, False),
        ("allowed.example", 8443, False),
        ("sub.allowed.example", 443, False),
        ("notallowed.example", 443, False),
        ("allowed.example.evil.example", 443, False),
        ("evil-allowed.example", 443, False),
        ("a.wild.example", 443, True),
        ("a.b.wild.example", 443, True),
        ("wild.example", 443, False),
        ("evilwild.example", 443, False),
        ("example", 443, False),
    ],
)
def test_a_rule_means_its_name_and_port_and_nothing_beside(host: str, port: int, reached: bool) -> None:
    assert isinstance(decide(ALLOWED, Asked(host, port)), Allowed) is reached


def test_the_fronting_matrix_lets_only_equal_names_through() -> None:
    names = [f"n{number}.example" for number in range(6)]
    policy = Policy("u", "dev", tuple(rule_of(f"{name}:443") for name in names[:3]))
    through = [
        (connect, sni, host)
        for connect in names
        for sni in names
        for host in names
        if isinstance(decide(policy, Asked(connect, 443)), Allowed) and sni == connect and host == connect
    ]
    assert through == [(name, name, name) for name in names[:3]]
    assert not any(matches("n0.example", name) for name in names[1:])


@pytest.mark.parametrize(
    "said",
    ["", "*", "*.", "*.org", "**.example", "a*.example", "https://example.org", "example.org/path",
     "example.org:", "example.org:0",
     "example.org:443:80", "example.org:99999", "10.0.0.1", "10.0.0.1:443", "[::1]:443", "exa mple.org", "@pypi",
     "example.org:80-90", "@git:", "@git:forge.example", "@git:forge.example/one", "@git:forge.example/../x",
     "@git:forge.example/o/r:../main",
     "@git:*.example/o/r"],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_a_remedy(said: str) -> None:
    with pytest.raises(Fault) as caught:
        rule_of(said)
    assert caught.value.code == "config.invalid"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "said",
    [
        {"host": "*.example.org", "methods": ["GET"]},
        {"host": "*.example.org", "paths": ["/a"]},
        {"host": "*.example.org", "credential": "forge"},
        {"host": "example.org", "ports": [8443], "methods": ["GET"]},
        {"host": "example.org", "ports": [80], "credential": "forge"},
        {"host": "example.org", "ports": []},
        {"host": "example.org", "paths": ["a"]},
        {"host": "example.org", "paths": ["/a/../b"]},
        {"host": "example.org", "paths": ["/\u00e4"]},
        {"host": "example.org", "git": "o/r", "methods": ["GET"]},
        {"host": "example.org", "push": ["main"]},
        {"host": "example.org", "else": 1},
        {"ports": [443]},
    ],
    ids=str,
)
def test_a_rule_that_could_not_be_held_to_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(Fault):
        rule_of(said)


@pytest.mark.parametrize("host", ["models.example", "metadata.google.internal", "metadata"])
def test_providers_and_metadata_services_are_refused_before_any_rule(host: str) -> None:
    rules = tuple(rule_of(each) for each in ("models.example:443", "metadata.google.internal:443", "metadata:443"))
    policy = Policy("u", "dev", rules, provider_hosts=frozenset({"models.example"}))
    denied = decide(policy, Asked(host, 443))
    assert isinstance(denied, Denied)
    assert denied.code in ("egress.provider_host", "egress.metadata")
