"""A primary's zone with the steered names laid over it: what stays, what goes, what is refused."""

from dataclasses import replace
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from steer.model.deployment import Zone
from steer.model.dnssec import DnssecSettings
from steer.model.records import Labels, Rdata, RRset, ZoneData
from steer.sources.located_yaml import Faults
from steer.sources.rdata import labels_of, rdata_of
from steer.sources.transferred import Overlaid, overlay
from steer.sources.zone_copy import ZoneCopy
from tests.sources.policy_directory import ZONE, change, copy_example, taken

APEX = (b"cdn", b"example")
ORIGIN = dns.name.from_text("cdn.example.")
HEAD = "@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
DS = f"DS 1 13 2 {64 * '0'}"
ALIAS = 'policies:\n  multi: {rules: [{answer: "cname:www.example.net"}]}\n'


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Zone:
    """The example's zone, with a primary and a name that is steered as a CNAME."""
    directory = copy_example(tmp_path_factory.mktemp("overlay"))
    change(directory, ZONE, "zonefile: cdn.example.zone ", "primary: {address: 192.0.2.53} ")
    change(directory, ZONE, "  live: ", "  multi: {policy: multi}\n  live: ")
    change(
        directory, ZONE, "policies:\n", 'policies:\n  multi: {rules: [{answer: "cname:www.example.net"}]}\n'
    )
    return taken(directory)[0].zones[0]


def copy_of(text: str) -> ZoneCopy:
    """A copy of the head and these lines: owner, type, RDATA."""
    found: dict[tuple[Labels, int], list[Rdata]] = {}
    for line in (HEAD + text).splitlines():
        owner, rtype, rdata = line.split(maxsplit=2)
        kind = dns.rdatatype.from_text(rtype)
        parsed = dns.rdata.from_text(dns.rdataclass.IN, kind, rdata, ORIGIN, relativize=False)
        labels = labels_of(dns.name.from_text(owner, ORIGIN))
        found.setdefault((labels, int(kind)), []).append(rdata_of(parsed))
    return ZoneCopy.of(
        APEX, {key: RRset(*key, 60, tuple(dict.fromkeys(records))) for key, records in found.items()}
    )


def laid(text: str, zone: Zone) -> tuple[Overlaid | None, list[str]]:
    faults = Faults()
    made = overlay(copy_of(text), zone, faults)
    assert (made is None) == bool(faults.found)
    return made, [str(fault) for fault in faults.found]


def held(text: str, zone: Zone) -> tuple[set[str], tuple[str, ...]]:
    """What of the text stays beside the head, as `owner TYPE`; and what was left out."""
    made, faults = laid(text, zone)
    assert made is not None, faults
    return shown(made.data) - {"cdn.example SOA", "cdn.example NS", "ns1.cdn.example A"}, made.left_out


def shown(data: ZoneData) -> set[str]:
    return {
        f"{b'.'.join(rrset.owner).decode()} {dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rrset.type))}"
        for rrset in data.rrsets
    }


def test_plain_data_stays(zone: Zone) -> None:
    text = f"mail MX 10 ns1\n*.wild TXT x\nsub NS ns.sub\nns.sub A 192.0.2.7\nsub {DS}\n"
    text += "x.y.z TYPE65280 \\# 0\n"
    names, left_out = held(text, zone)
    assert names == {
        *("mail.cdn.example MX", "*.wild.cdn.example TXT", "sub.cdn.example NS", "ns.sub.cdn.example A"),
        *("sub.cdn.example DS", "x.y.z.cdn.example TYPE65280"),
    }
    assert left_out == ()


def test_addresses_of_steered_names_go_and_their_other_data_stays(zone: Zone) -> None:
    names, left_out = held("www A 192.0.2.9\nwww AAAA 2001:db8::9\nwww TXT x\nwww HTTPS 1 . alpn=h2\n", zone)
    assert names == {"www.cdn.example TXT", "www.cdn.example HTTPS"}
    assert left_out == (
        "A records of `www.cdn.example`, which is steered here",
        "AAAA records of `www.cdn.example`, which is steered here",
    )


def test_an_alias_at_a_steered_name_goes(zone: Zone) -> None:
    assert held("auto CNAME elsewhere.example.net.\n", zone) == (
        set(),
        ("CNAME records of `auto.cdn.example`, which is steered here",),
    )


