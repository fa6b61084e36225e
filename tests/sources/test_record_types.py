"""Every record type in a master file: by its words, and by its octets (RFC 3597)."""

import dns.name
import dns.rdata
import dns.rdatatype
import pytest

from steer.model.records import Rdata
from tests.sources.test_master_file import rrset

KNOWN = {
    "A": "192.0.2.1",
    "NS": "Ns.Example.",
    "CNAME": "W.Example.",
    "PTR": "W.Example.",
    "HINFO": '"a" "b"',
    "MX": "1 M.Example.",
    "TXT": '"a" "b"',
    "RP": "A.Example. B.Example.",
    "AFSDB": "1 A.Example.",
    "X25": '"311061700956"',
    "ISDN": '"150862028003217" "004"',
    "RT": "10 R.Example.",
    "NSAP": "0x47.0005",
    "PX": "10 A.Example. B.Example.",
    "GPOS": '"-32.6882" "116.8652" "10.0"',
    "AAAA": "2001:db8::1",
    "LOC": "42 21 54 N 71 6 18 W -24m 30m",
    "SRV": "1 2 3 S.Example.",
    "NAPTR": '1 2 "u" "E2U" "!a!b!" N.Example.',
    "KX": "10 K.Example.",
    "CERT": "1 1 1 AQID",
    "DNAME": "D.Example.",
    "APL": "1:192.0.2.0/24",
    "SSHFP": "1 1 " + "01" * 20,
    "IPSECKEY": "10 1 2 192.0.2.38 AQNR",
    "DHCID": "AAIBY2/A",
    "TLSA": "3 1 1 " + "01" * 32,
    "SMIMEA": "3 1 1 " + "01" * 32,
    "HIP": "2 0102 AQID",
    "OPENPGPKEY": "AQID",
    "CSYNC": "1 3 A NS",
    "ZONEMD": "1 1 1 " + "00" * 48,
    "SVCB": "1 S.Example. alpn=dot",
    "HTTPS": "1 . alpn=h2",
    "SPF": '"v=spf1"',
    "NID": "10 0014:4fff:ff20:ee64",
    "L32": "10 10.1.2.0",
    "L64": "10 2001:0DB8:1140:1000",
    "LP": "10 L.Example.",
    "EUI48": "00-00-5e-00-53-2a",
    "EUI64": "00-00-5e-ef-10-00-00-2a",
    "URI": '10 1 "https://a/"',
    "CAA": '0 issue "ca"',
    "AVC": '"a"',
    "AMTRELAY": "0 0 1 192.0.2.1",
    "RESINFO": '"qnamemin"',
    "WALLET": '"a" "b"',
    "DSYNC": "CDS 1 53 D.Example.",
}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_record_of_every_type_is_taken_by_its_words_and_by_its_octets(kind: str) -> None:
    number = dns.rdatatype.from_text(kind)
    words = rrset(f"x {kind} {KNOWN[kind]}\n", "x", number)
    rdata = dns.rdata.from_text("IN", kind, KNOWN[kind])
    wire = rdata.to_wire()
    assert wire is not None
    generic = f"x TYPE{int(number)} \\# {len(wire)} {wire.hex()}\n"
    octets = rrset(generic, "x", number)
    assert words.records == octets.records
    in_full = words.records[0].prefix + b"".join(
        dns.name.Name((*name, b"")).to_wire() or b"" for name in words.records[0].names
    ) + words.records[0].suffix  # fmt: skip
    assert in_full == rdata.to_digestable()


def test_a_type_that_nobody_knows_is_taken_by_its_octets() -> None:
    assert rrset("x TYPE64999 \\# 3 0102FF\n", "x", 64999).records == (Rdata(b"\1\2\xff"),)
    assert rrset("x TYPE64999 \\# 0\n", "x", 64999).records == (Rdata(b""),)
