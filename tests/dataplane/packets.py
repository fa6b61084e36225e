"""Packets for both engines, as Hypothesis draws them: of resolvers, of careless ones, and worse."""

from hypothesis import strategies as st

from tests.dataplane.signing import NOW_S
from tests.dataplane.test_vectors import VECTORS
from tests.dataplane.vectors import (
    COOKIE_SECRETS,
    cookie_option,
    message,
    name_wire,
    opt,
    opt_option,
    raw_ecs,
    server_cookie,
)

SOURCES = tuple(
    bytes(parts)
    for parts in ((127, 0, 0, 1), (127, 1, 0, 1), (127, 2, 0, 1), (133, 1, 130, 9), (127, 0, 0, 53))
) + tuple(
    bytes.fromhex(text)
    for text in (
        "00000000000000000000000000000001",
        "00000000000000000000ffff7f010001",  # v4-mapped: IPv4
        "20010db8000100020000000000000001",
        "20010db8000000000000000000000053",  # a primary
        "20028501820000000000000000000001",  # 6to4
        "0064ff9b000000000000000085018201",
        "200100000000000000000000" + "7afe7dfe",  # Teredo of 133.1.130.1
        "fd000000000000000000000000000001",
    )
)
TIMES_S = (NOW_S, NOW_S, NOW_S + 1900, NOW_S + 30 * 86400 - 5, NOW_S + 40 * 86400, 0, (1 << 32) - 1)
CORPUS = tuple(dict.fromkeys(vector.query for vector in VECTORS))
EDGES = bytes((0, 1, 2, 12, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF))
LABELS = (
    "www", "text", "alias", "wild", "steered", "cut", "ent", "child", "a", "ns1", "WWW", "*", "img",
    "weights", "multi", "tomulti", "tosigned", "tostale", "tounready", "forced", "v4", "cwild", "wref",
    "nowhere", "plain", "chain", "chain2", "chain3", "chain4", "tocdn", "tokid", "tosecure", "secure",
    "insecure", "kid", "big", "many", "d1", "c1", "loop", "srv", "x", "id", "hostname", "version",
)  # fmt: skip
APEXES = (
    "cdn.example",
    "child.cdn.example",
    "other.example",
    "signed.example",
    "signed.example",
    "kid.signed.example",
    "_why.cdn.example",
    "stale.example",
    "unready.example",
    "example",
    "bind",
    "server",
    "",
)
TYPES = (1, 28, 1, 28, 2, 5, 6, 15, 16, 33, 41, 43, 46, 47, 48, 64, 65, 65, 251, 252, 255)
QUERY_FLAGS, NOTIFY_FLAGS = (0x0100, 0, 0x0130, 0x0110, 0x8100), (0x2400, 0x2000)

names = st.builds(
    lambda labels, apex: ".".join([*labels, apex]),
    st.lists(st.sampled_from(LABELS), max_size=3),
    st.sampled_from(APEXES),
)
types = st.sampled_from(TYPES) | st.sampled_from(TYPES) | st.integers(0, 65535)


@st.composite
def subnets(draw: st.DrawFn) -> bytes:
    """An ECS option, mostly well-formed."""
    family = draw(st.sampled_from((1, 1, 2, 2, 0, 3)))
    source_bits = draw(st.integers(0, {1: 32, 2: 128}.get(family, 0)))
    size = 16 if family == 2 else 4
    start = draw(st.sampled_from(SOURCES))[-size:].rjust(size, b"\x20")
    flip = draw(st.integers(0, 255)) << draw(st.integers(0, 8 * size - 8))
    value = int.from_bytes(start, "big") ^ flip
    bits = 8 * size
    value = value >> bits - source_bits << bits - source_bits if source_bits else 0
    octets = value.to_bytes(size, "big")[: -(-source_bits // 8)]
    return raw_ecs(family, source_bits, octets.hex(), draw(st.sampled_from((0, 0, 0, 0, 1))))


@st.composite
def cookies(draw: st.DrawFn) -> bytes:
    """A COOKIE option: none of ours, ours of any age for any source, or malformed."""
    client = bytes(range(draw(st.integers(0, 3)), 8))
    client = client.ljust(draw(st.sampled_from((8, 8, 8, 7))), b"\0")
    if draw(st.booleans()):
        return cookie_option(client + draw(st.binary(max_size=33)))
    source = draw(st.sampled_from(("127.0.0.1", "127.0.0.53", "2001:db8:1:2::1", "127.1.0.1")))
    age_s = draw(st.sampled_from((0, 60, 1800, 1801, 3600, 3601, -300, -301)))
    made = server_cookie(client, draw(st.sampled_from(COOKIE_SECRETS)), source, (NOW_S - age_s) % (1 << 32))
    return cookie_option(made)


options = (
    subnets()
    | cookies()
    | st.just(opt_option(3, b""))
    | st.builds(opt_option, st.integers(0, 20), st.binary(max_size=8))
)


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """A query, or a NOTIFY, as somebody may send it."""
    name, qtype = draw(names), draw(types)
    qclass = draw(st.sampled_from((1, 1, 1, 1, 3, 255)))
    asked = name_wire(name) + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    flags = draw(st.sampled_from(QUERY_FLAGS * 3 + NOTIFY_FLAGS))
    given = draw(st.lists(options, max_size=3))
    if not given and draw(st.booleans()):
        return message(asked, flags=flags)
    own = opt(
        *given,
        size=draw(st.sampled_from((0, 512, 513, 700, 1232, 4096, 65535))),
        version=draw(st.sampled_from((0, 0, 0, 0, 0, 1))),
        flags=draw(st.sampled_from((0, 0x8000, 0x8000))),
    )
    if draw(st.integers(0, 20)) == 0:
        return message(None, own, flags=flags, counts=(0, 0, 0, 1))
    return message(asked, own, flags=flags)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A known or made-up query with some octets changed, taken out, put in, or joined to another's."""
    packet = bytearray(draw(st.sampled_from(CORPUS) | queries()))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(packet) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                packet[place : place + 1] = bytes((draw(st.sampled_from(EDGES) | st.integers(0, 255)),))
            case 1:
                del packet[place : place + draw(st.integers(1, 8))]
            case 2:
                packet[place:place] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                packet[place:place] = bytes((0xC0 | place >> 8 & 0x3F, draw(st.integers(0, 255))))
            case _:
                packet[place:] = draw(st.sampled_from(CORPUS))[place:]
    return bytes(packet)
