"""Parts that lie: each is refused when it is loaded, or answers without a fault.

The reference proves all that docs/snapshot_format.md says, the native engine at least what its walks rely on:
so whatever the reference takes, native takes too."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steer.dataplane.engine import EngineForm
from steer.publish.format import HEADER, TABLE_ENTRY
from tests.dataplane.conftest import forms_at_hand
from tests.dataplane.signing import NOW_S
from tests.dataplane.test_vectors import VECTORS
from tests.dataplane.world import World

SEEDED = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
CRC_OFFSET, COUNT_OFFSET = 20, 16
WORDS = (0, 1, 2, 3, 7, 63, 64, 255, 256, 65535, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
ASKED = tuple(vector.query for vector in VECTORS)[::6]


def with_crc(data: bytearray) -> bytes:
    """The part with its checksum put right, so that only what it says is wrong."""
    struct.pack_into("<I", data, CRC_OFFSET, zlib.crc32(data[HEADER.itemsize :]))
    return bytes(data)


def sections(data: bytes) -> dict[int, tuple[int, int]]:
    """Where the sections lie: number -> (first octet, end)."""
    (count,) = struct.unpack_from("<I", data, COUNT_OFFSET)
    found = {}
    for index in range(count):
        section, item_bytes, offset, items = struct.unpack_from(
            "<IIQQ", data, HEADER.itemsize + index * TABLE_ENTRY.itemsize
        )
        found[section] = (offset, offset + item_bytes * items)
    return found


@st.composite
def lies(draw: st.DrawFn, part: bytes) -> bytes:
    """The part with one or two words of its sections changed."""
    data = bytearray(part)
    places = [(start, end) for section, (start, end) in sections(part).items() if end - start >= 4]
    for _ in range(draw(st.integers(1, 2))):
        start, end = draw(st.sampled_from(places))
        place = start + draw(st.integers(0, (end - start - 4) // 4)) * 4
        if draw(st.booleans()):
            value = draw(st.sampled_from(WORDS))
        else:
            (value,) = struct.unpack_from("<I", data, place)
            value = (value + draw(st.integers(-3, 3))) & 0xFFFF_FFFF
        struct.pack_into("<I", data, place, value)
    return with_crc(data)


def judge(form: EngineForm, load: Callable[[EngineForm], object]) -> bool:
    """Whether a form takes the parts; OSError is for a file that cannot be mapped."""
    try:
        load(form)
    except (ValueError, OSError):
        return False
    return True


class Judges:
    """Every form at hand, with a world's good parts to set beside a bad one."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world, self.directory, self.forms = world, directory, forms_at_hand()

    def verdicts(self, **bad: bytes) -> list[bool]:
        """Whether the forms take a snapshot of which these parts are bad; who does must answer from it."""
        verdicts = [judge(form, lambda form: self._answer(form, bad)) for form in self.forms]
        assert verdicts in ([False] * len(verdicts), [True] * len(verdicts), [False, True])
        return verdicts

    def _answer(self, form: EngineForm, bad: dict[str, bytes]) -> None:
        path = self.directory / f"{form.name}.map"
        path.unlink(missing_ok=True)
        path.write_bytes(bad.get("map", self.world.map))
        assert self.world.signatures is not None
        snapshot = form.Snapshot(
            form.Records(bad.get("records", self.world.records)),
            form.Map(str(path)),
            form.Choices(bad.get("choices", self.world.choices)),
            form.Signatures(bad.get("signatures", self.world.signatures)),
        )
        for packet in ASKED:
            for tcp in (False, True):
                snapshot.answer(packet, bytes((127, 2, 0, 1)), tcp, NOW_S)


@pytest.fixture
def judges(world: World, tmp_path: Path) -> Judges:
    return Judges(world, tmp_path)


def test_good_parts_are_taken(judges: Judges) -> None:
    assert all(judges.verdicts())


@settings(SEEDED, max_examples=250)
@given(st.data())
def test_lying_records(judges: Judges, data: st.DataObject) -> None:
    judges.verdicts(records=data.draw(lies(judges.world.records)))


@settings(SEEDED, max_examples=120)
@given(st.data())
def test_lying_choices(judges: Judges, data: st.DataObject) -> None:
    judges.verdicts(choices=data.draw(lies(judges.world.choices)))


@settings(SEEDED, max_examples=100)
@given(st.data())
def test_lying_map(judges: Judges, data: st.DataObject) -> None:
    judges.verdicts(map=data.draw(lies(judges.world.map)))


@settings(SEEDED, max_examples=120)
@given(st.data())
def test_lying_signatures(judges: Judges, data: st.DataObject) -> None:
    assert judges.world.signatures is not None
    judges.verdicts(signatures=data.draw(lies(judges.world.signatures)))


@pytest.mark.parametrize("name", ["records", "map", "choices", "signatures"])
def test_parts_cut_off_changed_or_of_another_kind_are_refused(judges: Judges, name: str) -> None:
    good: bytes = getattr(judges.world, name)
    changed = bytearray(good)
    changed[-1] ^= 1
    other = judges.world.choices if name != "choices" else judges.world.records
    for bad in (
        b"",
        good[:10],
        good[:63],
        good[:64],
        good[:-1],
        good[: len(good) // 2],
        good + bytes(64),
        bytes(changed),
        other,
    ):
        assert not any(judges.verdicts(**{name: bad}))


@pytest.mark.parametrize("name", ["records", "map", "choices", "signatures"])
def test_a_missing_section_is_refused(judges: Judges, name: str) -> None:
    good: bytes = getattr(judges.world, name)
    for index in range(len(sections(good))):
        data = bytearray(good)
        struct.pack_into("<I", data, HEADER.itemsize + index * TABLE_ENTRY.itemsize, 9999)
        assert not any(judges.verdicts(**{name: with_crc(data)}))
