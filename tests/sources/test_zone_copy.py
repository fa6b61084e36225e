"""A zone's copy on the disk: what goes in comes out, and nothing else does."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.model.records import Labels, Rdata, RRset
from steer.sources.zone_copy import SoaTimers, ZoneCopy

APEX = (b"cdn", b"example")
SOA = Rdata(
    names=((b"ns1", *APEX), (b"h", *APEX)), suffix=b"".join(n.to_bytes(4, "big") for n in (7, 1, 2, 3, 4))
)

labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=3).map(tuple)
rdata = st.builds(
    Rdata, st.binary(max_size=300), st.lists(names, max_size=2).map(tuple), st.binary(max_size=40)
)


@st.composite
def rrsets(draw: st.DrawFn) -> dict[tuple[Labels, int], RRset]:
    made: dict[tuple[Labels, int], RRset] = {(APEX, 6): RRset(APEX, 6, 60, (SOA,))}
    for owner in draw(st.lists(names, max_size=5)):
        rtype = draw(st.integers(7, 65535))
        records = tuple(draw(st.lists(rdata, min_size=1, max_size=4, unique=True)))
        made[(*owner, *APEX), rtype] = RRset((*owner, *APEX), rtype, draw(st.integers(0, 2**31 - 1)), records)
    return made


@given(rrsets())
def test_what_goes_in_comes_out(given_rrsets: dict[tuple[Labels, int], RRset]) -> None:
    copy = ZoneCopy.of(APEX, given_rrsets)
    again = ZoneCopy.unpacked(copy.packed)
    assert again == copy
    assert again.rrsets == given_rrsets
    assert (again.serial, again.timers) == (7, SoaTimers(1, 2, 3))


def test_anything_else_is_refused() -> None:
    packed = ZoneCopy.of(APEX, {(APEX, 6): RRset(APEX, 6, 60, (SOA,))}).packed
    for end in range(len(packed)):
        with pytest.raises(ValueError):
            ZoneCopy.unpacked(packed[:end])
    with pytest.raises(ValueError):
        ZoneCopy.unpacked(packed + b"\0")
    chance = Random(1)
    for _ in range(500):
        broken = bytearray(packed)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            ZoneCopy.unpacked(bytes(broken))
        except ValueError:
            continue


def test_a_copy_has_one_soa() -> None:
    with pytest.raises(ValueError):
        ZoneCopy.of(APEX, {})
    with pytest.raises(ValueError):
        ZoneCopy.of(APEX, {(APEX, 6): RRset(APEX, 6, 60, (SOA, Rdata(names=SOA.names, suffix=bytes(20))))})
