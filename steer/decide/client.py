"""Whom a query is decided for: the ECS prefix where it is usable, else the source address. Pure.

The engines do the same on packets (docs/snapshot_format.md, "Choosing" and "Keys"); `explain` says it in
words."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from steer.decide.views import prefix_lists, view_table
from steer.model.deployment import Deployment
from steer.model.hashing import Domain
from steer.model.service import Address, Prefix
from steer.model.special_blocks import CARRIER_BLOCKS_IPV6, SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

_SIX_TO_FOUR = IPv6Network("2002::/16")
_LOW_32 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_TEREDO = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class Client:
    """`address`: whose place and prefix count, None when nothing is known of it (a special-purpose address);
    `ecs`: it comes from ECS; `note`: what was done with the ECS prefix, for people."""

    address: Address | None
    ecs: bool
    unit_address: Address
    note: str

    @property
    def domain(self) -> Domain:
        """The hash domain of its unit: `c` client, `r` resolver."""
        return "c" if self.ecs else "r"

    def unit(self, ipv4_bits: int, ipv6_bits: int) -> tuple[int, bytes]:
        """(length, 16 address bytes) of its unit; resolvers count by /24 and /48 whatever the policy says."""
        if not self.ecs:
            ipv4_bits, ipv6_bits = 24, 48
        address = self.unit_address
        length = ipv4_bits if address.version == 4 else ipv6_bits
        kept = int(address) >> (address.max_prefixlen - length) << (address.max_prefixlen - length)
        return length, (kept if address.version == 6 else 0xFFFF << 32 | kept).to_bytes(16, "big")


def client_of(deployment: Deployment, ecs: Prefix | None, source: Address) -> Client:
    """The client of a query from `source` with this ECS prefix (None: no ECS)."""
    own = _carried(source, 128)
    resolver = Client(
        None if own is None or _special(deployment, own) else own,
        False,
        own or source,
        "no client subnet: the resolver's own address decides",
    )
    if ecs is None:
        return resolver
    if ecs.prefixlen == 0:
        return Client(
            resolver.address,
            False,
            resolver.unit_address,
            "SOURCE 0: the resolver's own address decides (RFC 7871 section 7.5)",
        )
    address = _carried(ecs.network_address, ecs.prefixlen)
    if address is None or _special(deployment, address):
        return Client(
            resolver.address,
            False,
            resolver.unit_address,
            f"{ecs} lies in a special-purpose block: the resolver's own address decides",
        )
    note = (
        f"{ecs} carries {address}" if address != ecs.network_address else f"the client subnet {ecs} decides"
    )
    return Client(address, True, address, note)


def _carried(address: Address, source_bits: int) -> Address | None:
    """The address that is looked up for it; None where it is special for its form."""
    if isinstance(address, IPv4Address):
        return address
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    translated = any(address in block for block in _LOW_32)
    if translated or address in _TEREDO:
        if source_bits < 128:
            return None
        low = int(address) & 0xFFFF_FFFF
        return IPv4Address(low if translated else low ^ 0xFFFF_FFFF)
    return address


def _special(deployment: Deployment, address: Address) -> bool:
    """In a special-purpose block, and in no prefix named inside one (ECS-16)."""
    blocks: tuple[Prefix, ...] = SPECIAL_BLOCKS_IPV4 if address.version == 4 else SPECIAL_BLOCKS_IPV6
    block = next((block for block in blocks if address in block), None)
    if block is None or block in CARRIER_BLOCKS_IPV6:
        return block is not None
    return not any(
        prefix.version == address.version and address in prefix and prefix.prefixlen >= block.prefixlen
        for prefix in _named(deployment)
    )


def _named(deployment: Deployment) -> list[Prefix]:
    prefixes = [prefix for prefixes in prefix_lists(view_table(deployment)) for prefix in prefixes]
    return prefixes + [prefix for service in deployment.services.values() for prefix, _ in service.catchment]


def source_number(source: Address) -> int:
    """A source address in the 128-bit space of views (IPv4 as ::ffff:a.b.c.d)."""
    return int(source) | (0xFFFF << 32 if source.version == 4 else 0)


def plain_source(source: Address) -> Address:
    """A v4-mapped source address is IPv4 (ECS-23)."""
    mapped = source.ipv4_mapped if isinstance(source, IPv6Address) else None
    return ip_address(mapped) if mapped else source
