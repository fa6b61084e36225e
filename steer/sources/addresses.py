"""Parsers of addresses, endpoints, prefixes, URLs and domain names."""

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from steer.model.deployment import Endpoint
from steer.model.service import Address, Prefix
from steer.sources.fields import Parser
from steer.sources.located_yaml import quoted
from steer.sources.scalars import INTEGER, Wrong, scalar

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.ASCII)
_LONGEST_URL = 2048
_MAPPED = IPv6Network("::ffff:0:0/96")


def ipv4() -> Parser[IPv4Address]:
    """One IPv4 address that can stand in an answer."""

    def parse(value: str) -> IPv4Address | Wrong:
        address = _answerable(value, "192.0.2.1")
        return address if not isinstance(address, IPv6Address) else _other_family(value, 4, "192.0.2.1")

    return scalar(parse, "192.0.2.1")


def ipv6() -> Parser[IPv6Address]:
    """One IPv6 address that can stand in an answer."""

    def parse(value: str) -> IPv6Address | Wrong:
        address = _answerable(value, "2001:db8::1")
        return address if not isinstance(address, IPv4Address) else _other_family(value, 6, "2001:db8::1")

    return scalar(parse, '"2001:db8::1"')


def server_address(example: str) -> Parser[Address]:
    """One address of another server, of either family."""

    def parse(value: str) -> Address | Wrong:
        address = parse_address(value)
        if address is None:
            return f"{quoted(value)} is not an IP address", f"write such as `{example}`"
        if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
            return f"{quoted(value)} is no single server", f"write a unicast address, such as `{example}`"
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return f"{quoted(value)} is IPv4 inside IPv6", f"write `{address.ipv4_mapped}`"
        return address

    return scalar(parse, example)


def endpoint() -> Parser[Endpoint]:
    """An address and a port, IPv6 in brackets."""

    def parse(value: str) -> Endpoint | Wrong:
        host, colon, port = value.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        address = parse_address(bare)
        if not colon or address is None or (address.version == 6) != (bare != host):
            return f"{quoted(value)} is not an address and port", 'write such as "127.0.0.1:53" or "[::1]:53"'
        if not INTEGER.match(port) or not 0 <= int(port) <= 65535:
            return f"port {quoted(port)} is not a number from 0 to 65535", f"write such as `{host}:53`"
        return Endpoint(address, int(port))

    return scalar(parse, '"127.0.0.1:53"')


def prefix(*, bare: bool = False) -> Parser[Prefix]:
    """An address prefix without host bits; with `bare` an address alone stands for its whole length."""
    return scalar(lambda value: parse_prefix(value, bare=bare), "193.0.0.0/21")


def http_url() -> Parser[str]:
    """An http or https URL with a host, without user name and fragment."""

    def parse(value: str) -> str | Wrong:
        fix = 'write such as "https://status.fra.example/status"'
        try:
            parts = urlsplit(value)
            port_fits = parts.port is None or parts.port > 0
        except ValueError:
            return f"{quoted(value)} is not a URL", fix
        if parts.scheme not in ("http", "https"):
            return f"{quoted(value)} is not an http or https URL", fix
        if not parts.hostname or not port_fits:
            return f"{quoted(value)} names no host, or port 0", fix
        if parts.username is not None or parts.password is not None or parts.fragment:
            return f"{quoted(value)} has a user name, a password or a fragment", fix
        if len(value) > _LONGEST_URL or not value.isascii() or not value.isprintable() or " " in value:
            return f"{quoted(value)} has a space, letters beyond ASCII, or too many characters", fix
        return value

    return scalar(parse, "https://status.fra.example/status")


def domain_name(what: str, example: str) -> Parser[str]:
    """An absolute host name, given back in lower case without the last dot."""
    return scalar(lambda value: parse_domain_name(value, what, example), example)


