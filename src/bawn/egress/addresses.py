"""Which addresses may be reached: public ones, after everything that is wrapped in them was taken out.

An allow-list of what is public, not a deny-list of what is private: IPv6 outside 2000::/3 is refused whole. Addresses that
carry an IPv4 address are as good as that address where the wrapping is in daily use (mapped, NAT64's well-known prefix),
and refused where it is not (compatible, 6to4, Teredo, ISATAP): nobody needs them, and each has led past a filter.
Metadata services and this host's own addresses are never reached.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

PRIVATE, METADATA, OWN = "egress.private_address", "egress.metadata", "egress.own_address"

_METADATA: frozenset[Address] = frozenset(
    {
        IPv4Address("169.254.169.254"),  # most clouds
        IPv4Address("169.254.170.2"),  # credentials of container tasks
        IPv4Address("100.100.100.200"),
        IPv4Address("168.63.129.16"),  # lies in public space
        IPv4Address("192.0.0.192"),
        IPv6Address("fd00:ec2::254"),
        IPv6Address("fd20:ce::254"),
    }
)

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # shared by carriers, RFC 6598
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, RFC 3927
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # multicast tunnels, RFC 7450
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks, AS112 …
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation, RFC 9637
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The upper half of an interface identifier that carries an IPv4 address, RFC 5214."""


def unwrapped(address: Address) -> Address:
    """The address that is reached by this one."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def refusal(address: Address, own: Collection[Address]) -> str:
    """The code of why an address may not be reached; empty when it may."""
    reached = unwrapped(address)
    if address in _METADATA or reached in _METADATA:
        return METADATA
    if address in own or reached in own:
        return OWN
    if isinstance(reached, IPv4Address):
        return PRIVATE if any(reached in network for network in _NOT_PUBLIC_4) else ""
    if reached.scope_id is not None or reached not in _PUBLIC_6 or any(reached in each for each in _NOT_PUBLIC_6):
        return PRIVATE
    if (int(reached) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return PRIVATE
    return ""


def acceptable(address: Address, own: Collection[Address]) -> bool:
    return not refusal(address, own)
