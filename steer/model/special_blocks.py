"""Special-purpose blocks that are not globally reachable (ECS-16; RFC 6890, RFC 7871 section 10).

From the IANA IPv4 and IPv6 Special-Purpose Address Registries as of 2025-10-09: entries whose "Globally
Reachable" is False or N/A, without the globally reachable exceptions inside them, and multicast (RFC 5771,
RFC 4291). CARRIER_BLOCKS_IPV6 hold addresses that are read as the IPv4 addresses they carry (ECS-23) before
any map is asked; they are leaves of their own, and no named prefix makes them usable, so that no other scope
reaches in."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

REGISTRY_DATE = "2025-10-09"

SPECIAL_BLOCKS_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # deprecated 6to4 relay anycast, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and limited broadcast, RFC 1112, RFC 8190
    )
)

CARRIER_BLOCKS_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "::/64",  # v4-mapped, RFC 4291: the /64 is the smallest unit of a key around ::ffff:0:0/96
        "64:ff9b::/64",  # IPv4/IPv6 translation, RFC 6052: likewise around the /96
        "2001::/32",  # Teredo, RFC 4380
        "2002::/16",  # 6to4, RFC 3056
    )
)


def _without(block: IPv6Network, others: Iterable[IPv6Network]) -> tuple[IPv6Network, ...]:
    """The networks that are left of a block when others, which lie inside it, are taken out."""
    left = [block]
    for other in others:
        left = [
            piece
            for network in left
            for piece in (network.address_exclude(other) if other.subnet_of(network) else (network,))
        ]
    return tuple(sorted(left))


_PLAIN_BLOCKS_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "64:ff9b:1::/48",  # local-use translation, RFC 8215
        "100::/64",  # discard only, RFC 6666
        "100:0:0:1::/64",  # dummy prefix, RFC 9780
        "2001:2::/48",  # benchmarking, RFC 5180
        "2001:10::/28",  # deprecated ORCHID, RFC 4843
        "2001:db8::/32",  # documentation, RFC 3849
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing SIDs, RFC 9602
        "fc00::/7",  # unique local, RFC 4193
        "fe80::/10",  # link local, RFC 4291
        "fec0::/10",  # deprecated site local, RFC 3879
        "ff00::/8",  # multicast, RFC 4291
    )
)

_PROTOCOL_ASSIGNMENTS = IPv6Network("2001::/23")  # IETF protocol assignments, RFC 2928
_REACHABLE_ASSIGNMENTS = tuple(
    IPv6Network(text)
    for text in (  # those of at least a key's 64 bits
        "2001:3::/32",  # AMT, RFC 7450
        "2001:4:112::/48",  # AS112-v6, RFC 7535
        "2001:20::/28",  # ORCHIDv2, RFC 7343
        "2001:30::/28",  # drone remote identification, RFC 9374
    )
)
_LISTED_ASSIGNMENTS = tuple(
    block for block in CARRIER_BLOCKS_IPV6 + _PLAIN_BLOCKS_IPV6 if block.subnet_of(_PROTOCOL_ASSIGNMENTS)
)

SPECIAL_BLOCKS_IPV6 = (
    CARRIER_BLOCKS_IPV6
    + _PLAIN_BLOCKS_IPV6
    + _without(_PROTOCOL_ASSIGNMENTS, _LISTED_ASSIGNMENTS + _REACHABLE_ASSIGNMENTS)
)
"""Disjoint."""
