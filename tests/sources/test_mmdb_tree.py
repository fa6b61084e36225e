"""The tree as NumPy walks it, against the library's own look-ups; and files that are not what they say."""

import os
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from random import Random

import maxminddb
import numpy as np
import pytest

from steer.errors import Refused
from steer.model.networks import NO_RECORD, Family, Networks
from steer.sources.mmdb_file import open_database
from steer.sources.mmdb_tree import IPV4_IN_IPV6, read_networks, sample_offsets, walk_tree
from tests.sources import mmdb_samples


def keys_to_try(networks: Networks, random: Random, family: Family, count: int) -> list[int]:
    """Left-aligned addresses: random ones, and both sides of borders."""
    unit = 1 << 32 if family == 4 else 1
    borders = [int(start) for start in random.choices(networks.start.tolist(), k=count)]
    keys = [random.getrandbits(64) for _ in range(count)] + borders + [start - unit for start in borders]
    return [key % (1 << 64) // unit * unit for key in keys]


def address_of(key: int, family: Family) -> IPv4Address | IPv6Address:
    return IPv4Address(key >> 32) if family == 4 else IPv6Address(key << 64)


def assert_like_library(path: Path, family: Family, seed: int, count: int) -> None:
    """At every key tried: the same record if and only if the library gives the same record."""
    networks = read_networks(path, family)
    keys = keys_to_try(networks, Random(seed), family, count)
    found = networks.find(np.array(keys, np.uint64)).tolist()
    record_of: dict[int, object] = {}
    with maxminddb.open_database(path) as reader:
        for key, index in zip(keys, found, strict=True):
            carries_ipv4 = family == 6 and any(first <= key < end for first, end in IPV4_IN_IPV6)
            expected = None if carries_ipv4 else reader.get(address_of(key, family))
            assert (index == NO_RECORD) == (expected is None), address_of(key, family)
            assert record_of.setdefault(index, expected) == expected, address_of(key, family)
    assert (np.diff(networks.record) != 0).all(), "equal neighbours are one segment"


@pytest.mark.parametrize("record_bits", [24, 28, 32])
@pytest.mark.parametrize("seed", range(4))
def test_walk_is_what_the_library_finds(tmp_path: Path, record_bits: int, seed: int) -> None:
    random = Random(seed)
    four, six = (mmdb_samples.random_networks(random, version, 60) for version in (4, 6))
    both = mmdb_samples.write(tmp_path / "both.mmdb", six | four, record_bits=record_bits)
    only = mmdb_samples.write(tmp_path / "only.mmdb", four, ip_version=4, record_bits=record_bits)
    assert_like_library(both, 4, seed, 300)
    assert_like_library(both, 6, seed, 300)
    assert_like_library(only, 4, seed, 300)


def test_a_family_that_the_file_lacks_is_one_segment_without_record(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "four.mmdb", {"192.0.2.0/24": {"row": 1}}, ip_version=4)
    networks = read_networks(path, 6)
    assert (networks.start.tolist(), networks.record.tolist()) == ([0], [NO_RECORD])


def test_ipv4_in_ipv6_has_no_record(tmp_path: Path) -> None:
    networks = {"::/1": {"row": 1}, "2000::/3": {"row": 2}, "192.0.2.0/24": {"row": 3}}
    path = mmdb_samples.write(tmp_path / "six.mmdb", networks)
    six = read_networks(path, 6)
    texts = ["::", "::ffff:192.0.2.1", "64:ff9b::1", "2001::1", "2001:0:ffff::", "2002::", "2002:ffff::"]
    keys = [int(IPv6Address(text)) >> 64 for text in texts]
    assert six.find(np.array(keys, np.uint64)).tolist() == [NO_RECORD] * len(texts)
    around = ["0:0:0:1::", "64:ff9b:0:1::", "2001:1::", "2003::", "8000::"]
    keys = [int(IPv6Address(text)) >> 64 for text in around]
    assert (six.find(np.array(keys, np.uint64)) == NO_RECORD).tolist() == [False] * 4 + [True]


def test_what_covers_the_first_address_stands_for_the_whole_64(tmp_path: Path) -> None:
    networks = {
        "2001:db8::/66": {"row": 1},
        "2001:db8:0:0:8000::/66": {"row": 2},
        "2001:db8:0:1:8000::/65": {"row": 3},
    }
    six = read_networks(mmdb_samples.write(tmp_path / "six.mmdb", networks), 6)
    first = 0x2001_0DB8 << 32
    assert six.start.tolist() == [0, first, first + 1]
    assert six.record.tolist() == [NO_RECORD, 0, NO_RECORD]


def test_samples_are_records_of_the_family(tmp_path: Path) -> None:
    random = Random(1)
    four = {network: {"family": 4} for network in mmdb_samples.random_networks(random, 4, 60)}
    six = {network: {"family": 6} for network in mmdb_samples.random_networks(random, 6, 60)}
    database = open_database(mmdb_samples.write(tmp_path / "both.mmdb", six | four))
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        for count in (1, 20):
            offsets = sample_offsets(database, family, count)
            assert [database.record_at(offset) for offset in offsets] == [{"family": family}] * count


def test_samples_find_one_network_behind_the_ipv4_tree(tmp_path: Path) -> None:
    networks = {"0.0.0.0/1": {"row": 1}, "2001:db8:1:2::/64": {"row": 2}}
    database = open_database(mmdb_samples.write(tmp_path / "x.mmdb", networks))
    assert [database.record_at(offset) for offset in sample_offsets(database, 6, 1)] == [{"row": 2}]


def read_whole(path: Path) -> None:
    """Both families, either refused or a valid partition (`Networks` proves it)."""
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        with suppress(Refused):
            assert read_networks(path, family).record.min() >= NO_RECORD


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    networks = mmdb_samples.random_networks(Random(5), 4, 12) | mmdb_samples.random_networks(Random(5), 6, 12)
    content = mmdb_samples.write(tmp_path / "whole.mmdb", networks).read_bytes()
    cut = tmp_path / "cut.mmdb"
    metadata = content.rindex(b"\xab\xcd\xefMaxMind.com")
    offsets = [*range(0, metadata, 97), *range(metadata, len(content))]
    for offset in offsets:
        cut.write_bytes(content[:offset])
        with pytest.raises(Refused) as refused:
            read_networks(cut, 4)
        assert refused.value.faults[0].fix


@pytest.mark.parametrize("seed", range(8))
def test_mutated_bytes_are_refused_or_give_a_valid_partition(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    networks = mmdb_samples.random_networks(random, 6, 10) | mmdb_samples.random_networks(random, 4, 10)
    whole = mmdb_samples.write(tmp_path / "whole.mmdb", networks, record_bits=(24, 28, 32)[seed % 3])
    content = whole.read_bytes()
    mutated = tmp_path / "mutated.mmdb"
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(random.choice((1, 1, 4, 64))):
            at = random.choice((random.randrange(len(content)), -random.randint(1, 250)))
            damaged[at] = random.getrandbits(8)
        mutated.write_bytes(damaged)
        read_whole(mutated)


def put_record(content: bytearray, node: int, side: int, value: int) -> None:
    at = 6 * node + 3 * side
    content[at : at + 3] = struct.pack(">I", value)[1:]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (0, "more than once"),
        ("separator", "outside the data section"),
        ("behind", "outside the data section"),
    ],
)
def test_records_that_lead_nowhere_are_refused(tmp_path: Path, value: int | str, wrong: str) -> None:
    """A tree that comes back to its root, and records into the separator and behind the data."""
    networks = mmdb_samples.random_networks(Random(2), 4, 20)
    path = mmdb_samples.write(tmp_path / "x.mmdb", networks, ip_version=4, record_bits=24)
    with maxminddb.open_database(path) as reader:
        node_count = reader.metadata().node_count
    content = bytearray(path.read_bytes())
    data_bytes = content.rindex(b"\xab\xcd\xefMaxMind.com") - 6 * node_count - 16
    numbers = {"separator": node_count + 3, "behind": node_count + 16 + data_bytes}
    for side in (0, 1):
        put_record(content, 0, side, value if isinstance(value, int) else numbers[value])
    path.write_bytes(content)
    with pytest.raises(Refused, match=wrong):
        read_networks(path, 4)


