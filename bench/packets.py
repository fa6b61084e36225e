"""Queries as clients would send them: random ECS prefixes of networks that geodata knows.

A file of queries is dnsperf's binary input (`dnsperf -B`): each message after its length, two octets,
big-endian, as over TCP. The same seed, geodata and counts give the same file."""

import argparse
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.geography import Geography, read_geography
from steer.model.networks import NO_RECORD, Family, Networks

TYPE_A, TYPE_AAAA = 1, 28
UNIT_BITS: dict[Family, int] = {4: 24, 6: 56}
ECS_FAMILY: dict[Family, int] = {4: 1, 6: 2}
UNITS_PER_NETWORK = 256  # beyond this a bigger network draws no more clients: most of a /8 is empty
NOT_CLIENTS = {
    4: ((0, 1), (224, 256)),
    6: ((0, 0x2000), (0x2002, 0x2003), (0x4000, 0x10000)),
}  # IANA registries
TOP_BITS = {4: 8, 6: 16}  # of the bounds above
ECS_OPTION, COOKIE_OPTION, OPT_TYPE, EDNS_OCTETS = 8, 10, 41, 1232
EDNS_DO = 0x8000
CLIENT_COOKIE_OCTETS = 8


@dataclass(frozen=True, slots=True)
class Mix:
    """What the queries are like. `v6_share`: of clients, 0..1; `aaaa_share`: of questions, 0..1; `cookies`:
    each brings a client cookie (RFC 7873); `dnssec`: each has DO set (RFC 3225)."""

    name: str = "www.cdn.example"
    queries: int = 400_000
    v6_share: float = 0.3
    aaaa_share: float = 0.25
    seed: int = 1
    cookies: bool = False
    dnssec: bool = False


DEFAULT_MIX = Mix()


def write_queries(path: Path, geography: Geography, mix: Mix) -> None:
    """Write `mix.queries` messages in random order."""
    random = np.random.default_rng(mix.seed)
    v6_count = round(mix.queries * mix.v6_share)
    counts: dict[Family, int] = {4: mix.queries - v6_count, 6: v6_count}
    options: list[bytes] = []
    for family, count in counts.items():
        units = draw_units(geography.networks[family], family, count, random)
        options += [encode_ecs(family, unit) for unit in units.tolist()]
    types = np.where(random.random(mix.queries) < mix.aaaa_share, TYPE_AAAA, TYPE_A).tolist()
    identifiers = random.integers(0, 1 << 16, mix.queries).tolist()
    if mix.cookies:
        options = [option + encode_cookie(random.bytes(CLIENT_COOKIE_OCTETS)) for option in options]
    flags = EDNS_DO if mix.dnssec else 0
    with path.open("wb") as file:
        for row in random.permutation(mix.queries).tolist():
            message = encode_query(mix.name, types[row], identifiers[row], options[row], flags)
            file.write(struct.pack(">H", len(message)) + message)


def draw_units(
    networks: Networks, family: Family, count: int, random: np.random.Generator
) -> NDArray[np.uint64]:
    """`count` random units, left-aligned: a network by its number of units (at most 256), then a unit."""
    spare_bits = np.uint64(64 - UNIT_BITS[family])
    first = networks.start >> spare_bits
    last = (np.append(networks.start[1:], np.uint64(0)) - np.uint64(1)) >> spare_bits  # wraps at the end
    weight = np.minimum(last - first + np.uint64(1), np.uint64(UNITS_PER_NETWORK)).astype(np.float64)
    top = networks.start >> np.uint64(64 - TOP_BITS[family])
    for begin, end in NOT_CLIENTS[family]:
        weight[(top >= begin) & (top < end)] = 0
    weight[networks.record == NO_RECORD] = 0
    chosen = random.choice(len(weight), count, p=weight / weight.sum())
    units = first[chosen] + random.integers(0, last[chosen] - first[chosen] + np.uint64(1), dtype=np.uint64)
    return units << spare_bits


def encode_query(
    name: str, query_type: int, identifier: int, options: bytes = b"", edns_flags: int = 0
) -> bytes:
    """One question with EDNS, its flags and its options; no recursion wanted."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack(">HHHHHH", identifier, 0, 1, 0, 0, 1)
    question = labels + b"\0" + struct.pack(">HH", query_type, 1)
    opt = struct.pack(">HHIH", OPT_TYPE, EDNS_OCTETS, edns_flags, len(options)) + options
    return header + question + b"\0" + opt


def read_queries(path: Path) -> list[bytes]:
    """The messages of a file of queries, without their lengths."""
    raw, start, messages = path.read_bytes(), 0, []
    while start < len(raw):
        (length,) = struct.unpack_from(">H", raw, start)
        messages.append(raw[start + 2 : start + 2 + length])
        start += 2 + length
    return messages


def encode_ecs(family: Family, unit: int) -> bytes:
    """The option for a left-aligned unit, SOURCE being its length."""
    source_bits = UNIT_BITS[family]
    address = struct.pack(">Q", unit)[: source_bits // 8]
    return struct.pack(">HHHBB", ECS_OPTION, 4 + len(address), ECS_FAMILY[family], source_bits, 0) + address


def encode_cookie(client_cookie: bytes) -> bytes:
    """The option of a client that knows no server cookie yet."""
    return struct.pack(">HH", COOKIE_OPTION, len(client_cookie)) + client_cookie


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a file of queries for dnsperf -B.")
    parser.add_argument("output", type=Path)
    parser.add_argument("city", type=Path, nargs="+", help="City databases")
    parser.add_argument("--queries", type=int, default=DEFAULT_MIX.queries)
    parser.add_argument("--seed", type=int, default=DEFAULT_MIX.seed)
    arguments = parser.parse_args()
    write_queries(
        arguments.output, read_geography(arguments.city), Mix(queries=arguments.queries, seed=arguments.seed)
    )


if __name__ == "__main__":
    main()
