"""What signing asks of a zone's plain data."""

from pathlib import Path

from steer.model.dnssec import DnssecSettings
from steer.model.policy import Location
from steer.sources.dnssec_fields import check_signed_data
from steer.sources.located_yaml import Faults
from tests.sources.test_master_file import HEAD, read


def checked(lines: str, longest_s: int = 3600) -> Faults:
    zone, _ = read(HEAD + lines)
    assert zone is not None
    faults = Faults()
    settings = DnssecSettings(Path("keys"))
    check_signed_data(settings, Location("zone.yaml", 3, 1), zone, longest_s, "z", faults)
    return faults


def test_what_signing_makes_is_told_to_be_left_out() -> None:
    lines = "@ DNSKEY 257 3 13 AQID\n@ NSEC3PARAM 1 0 0 -\nns1 NSEC a A\n@ CDS 0 0 0 00\n"
    faults = checked(lines)
    assert faults.found == []
    assert [(warning.line, warning.wrong.split()[0]) for warning in faults.warnings] == [
        (5, "DNSKEY"), (6, "NSEC3PARAM"), (7, "NSEC"), (8, "CDS"),
    ]  # fmt: skip


def test_a_dname_is_refused_for_nothing_below_it_can_be_denied() -> None:
    (fault,) = checked("d DNAME e\n").found
    assert str(fault).startswith("z:5:1: a DNAME in a zone that steer signs")


def test_signatures_outlive_what_is_cached() -> None:
    (fault,) = checked("", longest_s=8 * 86_400).found
    assert str(fault).startswith("zone.yaml:3:1: signatures are valid for 14d, but a TTL is 8d")
