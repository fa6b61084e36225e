"""Records taken apart here are what the library makes of the same bytes, damaged ones too."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from maxminddb.decoder import Decoder

from steer.errors import Refused
from steer.sources.mmdb_file import LIBRARY_ERRORS, Database, open_database
from steer.sources.mmdb_records import RecordDecoder
from steer.sources.mmdb_tree import walk_tree
from tests.sources import mmdb_samples

WORDS = [f"word-{number}" for number in range(12)] + ["", "ü" * 40, "long " * 100]


def random_value(random: Random, depth: int) -> Any:
    """A value of any type, sharing words and maps with others."""
    kind = random.randrange(9 if depth else 5)
    if kind < 2:
        return random.choice(WORDS)
    if kind == 2:
        return random.choice((0, 7, 70_000, 1 << 40, 1 << 100, -5))
    if kind == 3:
        return random.choice((0.5, -1e300, True, False))
    if kind == 4:
        return random.randbytes(random.choice((0, 3, 300)))
    if kind == 5:
        return [random_value(random, depth - 1) for _ in range(random.choice((0, 2, 31)))]
    keys = random.sample(range(60), random.choice((0, 1, 5, 28, 29, 40)))
    return {f"key-{key}": random_value(random, depth - 1) for key in keys}


def database_of(path: Path, random: Random, count: int) -> Database:
    networks = {f"10.0.{row}.0/24": random_value(random, 3) for row in range(count)}
    return open_database(mmdb_samples.write(path, networks, ip_version=4))


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_the_library(tmp_path: Path, seed: int) -> None:
    database = database_of(tmp_path / "x.mmdb", Random(seed), 100)
    content = database.path.read_bytes()
    data_start = database.tree.size + 16
    library = Decoder(content, data_start)
    offsets = walk_tree(database, 4).offset.tolist()
    assert len(offsets) > 20
    for offset in [*offsets, *reversed(offsets)]:
        assert database.record_at(offset) == library.decode(data_start + offset)[0]


@pytest.mark.parametrize("seed", range(6))
def test_damaged_values_are_those_of_the_library_or_refused(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    database = database_of(tmp_path / "x.mmdb", random, 10)
    content = database.path.read_bytes()
    data_start = database.tree.size + 16
    offsets = walk_tree(database, 4).offset.tolist()
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(random.choice((1, 5))):
            damaged[random.randrange(data_start, data_start + database.data_bytes)] = random.getrandbits(8)
        ours, library = RecordDecoder(bytes(damaged), data_start), Decoder(bytes(damaged), data_start)
        for offset in offsets:
            try:
                value = ours.decode(offset)
            except LIBRARY_ERRORS:
                continue
            assert repr(value) == repr(library.decode(data_start + offset)[0])  # repr: NaN equals itself


@pytest.mark.parametrize(
    "data",
    [
        b"\xe1" * 5000,  # maps whose keys are maps
        b"\xe1\x20\x00\x20\x00",  # a map that holds itself
        b"\x20\x00",  # a pointer to itself
        b"\xe1\x41a" * 3000 + b"\x40",  # deeper than any record
        b"\xe1\xa1\x05\x40",  # a number for a key
        b"\xe2\x41a\x40",  # cut short
    ],
)
def test_hostile_records_are_refused(tmp_path: Path, data: bytes) -> None:
    path = mmdb_samples.write(tmp_path / "x.mmdb", {"10.0.0.0/8": "x"}, ip_version=4)
    content = path.read_bytes()
    marker = content.rindex(b"\xab\xcd\xefMaxMind.com")
    path.write_bytes(content[: marker - 2] + data + content[marker:])
    with pytest.raises(Refused, match="is corrupt"):
        open_database(path).record_at(0)


def test_a_record_of_endless_maps_is_refused() -> None:
    """28 entries, each a map of 28, and so on, four deep: bytes that lie one behind the other."""
    value = b"\x40"
    for _ in range(4):
        value = b"\xfc" + b"".join(b"\x42" + bytes([97, 97 + row % 26]) + value for row in range(28))
    with pytest.raises(ValueError, match="too many entries"):
        RecordDecoder(value, 0).decode(0)
