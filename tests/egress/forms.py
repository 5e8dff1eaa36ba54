"""Over a thousand ways to write a place that must not be reached, and some hundred that must be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

PRIVATE_4 = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.0.0.2",
    "127.255.255.254", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170",
    "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "100.100.100.200", "168.63.129.16",
)  # fmt: skip
PUBLIC_4 = ("1.1.1.1", "8.8.8.8", "93.184.215.14", "151.101.0.223", "104.16.0.1", "9.255.255.255", "11.0.0.1", "172.32.0.1",
            "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1",
            "192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255")  # fmt: skip

PRIVATE_6 = (
    "::", "::1", "::2", "100::1", "100:0:0:1::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00::1",
    "fd00:ec2::254", "fd20:ce::254", "ff02::1", "ff0e::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:30::1",
    "2001:db8::1", "2001:db8:ffff::1", "3fff::1", "3fff:fff::1", "5f00::1", "2620:4f:8000::1", "64:ff9b:1::1",
    "4000::1", "8000::1", "e000::1", "::ffff:0:127.0.0.1", "0:0:0:0:0:0:0:1",
)  # fmt: skip
PUBLIC_6 = ("2606:4700::6810:1", "2a00:1450:4001:80b::200e", "2001:4860:4860::8888", "2620:fe::fe", "2400:cb00::1",
            "2a04:4e42::223", "2803:f800::1", "2c0f:f248::1")  # fmt: skip


def embedded(inner: str) -> Iterator[str]:
    """Every IPv6 address in which this IPv4 address is wrapped."""
    number = int(IPv4Address(inner))
    high, low = number >> 16, number & 0xFFFF
    yield f"::ffff:{inner}"  # mapped
    yield str(IPv6Address((0xFFFF << 32) | number))
    yield str(IPv6Address(number))  # compatible
    yield str(IPv6Address((0x0064FF9B << 96) | number))  # NAT64, the well-known prefix
    yield str(IPv6Address((0x0064FF9B0001 << 80) | (high << 48) | (low << 24)))  # NAT64, for local use
    yield f"2002:{high:x}:{low:x}::1"  # 6to4
    yield f"2002:{high:x}:{low:x}:ffff:ffff:ffff:ffff:ffff"
    yield f"2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7"  # Teredo, as its server
    yield str(IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)))  # Teredo, as its client
    yield str(IPv6Address((0x2606_4700 << 96) | (0x00005EFE << 32) | number))  # ISATAP beneath a public prefix
    yield str(IPv6Address((0x2606_4700 << 96) | (0x02005EFE << 32) | number))
    yield str(IPv6Address((0xFE80 << 112) | (0x00005EFE << 32) | number))


def refused_addresses() -> list[str]:
    wrapped = (each for inner in PRIVATE_4 for each in embedded(inner))
    # What carries a public address is refused all the same where nobody needs the wrapping.
    public = (each for inner in PUBLIC_4[:5] for each in [*list(embedded(inner))[4:], list(embedded(inner))[2]])
    return list(dict.fromkeys((*PRIVATE_4, *PRIVATE_6, *wrapped, *public)))


def spelled(address: str) -> Iterator[str]:
    """An IPv4 address in the spellings that some resolver takes for it."""
    parts = [int(part) for part in address.split(".")]
    number = int(IPv4Address(address))
    yield address
    yield address + "."
    yield str(number)
    yield hex(number)
    yield hex(number).upper().replace("X", "x")
    yield "0" + oct(number)[2:]
    yield ".".join(hex(part) for part in parts)
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield f"{parts[0]}.{(parts[1] << 16) | (parts[2] << 8) | parts[3]}"
    yield f"{parts[0]}.{parts[1]}.{(parts[2] << 8) | parts[3]}"
    yield f"{hex(parts[0])}.{parts[1]}.0{parts[2]:o}.{parts[3]}"
    yield f"[{address}]"
    yield f"[::ffff:{address}]"
    yield f"::ffff:{address}"
    yield f"x.{address}"
    yield f"{address}@allowed.example"


def refused_names() -> list[str]:
    """Names that are none, or that two programs could read in two ways."""
    found = [each for address in (*PRIVATE_4, *PUBLIC_4) for each in spelled(address)]
    base = "allowed.example"
    for number in (*range(0x21), 0x7F):
        letter = chr(number)
        found += [letter + base, base + letter, f"allowed{letter}.example", f"evil.example{letter}.{base}"]
    for letter in "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~":
        found += [letter + base, base + letter, f"allowed{letter}.example"]
    found += [f"allowed{dot}example" for dot in "\u3002\uff0e\uff61\u2024"]
    found += [
        "\u0430llowed.example",
        "allowed.ex\u00e4mple",
        "\uff41llowed.example",
        "allowed.example\u200b",
        "\u2488.example",
    ]
    found += [
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "",
        ".",
        "..",
        "...",
        f".{base}",
        f"{base}..",
        "allowed..example",
    ]
    found += ["-allowed.example", "allowed-.example", "allowed.-example", "allowed.example-", "*.example", "allowed.*"]
    found += ["%61llowed.example", "allowed%2eexample", "allowed%00.example", "evil.example%00allowed.example"]
    found += [
        f"user@{base}",
        f"user:pass@{base}",
        f"{base}@evil.example",
        f"//{base}",
        f"http://{base}",
        f"{base}/path",
    ]
    found += [f"[{base}]", f"[[{base}]]", "[::1]", "[::]", "::1", "[fe80::1%25eth0]", "[v1.fe80::a]", "[::1", "::1]"]
    found += [
        "0x7f",
        "0x",
        "0X7F000001",
        "017700000001",
        "1",
        "127",
        "a.0x1",
        "example.1",
        "example.0x7f",
        "example.09",
    ]
    return list(dict.fromkeys(found))


def refused_authorities() -> list[str]:
    """What CONNECT must not be given."""
    base = "allowed.example"
    ports = ["", "0", "00443", "0443", "-1", "+443", "65536", "99999", "443a", "0x1bb", " 443", "443 ", "4 43", "443\r", "443/",
             "443?", "443#", "443@x", "443:443", "４４３", "1e3", "443.0", ":443", "http", "443\0", "443,80", "443;80"]  # fmt: skip
    return [base, *(f"{base}:{port}" for port in ports), *(f"{name}:443" for name in refused_names())]


def doubtful_paths() -> list[bytes]:
    """Paths that mean another one to some server."""
    found = [b"", b"x", b"v1/me", b"*", b"http://x/v1/"]
    dots = [b".", b"..", b"%2e", b"%2E%2e", b".%2e", b"%2e.", b"%252e%252e", b"%25%32%65"]
    slashes = [b"/", b"//", b"\\", b"%2f", b"%2F", b"%5c", b"%252f", b"/;/", b";/", b"/.;/"]
    found += [b"/v1/" + dot + slash + b"admin" for dot, slash in itertools.product(dots, slashes)]
    found += [b"/v1" + slash + b"admin" for slash in slashes if slash != b"/"]
    found += [
        b"/v1/a%00",
        b"/v1/a\x00",
        b"/v1/a%0d%0ahost:x",
        b"/v1/a\r\n",
        b"/v1/ a",
        b"/v1/a%20",
        b"/v1/\xff",
        b"/v1/a#b",
    ]
    found += [b"/v1/%zz%2e", b"/v1/%", b"/v1/%25", b"/v1/a;b", b"/v1//", b"/..", b"/.", b"/v1/.", b"/v1/..", b"/v1/%2f"]
    return list(dict.fromkeys(found))


def good_names() -> list[str]:
    first = ("example.org", "www.example.org", "a.b.c.d.example.org", "xn--bcher-kva.example", "xn--p1ai.example", "x1.example",
             "1x.example", "1.2.3.4.example", "files-01.example", "under_score.example", "a.example", "9.example",
             "a" * 63 + ".example", "localhost-not.example", "deadbeef.example", "0x7f.example")  # fmt: skip
    made = [f"{first}{number}.pkg.example" for first in ("registry", "files", "cdn-", "mirror") for number in range(60)]
    return [*first, *made]
