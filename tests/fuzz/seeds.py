"""What the coverage-guided fuzzer starts from: an input of every vector in every way, and a dictionary."""

import hashlib
import itertools
import re
import shutil
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from steer.model.records import TYPE_TXT, Labels
from tests.dataplane.signing import NOW_S
from tests.dataplane.test_vectors import VECTORS
from tests.dataplane.vectors import TCP, cookie_option, opt, opt_option, plain, query, raw_ecs
from tests.fuzz.inputs import Input, Limit
from tests.fuzz.mutate import TYPES, Mutator
from tests.fuzz.worlds import EXPIRES_S, FITS, WIDEST, Question, questions_of_worlds

MADE = 6000  # inputs beside the vectors'
_NUMBERED = re.compile(rb"(ns|mx)(?!1$)\d+")
_SERVER_NAMES: tuple[Labels, ...] = ((b"id", b"server"), (b"hostname", b"bind"), (b"version", b"bind"))


def seeds() -> list[Input]:
    """Every vector over its transports, limited, near the end of the signatures, and in other worlds; then
    changed ones."""
    inputs = list(dict.fromkeys(itertools.chain(_of_vectors(), _of_every_length())))
    mutator = Mutator(1, questions(), inputs)
    return inputs + [mutator.next() for _ in range(MADE)]


def questions() -> list[list[Question]]:
    """Names worth asking for, of each world: of the many that differ in a number alone, the first."""
    return [
        [one for one in of_world if not _is_one_of_many(one[0])]
        + [(name, TYPE_TXT) for name in _SERVER_NAMES]
        for of_world in questions_of_worlds()
    ]


def _is_one_of_many(name: Labels) -> bool:
    return any(_NUMBERED.fullmatch(label) for label in name)


def write_inputs(inputs: list[Input], directory: Path) -> None:
    """Write each input to a file of its own in a directory made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for one in inputs:
        octets = one.encode()
        (directory / hashlib.sha1(octets, usedforsecurity=False).hexdigest()).write_bytes(octets)


def write_dictionary(path: Path) -> None:
    """Write what a packet is made of, for libFuzzer to put in."""
    entries = dict.fromkeys(_entries())
    path.write_text("".join(f'"{_escaped(entry)}"\n' for entry in entries if entry))


def _of_vectors() -> Iterator[Input]:
    for vector in VECTORS:
        source = ip_address(vector.source).packed
        for transport in vector.transports:
            yield Input(vector.query, source, NOW_S, transport == TCP)
        yield Input(vector.query, source, NOW_S, limit=Limit.SLIP)
        yield Input(vector.query, source, NOW_S, limit=Limit.DROP)
        yield Input(vector.query, source, NOW_S, world=2)
        yield Input(vector.query, source, EXPIRES_S - 30, world=1)


def _of_every_length() -> Iterator[Input]:
    """Replies of every length about each limit, so that one that is off by an octet shows."""
    for limit, length in itertools.product(FITS, range(1, 64)):
        name = f"{'y' * length}.fit{limit}."
        for packet in (plain(name, "TXT"), query(name, "TXT", size=limit)):
            yield Input(packet, bytes((192, 0, 2, 7)), NOW_S, tcp=limit > WIDEST, world=3)


def _entries() -> Iterator[bytes]:
    for labels, _ in itertools.chain(*questions()):
        octets = [bytes((len(label),)) + label for label in labels]
        yield from octets
        yield b"".join(octets) + b"\0"
    for number in TYPES:
        yield number.to_bytes(2, "big") + b"\0\1"
    for options in (
        (),
        (raw_ecs(1, 24, "850182"),),
        (raw_ecs(2, 48, "20010db80001"),),
        (cookie_option(bytes(8)),),
        (opt_option(3, b""),),
    ):
        yield b"".join(options)
        yield opt(*options)
        yield opt(*options, flags=0x8000)
    yield b"\xc0\x0c"


def _escaped(entry: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in entry[:64])