def test_a_tree_deeper_than_addresses_is_refused(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"192.0.2.1/32": {"row": 1}}, ip_version=4, record_bits=24)
    content = bytearray(path.read_bytes())
    with maxminddb.open_database(path) as reader:
        last = reader.metadata().node_count - 1
    put_record(content, last, 1, last)  # 192.0.2.1/32 ends in a one: its node leads to itself
    path.write_bytes(content)
    with pytest.raises(Refused, match="deeper than an address"):
        read_networks(path, 4)


def test_faults_of_files(tmp_path: Path) -> None:
    empty, text, pipe = tmp_path / "empty", tmp_path / "text", tmp_path / "pipe"
    empty.touch()
    text.write_text("geodata\n" * 1000)
    packed = tmp_path / "packed"
    packed.write_bytes(b"\xfd7zXZ\x00" + bytes(500))
    os.mkfifo(pipe)
    for path, wrong in (
        (tmp_path / "absent", "cannot be read (No such file or directory)"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (empty, "the file is empty"),
        (text, "this is not a whole MaxMind DB file"),
        (packed, "must be unpacked first"),
    ):
        with pytest.raises(Refused) as refused:
            read_networks(path, 4)
        assert len(refused.value.faults) == 1
        assert str(refused.value).startswith(f"{path}: ")
        assert wrong in str(refused.value)


def test_a_file_changed_in_place_while_open_harms_nobody(tmp_path: Path) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"192.0.2.0/24": {"row": 1}}, ip_version=4)
    database = open_database(path)
    path.write_bytes(b"")
    assert walk_tree(database, 4).networks.record.tolist() == [NO_RECORD, 0, NO_RECORD]
    assert [database.record_at(offset) for offset in sample_offsets(database, 4, 1)] == [{"row": 1}]
