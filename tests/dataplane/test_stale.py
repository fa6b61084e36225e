"""DNS-11: under old states of the POPs steered answers say so, and nothing else does; on both engines."""

from pathlib import Path

import dns.edns
import dns.message
import pytest

from steer.dataplane.engine import EngineForm, Snapshot
from tests.dataplane.conftest import snapshot_of
from tests.dataplane.signing import NOW_S
from tests.dataplane.vectors import plain, query
from tests.dataplane.world import build_world

SUBNET = "133.1.2.0/24"


@pytest.fixture(scope="module")
def old(form: EngineForm, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(form, build_world(is_stale=True), tmp_path_factory.mktemp("old"))


def error_of(snapshot: Snapshot, packet: bytes) -> int | None:
    """The extended error of the reply."""
    wire = snapshot.answer(packet, bytes((127, 0, 0, 1)), False, NOW_S)
    assert wire is not None
    options = dns.message.from_wire(wire).options
    return next((int(each.code) for each in options if isinstance(each, dns.edns.EDEOption)), None)


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("www", "A"),
        ("www", "HTTPS"),
        ("multi", "TXT"),
        ("tomulti", "A"),
        ("alias", "AAAA"),
        ("forced", "A"),
        ("a.steered", "A"),
        ("www._why", "TXT"),
    ],
)
def test_answers_from_old_states_say_so(old: Snapshot, name: str, qtype: str) -> None:
    assert error_of(old, query(name, qtype)) == dns.edns.EDECode.STALE_ANSWER
    assert error_of(old, plain(name, qtype)) is None, "without OPT there is no room for it"


@pytest.mark.parametrize(
    ("name", "qtype", "error"),
    [
        ("text", "A", None),
        ("www", "TXT", None),
        ("www._why", "A", None),
        ("www", 255, None),
        ("www.elsewhere.test.", "A", 20),
        ("x.cut", "A", None),
    ],
)
def test_what_does_not_depend_on_them_does_not(
    old: Snapshot, name: str, qtype: str | int, error: int | None
) -> None:
    assert error_of(old, query(name, qtype)) == error


def test_an_alias_that_ends_before_the_steered_name_does_not(old: Snapshot) -> None:
    assert error_of(old, query("tomulti", "A", SUBNET)) is None


@pytest.mark.parametrize("name", ["www", "multi"])
def test_fresh_states_say_nothing(form: EngineForm, name: str, tmp_path: Path) -> None:
    assert error_of(snapshot_of(form, build_world(), tmp_path), query(name, "A")) is None
