"""Who a request of a page script comes from: never what its body says. Pure."""

from collections.abc import Sequence

from steer.model.service import Address, Prefix
from steer.sources.addresses import parse_address

FORWARDED_MAX = 32  # addresses looked at


def client_of(peer: Address, forwarded: Sequence[str], trusted: Sequence[Prefix]) -> Address | None:
    """The client of a connection from `peer`: the peer itself, unless it is a trusted proxy; then the last
    address of the X-Forwarded-For lines that is none. None: the proxies say nothing usable.

    The proxy nearest to us wrote the last address; whatever stands before the first untrusted one from the
    right, the client itself may have written."""
    if not is_in(peer, trusted):
        return peer
    texts = [text.strip() for line in forwarded for text in line.split(",")]
    for text in reversed(texts[-FORWARDED_MAX:]):
        address = _address(text)
        if address is None:
            return None
        if not is_in(address, trusted):
            return address
    return None


def plain(address: Address) -> Address:
    """IPv4 inside IPv6, as sockets of both families give it, is IPv4 (RFC 4291 section 2.5.5.2)."""
    mapped = None if address.version == 4 else address.ipv4_mapped
    return address if mapped is None else mapped


def is_in(address: Address, prefixes: Sequence[Prefix]) -> bool:
    """Whether one of the prefixes holds the address."""
    return any(address in prefix for prefix in prefixes if prefix.version == address.version)


def _address(text: str) -> Address | None:
    """An address, perhaps with a port: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = parse_address(text)
    return None if address is None else plain(address)