def test_a_steered_alias_stands_alone(zone: Zone) -> None:
    names, left_out = held("multi A 192.0.2.9\nmulti TXT x\nmulti HTTPS 1 . alpn=h2\n", zone)
    assert names == set()
    assert len(left_out) == 3


def test_the_primarys_dnssec_goes(zone: Zone) -> None:
    signed = (
        f"@ DNSKEY 257 3 13 AAAA\n@ C{DS}\n@ CDNSKEY 257 3 13 AAAA\n@ NSEC3PARAM 1 0 0 -\n"
        "@ ZONEMD 1 1 1 " + 96 * "0" + "\nmail TXT x\n"
        "mail RRSIG TXT 13 3 60 20300101000000 20200101000000 1 cdn.example. AAAA\n"
        "mail NSEC ns1 TXT RRSIG NSEC\n"
        "0123456789abcdefghijklmnopqrstuv NSEC3 1 0 0 - 0123456789abcdefghijklmnopqrstuv A\n"
    )
    names, left_out = held(signed, zone)
    assert names == {"mail.cdn.example TXT"}
    assert len(left_out) == 1
    assert "sign the zone here" in left_out[0]
    assert held(signed, replace(zone, dnssec=DnssecSettings(Path("keys")))) == (names, ())


def test_a_dname_stays_only_where_nothing_is_signed(zone: Zone) -> None:
    assert held("old DNAME elsewhere.example.\n", zone) == ({"old.cdn.example DNAME"}, ())
    signed = replace(zone, dnssec=DnssecSettings(Path("keys")))
    assert held("old DNAME elsewhere.example.\n", signed) == (
        set(),
        ("the DNAME of `old.cdn.example`, in a zone that is signed here",),
    )


def test_what_a_delegation_hides_goes(zone: Zone) -> None:
    text = "sub NS ns.sub\nns.sub A 192.0.2.7\nsub TXT x\na.sub A 192.0.2.8\n"
    text += f"b.sub NS elsewhere.example.\nb.sub {DS}\n"
    names, left_out = held(text, zone)
    assert names == {"sub.cdn.example NS", "ns.sub.cdn.example A"}
    assert left_out == ("4 RRsets that a delegation hides",)


def test_what_stands_where_names_explain_themselves_goes(zone: Zone) -> None:
    explaining = replace(zone, explain_name="_explain")
    kept, left_out = held('_explain NS ns1\nx._explain TXT "y"\n_explain.x TXT "z"\n', explaining)
    assert kept == {"_explain.x.cdn.example TXT"}
    assert any("at or below `_explain.cdn.example`, where names explain" in each for each in left_out)


def test_what_harms_nobody_else_is_served(zone: Zone) -> None:
    assert held("sub NS ns9\n", zone)[0] == {"sub.cdn.example NS"}
    assert held("sub NS ns9\nns9 CNAME ns1\n", zone)[0] == {"sub.cdn.example NS", "ns9.cdn.example CNAME"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("* NS elsewhere.example.\n", "the copy of cdn.example: NS or DNAME at a wildcard; "),
        (
            "a CNAME b\na TXT x\n",
            "the copy of cdn.example: `a.cdn.example` has a CNAME and other data; ",
        ),
        ("a SOA ns1 h 1 2 3 4 5\n", "the copy of cdn.example: a SOA record at `a.cdn.example`, "),
        ("www NS elsewhere.example.\n", "cdn.example.yaml:5:3: `www.cdn.example` is steered but delegated "),
        (
            "".join(f'a TXT "{number:04} {200 * "x"}"\n' for number in range(300)),
            "the copy of cdn.example: `a.cdn.example` has more than 60,000 octets of one type; ",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(zone: Zone, text: str, fault: str) -> None:
    faults = laid(text, zone)[1]
    assert [each[: len(fault)] for each in faults] == [fault]


def test_a_zone_without_nameservers_is_refused(zone: Zone) -> None:
    rrsets = {key: rrset for key, rrset in copy_of("").rrsets.items() if key[1] != 2}
    faults = Faults()
    assert overlay(ZoneCopy.of(APEX, rrsets), zone, faults) is None
    assert "no NS record at `cdn.example`" in str(faults.found[0])
