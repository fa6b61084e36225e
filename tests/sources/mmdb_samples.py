"""Small MaxMind DB files made by mmdb_writer, which shares no code with what is tested."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from random import Random
from typing import Any

import mmdb_writer
from netaddr import IPSet

Records = Mapping[str, Any]  # network in text -> record

CROWDED = 0x2001_0DB8_0001 << 80
NESTED = {
    "city": {"names": {"en": "Osaka", "ja": "大阪市"}},
    "continent": {"code": "AS"},
    "country": {"iso_code": "JP"},
    "location": {"accuracy_radius": 20, "latitude": 34.6937, "longitude": 135.5022},
    "subdivisions": [{"iso_code": "27"}],
}
FLAT = {
    "city": "Osaka",
    "country_code": "JP",
    "latitude": 34.6937,
    "longitude": 135.5022,
    "postcode": "",
    "state1": "Osaka",
    "state2": "",
    "timezone": "",
}


def write(
    path: Path,
    networks: Records,
    *,
    ip_version: int = 6,
    kind: str = "Test-City",
    record_bits: int | None = None,
) -> Path:
    """A database of these networks; longer ones may lie inside shorter ones that come before them."""
    writer = mmdb_writer.MMDBWriter(
        ip_version,
        kind,
        languages=["en"],
        description="made for a test",
        ipv4_compatible=ip_version == 6,
    )
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    tree = mmdb_writer.TreeWriter if record_bits is None else _sized(record_bits)
    tree(writer.tree, writer._build_meta(), writer.int_type, writer.float_type).write(str(path))
    return path


def random_networks(random: Random, version: int, count: int) -> dict[str, object]:
    """Networks of all lengths with few different records, shorter ones first."""
    bits = 32 if version == 4 else 128
    ends = [(random.randint(1, bits), random.getrandbits(bits)) for _ in range(count)]
    if version == 6:  # most of them side by side in one /48, where the first 64 bits end
        ends += [(random.randint(56, 90), CROWDED | random.getrandbits(80)) for _ in range(count)]
    networks: dict[str, object] = {}
    for length, address in sorted(ends):
        host_bits = bits - length
        block = (address >> host_bits << host_bits, length)
        network = IPv4Network(block) if version == 4 else IPv6Network(block)
        networks[str(network)] = {"row": random.randint(0, 5)}
    return networks


def _sized(record_bits: int) -> type[mmdb_writer.TreeWriter]:
    """mmdb_writer's tree writer, made to write records of this size."""

    class Sized(mmdb_writer.TreeWriter):
        def _adjust_record_size(self) -> None:
            self.record_size = record_bits
            self.data_offset = record_bits * 2 / 8 * self._node_counter

    return Sized
