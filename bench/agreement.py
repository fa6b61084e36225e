"""Whether a server sends clients where it should: its answers against brute force over the same geodata."""

import math
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from bench.geography import Geography
from bench.packets import ECS_FAMILY, TYPE_A, TYPE_AAAA
from bench.world import Site, distance_km
from steer.model.networks import NO_RECORD, Family

TIMEOUT_SECONDS = 2.0
KNOWN_LENGTHS = {TYPE_A: 4, TYPE_AAAA: 16}
TIE_KM = 1.0
ECS_HEAD_OCTETS = 15  # root name and OPT's fixed part (11), option code and length (4)


def nearest_share(port: int, queries: list[bytes], sites: tuple[Site, ...], geography: Geography) -> float:
    """Share of `queries` (of clients with a known place) answered with the nearest site, ties within 1 km."""
    right = known = 0
    by_address = {address: site for site in sites for address in (site.ipv4, site.ipv6)}
    for query in queries:
        place = _place(geography, query)
        if place is None:
            continue
        known += 1
        answered = by_address.get(_address(query, ask(port, query)) or "")
        if answered is not None:
            best_km = min(distance_km(site, *place) for site in sites)
            right += distance_km(answered, *place) <= best_km + TIE_KM
    return right / known if known else 0.0


def ask(port: int, query: bytes) -> bytes | None:
    """The reply of the server on 127.0.0.1:`port` over UDP, or nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(("127.0.0.1", port))
        client.send(query)
        try:
            return client.recv(4096)
        except TimeoutError:
            return None


def _place(geography: Geography, query: bytes) -> tuple[float, float] | None:
    """Latitude and longitude of the query's ECS prefix, where the database has them."""
    start = _question_end(query) + ECS_HEAD_OCTETS
    (length,) = struct.unpack_from(">H", query, start - 2)
    option = query[start : start + length]
    (ecs_family,) = struct.unpack_from(">H", option)
    family: Family = 4 if ecs_family == ECS_FAMILY[4] else 6
    key = int.from_bytes(option[4:].ljust(8, b"\0"), "big")
    row = int(geography.networks[family].find(np.array([key], np.uint64))[0])
    if row == NO_RECORD:
        return None
    places = geography.places[family]
    latitude, longitude = float(places.latitude_deg[row]), float(places.longitude_deg[row])
    return None if math.isnan(latitude) else (latitude, longitude)


def _address(query: bytes, reply: bytes | None) -> str | None:
    """The address in the first answer record of the reply, or nothing."""
    if reply is None:
        return None
    start = _question_end(query)
    if reply[6:8] == b"\0\0" or len(reply) < start + 12 or reply[start] & 0xC0 != 0xC0:
        return None  # no answer, or its owner is not the question's name
    record_type, _, _, length = struct.unpack_from(">HHIH", reply, start + 2)
    data = reply[start + 12 : start + 12 + length]
    if KNOWN_LENGTHS.get(record_type) != len(data):
        return None
    return str(IPv4Address(data) if record_type == TYPE_A else IPv6Address(data))


def _question_end(message: bytes) -> int:
    end = 12
    while message[end]:
        end += 1 + message[end]
    return end + 5
