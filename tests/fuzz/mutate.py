"""Makes inputs of inputs by the structure of a query: names, types, options, records, counts, then octets."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.dataplane.signing import NOW_S
from tests.dataplane.vectors import (
    COOKIE_SECRETS,
    cookie_option,
    opt,
    opt_option,
    raw_ecs,
    server_cookie,
)
from tests.dataplane.world import PREFIXES, network
from tests.fuzz.inputs import PACKET_BYTES_MAX, Input, Limit
from tests.fuzz.worlds import EXPIRES_S, Question

TYPES = (
    1,
    2,
    5,
    6,
    12,
    13,
    15,
    16,
    28,
    33,
    41,
    43,
    46,
    47,
    48,
    50,
    59,
    60,
    64,
    65,
    250,
    251,
    252,
    255,
    65280,
)
STEERED_TYPES = (1, 28, 65, 5, 16)
SOURCES = tuple(
    ip_address(text).packed
    for text in (
        "127.0.0.1", "127.1.0.1", "127.2.0.1", "127.0.0.53", "127.0.0.54", "133.1.130.9", "10.20.0.1",
        "192.0.2.7", "::1", "::ffff:127.1.0.1", "2001:db8:1:2::1", "2002:8501:8201::1", "64:ff9b::8501:8201",
        "2001:0:0:0:0:0:7afe:7dfe", "fd00::1", "2001:db8::53", "::ffff:127.0.0.53",
    )
)  # fmt: skip
COOKIE_AGES_S = (0, 1, 1799, 1800, 1801, 3599, 3600, 3601, -299, -300, -301, 1 << 31)
EDGES = (0, 1, 2, 12, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF)
_NETWORKS = [network(text) for text in PREFIXES]
_HEADER = 12
_PLAIN = bytes.fromhex("1234 0100 0001 0000 0000 0000 0000010001")  # asks the root for A


class Mutator:
    """Draws from `questions`, of each world, and from a pool of inputs that grows."""

    def __init__(self, seed: int, questions: Sequence[Sequence[Question]], pool: Sequence[Input]) -> None:
        self._random = random.Random(seed)
        self._questions, self.pool = questions, list(pool)
        self._ways: tuple[Callable[[Input], Input], ...] = (
            self._ask, self._ask, self._add_records, self._add_records, self._move, self._set_time,
            self._set_header, self._change_octets, self._join,
        )  # fmt: skip

    def next(self) -> Input:
        """A whole query made up, or an input of the pool; after a few changes."""
        made = self._random.choice(self.pool)
        changes = self._random.randint(1, 4)
        if self._random.random() < 0.7:
            plain = replace(made, packet=_PLAIN, now_s=NOW_S)
            made, changes = (
                self._add_records(self._ask(self._move(plain))),
                self._random.choice((0, 0, 0, 1, 2)),
            )
        for _ in range(changes):
            made = self._random.choice(self._ways)(made)
        return replace(made, packet=made.packet[:PACKET_BYTES_MAX])

    # --- parts of a query ---

    def _ask(self, base: Input) -> Input:
        """Another name, type or class, in upper and lower case."""
        name, qtype = self._question(base.world)
        qclass = self._random.choice((1,) * 30 + (3, 255, 4))
        end = _question_end(base.packet)
        rest, packet = base.packet[end:], base.packet[:_HEADER].ljust(_HEADER, b"\0")
        if self._random.random() < 0.3 and end > _HEADER + 5:
            name = base.packet[_HEADER : end - 4]
        elif self._random.random() < 0.3 and end > _HEADER + 5:
            qtype = int.from_bytes(base.packet[end - 4 : end - 2], "big")
        packet += name + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
        return replace(base, packet=packet[:4] + b"\0\1" + packet[6:] + rest)

    def _add_records(self, base: Input) -> Input:
        """Everything after the question anew: mostly an OPT, seldom other records."""
        records = [self._opt(base)] if self._random.random() < 0.95 else []
        while self._random.random() < 0.15:
            records.insert(self._random.randint(0, len(records)), self._record(base))
        start = base.packet[: _question_end(base.packet)].ljust(_HEADER, b"\0")
        counts = [0, 0, len(records)]
        if self._random.random() < 0.05:
            counts = [self._random.randint(0, 2) for _ in counts]
        octets = b"".join(count.to_bytes(2, "big") for count in counts)
        return replace(base, packet=start[:6] + octets + start[_HEADER:] + b"".join(records))

    def _question(self, world: int) -> tuple[bytes, int]:
        name, qtype = self._random.choice(self._questions[world])
        return self._changed(list(name)), qtype if self._random.random() < 0.4 else self._type()

    def _changed(self, labels: list[bytes]) -> bytes:
        """A name in wire form: mostly as it is, else with labels gone or more, or in other cases."""
        while labels and self._random.random() < 0.1:
            labels.pop(0)
        while self._random.random() < 0.3:
            labels.insert(0, self._random.choice((b"a", b"*", b"www", b"\0", b"zz", b"x" * 63, b"\xff")))
        if labels and labels[0] == b"*" and self._random.random() < 0.7:
            labels[0] = self._random.choice((b"any", b"!", b"~~", *(b"y" * self._random.randint(1, 63),) * 3))
        wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
        if self._random.random() < 0.2:  # ids of 0x20; a length is no letter, or is taken for one
            return bytes(
                octet ^ 0x20 if self._random.random() < 0.5 and octet > 63 else octet for octet in wire
            )
        return wire

    def _type(self) -> int:
        chance = self._random.random()
        if chance < 0.5:
            return self._random.choice(STEERED_TYPES)
        return self._random.choice(TYPES) if chance < 0.97 else self._random.randrange(1 << 16)

    def _opt(self, base: Input) -> bytes:
        kinds = self._random.sample(range(6), self._random.choice((0, 1, 1, 1, 2, 2, 3, 4)))
        kinds += [0] * (self._random.random() < 0.02)  # a second subnet, perhaps
        options = [self._option(base, kind) for kind in kinds]
        return opt(
            *options,
            size=self._random.choice((0, 511, 512, 513, 700, 1231, 1232, 1233, 4096, 65535)),
            version=self._random.choice((0,) * 60 + (1, 255)),
            flags=self._random.choice((0x8000, 0x8000, 0, 0x7FFF)),
            owner=self._random.choice((b"\0",) * 80 + (b"\1a\0", b"\xc0\x0c")),
        )

    def _option(self, base: Input, kind: int) -> bytes:
        is_right = self._random.random() < 0.9
        match kind:
            case 0 | 1:
                return self._subnet()
            case 2 | 3:
                return cookie_option(self._cookie(base)[: self._random.choice((24, 24, 24, 8, 16, 40))])
            case 4:
                return opt_option(3, bytes(0 if is_right else 3))
            case _ if is_right:
                return opt_option(self._random.choice((9, 11, 12, 15, 65001)), self._random.randbytes(6))
            case _:
                return opt_option(
                    self._random.choice((8, 10)), self._random.randbytes(self._random.randrange(42))
                )

    def _cookie(self, base: Input) -> bytes:
        """One that is valid, or would be at another time, then more octets."""
        source = ip_address(base.source)
        if isinstance(source, IPv6Address) and source.ipv4_mapped:
            source = source.ipv4_mapped
        made_s = (base.now_s - self._random.choice(COOKIE_AGES_S)) % (1 << 32)
        secret = self._random.choice(COOKIE_SECRETS)
        return server_cookie(self._random.randbytes(8), secret, str(source), made_s) + bytes(16)

    def _subnet(self) -> bytes:
        prefix = self._random.choice(_NETWORKS)
        width = prefix.max_prefixlen
        value = int(prefix.network_address) | self._random.getrandbits(width - prefix.prefixlen)
        if width == 128 and self._random.random() < 0.4:  # where an IPv4 address is inside
            start, shift = self._random.choice(((0x2002 << 112, 80), (0xFFFF << 32, 0), (0x64FF9B << 96, 0)))
            inside = self._random.choice([one for one in _NETWORKS if one.version == 4])
            value = start | (int(inside.network_address) | self._random.getrandbits(8)) << shift
        bits = self._random.choice((prefix.prefixlen, 24, width, self._random.randint(0, width)))
        bits = min(bits, width)
        masked = value >> width - bits << width - bits
        octets = masked.to_bytes(width // 8, "big")[: -(-bits // 8)]
        family = {32: 1, 128: 2}[width] if self._random.random() < 0.97 else self._random.randrange(4)
        return raw_ecs(family, bits, octets.hex(), 0 if self._random.random() < 0.97 else 1)

    def _record(self, base: Input) -> bytes:
        owner = self._random.choice((b"\0", b"\xc0\x0c", b"\1a\xc0\x0c", self._question(base.world)[0]))
        rdata = self._random.randbytes(self._random.choice((0, 4, 22)))
        fixed = self._type().to_bytes(2, "big") + b"\0\1" + bytes(4) + len(rdata).to_bytes(2, "big")
        return owner + fixed + rdata

    # --- what is around it ---

    def _move(self, base: Input) -> Input:
        """Another source, transport, limit or world."""
        source = self._random.choice(SOURCES)
        if self._random.random() < 0.3:
            prefix = self._random.choice(_NETWORKS)
            value = int(prefix.network_address) | self._random.getrandbits(
                prefix.max_prefixlen - prefix.prefixlen
            )
            source = (IPv4Address(value) if prefix.version == 4 else IPv6Address(value)).packed
        limit = self._random.choice((Limit.NONE,) * 8 + tuple(Limit))
        tcp, world = self._random.random() < 0.4, self._random.choice((0, 0, 0, 1, 2, 3, 3))
        return replace(base, source=source, tcp=tcp, limit=limit, world=world)

    def _set_time(self, base: Input) -> Input:
        near_end_s = EXPIRES_S - self._random.choice((-3601, -1, 0, 1, 30, 60, 299, 300, 3599, 3600, 86400))
        return replace(base, now_s=self._random.choice((NOW_S, near_end_s, near_end_s, (1 << 32) - 1, 0)))

    def _set_header(self, base: Input) -> Input:
        packet = bytearray(base.packet.ljust(_HEADER, b"\0"))
        if self._random.random() < 0.8:
            packet[2:4] = self._random.choice(
                (0x0100, 0, 0x0110, 0x0130, 0x2000, 0x2400, 0x2800, 0x7FFF)
            ).to_bytes(2, "big")
        else:
            packet[self._random.randrange(4, 12)] = self._random.choice((0, 0, 1, 1, 2, 255))
        return replace(base, packet=bytes(packet))

    # --- octets ---

    def _change_octets(self, base: Input) -> Input:
        packet = bytearray(base.packet)
        place = self._random.randint(0, max(0, len(packet) - 1))
        match self._random.randrange(5):
            case 0:
                packet[place : place + 1] = bytes(
                    (self._random.choice((*EDGES, self._random.randrange(256))),)
                )
            case 1:
                del packet[place : place + self._random.randint(1, 8)]
            case 2:
                packet[place:place] = self._random.randbytes(self._random.randint(1, 8))
            case 3:
                del packet[place:]
            case _:
                packet += self._random.randbytes(self._random.randint(1, 12))
        return replace(base, packet=bytes(packet))

    def _join(self, base: Input) -> Input:
        other = self._random.choice(self.pool).packet
        return replace(base, packet=base.packet[: _question_end(base.packet)] + other[_question_end(other) :])


def _question_end(packet: bytes) -> int:
    """Where the question of a packet ends; where there is none that is whole: where the header does."""
    at = _HEADER
    while at < len(packet) and 0 < packet[at] < 64:
        at += 1 + packet[at]
    return at + 5 if at + 5 <= len(packet) and packet[at] == 0 else min(_HEADER, len(packet))