def parse_domain_name(value: str, what: str, example: str) -> str | Wrong:
    """Lower-case text of at least one label, without the last dot; labels of letters, digits, `-` and `_`."""
    lower = value.lower().removesuffix(".")
    if not value.isascii():
        return (
            f"{quoted(value)} has letters beyond ASCII",
            f"write {what} in its A-label form, such as `xn--bcher-kva.example`",
        )
    if len(lower) > 253 or not all(_LABEL.match(label) for label in lower.split(".")):
        return (
            f"{quoted(value)} cannot be {what}",
            f"write labels of letters, digits and hyphens, such as `{example}`",
        )
    return lower


def parse_address(value: str) -> Address | None:
    """An IPv4 or IPv6 address without zone index; None where it is none."""
    try:
        address = ip_address(value)
    except ValueError:
        return None
    return None if "%" in value else address


def parse_prefix(value: str, *, bare: bool = False) -> Prefix | Wrong:
    """A prefix without host bits. The fix names the prefix that was probably meant."""
    network, slash, length = value.partition("/")
    if slash and INTEGER.match(length) and "%" not in network:
        with suppress(ValueError):  # the common case, parsed once; what is wrong is found below
            return IPv6Network(value) if ":" in network else IPv4Network(value)
    address = parse_address(network)
    if address is None:
        return f"{quoted(value)} is not an address prefix", "write such as `193.0.0.0/21` or `2001:db8::/32`"
    if not slash:
        whole = ip_network(address)
        return whole if bare else (f"{quoted(value)} has no prefix length", f"write `{whole}`")
    if not INTEGER.match(length) or not 0 <= int(length) <= address.max_prefixlen:
        return (
            f"{quoted(value)} has no prefix length from 0 to {address.max_prefixlen}",
            f"write such as `{ip_network(address)}`",
        )
    meant = ip_network((address, int(length)), strict=False)
    if meant.network_address != address:
        return f"{quoted(value)} has bits set beyond its length", f"write `{meant}`"
    return meant


def why_not_client_prefix(network: Prefix) -> Wrong | None:
    """Why no client look-up can ever come to exactly this prefix, and what to write; None where one can.

    Look-ups resolve the upper 64 bits of IPv6; IPv4 inside IPv6 is read as the IPv4 address (WIRE ECS-23)."""
    if isinstance(network, IPv4Network):
        return None
    start = network.network_address
    if start.ipv4_mapped is not None and network.prefixlen >= 96:
        inner = IPv4Network((int(start.ipv4_mapped), network.prefixlen - 96))
        return f"`{network}` is IPv4 inside IPv6", f"write `{inner}`"
    if start.sixtofour is not None and network.prefixlen >= 16:
        inner = IPv4Network((int(start.sixtofour), min(32, network.prefixlen - 16)), strict=False)
        return f"`{network}` is 6to4, which is looked up as the IPv4 address in it", f"write `{inner}`"
    if network.prefixlen > 64:
        meant = network.supernet(new_prefix=64)
        return (
            f"`{network}` is longer than /64, and one LAN is the smallest unit of clients",
            f"write `{meant}`",
        )
    return None


def why_not_source_prefix(network: Prefix) -> Wrong | None:
    """Why a prefix does not say which source addresses are meant; None where it does.

    IPv4 sources are compared as ::ffff:a.b.c.d, so an IPv6 prefix around those would hold them all."""
    if isinstance(network, IPv4Network) or not network.overlaps(_MAPPED):
        return None
    if network.prefixlen < _MAPPED.prefixlen:
        return f"`{network}` holds every IPv4 source too, as {_MAPPED}", "write `2000::/3` for all of IPv6"
    inner = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))
    return f"`{network}` is IPv4 inside IPv6", f"write `{inner}`"


def _answerable(value: str, example: str) -> Address | Wrong:
    address = parse_address(value)
    if address is None:
        return f"{quoted(value)} is not an IP address", f"write such as `{example}`"
    if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
        return (
            f"{quoted(value)} cannot be reached by a client",
            f"write a unicast address, such as `{example}`",
        )
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return f"{quoted(value)} is IPv4 inside IPv6", f"write `{address.ipv4_mapped}` under `ipv4`"
    return address


def _other_family(value: str, version: int, example: str) -> Wrong:
    return f"{quoted(value)} is not an IPv{version} address", f"write such as `{example}`"
