"""Master files: what becomes of the records, and every fault at once."""

import dns.rdataclass
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.model.policy import Location
from steer.model.records import Labels, Rdata, RRset, ZoneData
from steer.sources import master_file
from steer.sources.located_yaml import Faults
from steer.sources.master_file import read_master_file

APEX = (b"cdn", b"example")
HEAD = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"  # four lines, so tests count from 5


def read(text: str | bytes, steered: dict[Labels, Location] | None = None) -> tuple[ZoneData | None, Faults]:
    faults = Faults()
    data = text if isinstance(text, bytes) else text.encode()
    return read_master_file(data, "z", APEX, steered or {}, faults), faults


def faults_in(text: str | bytes, steered: dict[Labels, Location] | None = None) -> list[str]:
    zone, faults = read(text, steered)
    assert (zone is None) == bool(faults.found)
    return [str(fault) for fault in faults.found]


def rrset(text: str, owner: str, kind: int) -> RRset:
    zone, faults = read(HEAD + text)
    assert zone is not None, faults.found
    labels = (*owner.encode().split(b"."), *APEX) if owner else APEX
    return next(rrset for rrset in zone.rrsets if (rrset.owner, rrset.type) == (labels, kind))


def test_rdata_is_split_where_a_message_may_compress_names() -> None:
    apex = rrset("", "", 6)
    assert apex.records == (
        Rdata(
            names=((b"ns1", *APEX), (b"h", *APEX)), suffix=b"".join(n.to_bytes(4, "big") for n in range(1, 6))
        ),
    )
    assert rrset("", "", 2).records == (Rdata(names=((b"ns1", *APEX),)),)
    assert rrset("a CNAME WWW.Example.Net.\n", "a", 5).records == (
        Rdata(names=((b"www", b"example", b"net"),)),
    )
    assert rrset("a PTR b\n", "a", 12).records == (Rdata(names=((b"b", *APEX),)),)
    assert rrset("a MX 10 .\n", "a", 15).records == (Rdata(b"\0\x0a", ((),)),)
    assert rrset("a SRV 1 2 3 b\n", "a", 33).records == (Rdata(b"\0\1\0\2\0\3\1b\3cdn\7example\0"),)
    assert rrset('a TXT "x;(" \\255\n', "a", 16).records == (Rdata(b"\3x;(\1\xff"),)
    assert rrset("a TYPE65280 \\# 2 0aFF\n", "a", 65280).records == (Rdata(b"\x0a\xff"),)
    assert rrset("a TYPE1 \\# 4 C0000201\n", "a", 1).records == (Rdata(bytes([192, 0, 2, 1])),)


def test_owners_ttls_and_origins_carry_over_from_line_to_line() -> None:
    text = "A.B 5 IN A 192.0.2.2\n  A 192.0.2.3\n$ORIGIN x\n$TTL 7\na A 192.0.2.4\n@ IN 8 A 192.0.2.5\n"
    zone, _ = read(HEAD + text)
    assert zone is not None
    found = {rrset.owner: (rrset.ttl_s, len(rrset.records), rrset.line) for rrset in zone.rrsets[3:]}
    assert found == {
        (b"a", b"b", *APEX): (5, 2, 5),
        (b"a", b"x", *APEX): (7, 1, 9),
        (b"x", *APEX): (8, 1, 10),
    }


def test_an_entry_in_brackets_is_placed_at_its_first_line() -> None:
    text = HEAD + 'a TXT ( "(" ; )\n "b"\n)\nb A 1.2.3\n'
    assert faults_in(text) == [
        "z:8:1: unreadable A record: Text input is malformed; write such as `www 60 A 192.0.2.1`"
    ]


def test_one_open_bracket_does_not_swallow_the_file() -> None:
    assert faults_in(HEAD + "a TXT ( x\nb A 1.2.3\nc AA x\n") == [
        "z:5:1: a bracket that is not closed, or not opened; write `( … )`",
        "z:6:1: unreadable A record: Text input is malformed; write such as `www 60 A 192.0.2.1`",
        "z:7:1: unknown type `AA`; write a type such as A, AAAA, MX, TXT or TYPE65280",
    ]
    many = faults_in(HEAD + "a TXT (\n" * 1000)
    assert len(many) == master_file.LARGEST_UNCLOSED_COUNT


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a CH A 192.0.2.2", "a class other than IN; write `IN`, or leave the class out"),
        ('a TXT "x', "a quote that is not closed; close it on the same line"),
        (
            "a..b A 192.0.2.2",
            "a name with an empty or too long label; write labels of 1 to 63 octets, 255 in all",
        ),
        (
            f"{'x' * 64} A 192.0.2.2",
            "a name with an empty or too long label; write labels of 1 to 63 octets, 255 in all",
        ),
        ("a MX b", "unreadable MX record: expecting an integer; write such as `@ 3600 MX 10 mail`"),
        (
            "a MINFO b. c.",
            (
                "a type whose fields are not known here; "
                "write its RDATA as RFC 3597 does: `www 60 TYPE14 \\# <octets> <hexadecimal>`"
            ),
        ),
        ("a 2147483648 A 192.0.2.2", "TTL 2147483648 is more than 2147483647; write such as `3600`"),
        ("$TTL x", "not a TTL; write seconds, such as `$TTL 3600`"),
        (
            "$INCLUDE /etc/passwd",
            "directive `$INCLUDE`; write the records themselves; only $ORIGIN and $TTL are taken",
        ),
        (
            "$GENERATE 1-4000000000 a$ A 192.0.2.2",
            "directive `$GENERATE`; write the records themselves; only $ORIGIN and $TTL are taken",
        ),
        (
            "www.example. A 192.0.2.2",
            "`www.example` is outside the zone; end the name in `cdn.example`, or move it",
        ),
        ("a OPT \\# 0", "type OPT cannot stand in a zone; remove the line"),
        ("a TYPE251 \\# 0", "type IXFR cannot stand in a zone; remove the line"),
        ("a TYPE0 \\# 0", "type TYPE0 cannot stand in a zone; remove the line"),
        (
            "a SOA a b 1 1 1 1 1",
            "a SOA record at `a.cdn.example`, which is not the apex; remove it, or make it a zone",
        ),
        ("@ SOA a b 1 1 1 1 1", "`cdn.example` has 2 SOA records; keep one"),
        ("* NS foo.", "NS or DNAME at a wildcard; name the zones that are delegated (RFC 4592 section 4)"),
        (
            "sub NS ns.sub",
            "nameserver `ns.sub.cdn.example` has no address; add `ns.sub.cdn.example. A 192.0.2.53`",
        ),
        ("sub NS ns2", "nameserver `ns2.cdn.example` has no address; add `ns2.cdn.example. A 192.0.2.53`"),
        ("a CNAME b\na CNAME c", "`a.cdn.example` has 2 CNAME records; keep one"),
        (
            "a CNAME b\na TXT x",
            (
                "`a.cdn.example` has a CNAME and other data (line 6); "
                "keep the CNAME alone, or write addresses instead of it"
            ),
        ),
        (
            "sub NS foo.\nsub TXT x",
            (
                "`sub.cdn.example` is at or below the cut `sub.cdn.example` and not glue; "
                "move it to the zone `sub.cdn.example`, or remove the NS records there"
            ),
        ),
        (
            "sub NS foo.\na.sub A 192.0.2.2",
            (
                "`a.sub.cdn.example` is at or below the cut `sub.cdn.example` and not glue; "
                "move it to the zone `sub.cdn.example`, or remove the NS records there"
            ),
        ),
    ],
)
def test_each_fault(line: str, fault: str) -> None:
    (found,) = faults_in(HEAD + line + "\n")
    assert found.split(": ", 1)[1] == fault
    assert found.split(":")[1] in ("5", "6", "2")


def test_what_is_missing_is_said_only_of_a_file_that_could_be_read() -> None:
    assert faults_in("") == [
        "z: no SOA record at `cdn.example`; add `@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300`",
        "z: no NS record at `cdn.example`; add `@ 3600 NS ns1`, and an address for ns1",
    ]
    assert faults_in("@ 60 SOA ns1\n") == [
        (
            "z:1:1: unreadable SOA record: expecting an identifier; "
            "write such as `@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300`"
        )
    ]
    assert faults_in("www A 192.0.2.1\n")[0] == (
        "z:1:1: no TTL; write one in the line, or `$TTL 3600` at the top of the file"
    )


def test_nameservers_may_be_steered_or_made_by_a_wildcard() -> None:
    text = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\n"
    assert faults_in(text) != []
    assert faults_in(text, {(b"ns1", *APEX): Location()}) == []
    assert faults_in(text, {(b"*", *APEX): Location()}) == []
    assert faults_in(text + "* A 192.0.2.1\n") == []
    assert (
        faults_in(text + "* A 192.0.2.1\nns1 TXT x\n") != []
    )  # a name that exists is none of the wildcard's
    assert faults_in(text + "ns1 CNAME b\n") == [
        "z:3:1: nameserver `ns1.cdn.example` is a CNAME; give it A and AAAA records of its own"
    ]


def test_a_steered_name_has_no_addresses_alias_or_cut_here() -> None:
    at = Location("zone.yaml", 5, 3)
    assert faults_in(HEAD + "www A 192.0.2.2\n", {(b"www", *APEX): at}) == [
        (
            "zone.yaml:5:3: `www.cdn.example` is steered and has A records in z:5; "
            "remove the records there, or the name here"
        )
    ]
    assert faults_in(HEAD + "www CNAME x\n", {(b"www", *APEX): at}) == [
        (
            "zone.yaml:5:3: `www.cdn.example` is steered and has CNAME records in z:5; "
            "remove the records there, or the name here"
        )
    ]
    assert faults_in(HEAD + "sub NS foo.\n", {(b"www", b"sub", *APEX): at}) == [
        (
            "zone.yaml:5:3: `www.sub.cdn.example` is steered but delegated by "
            "the NS records of `sub.cdn.example`; "
            "remove the name here, or those records from the master file"
        )
    ]
    assert faults_in(HEAD + "www TXT x\n", {(b"www", *APEX): at}) == []


def test_what_only_looks_wrong_is_a_warning() -> None:
    zone, faults = read(HEAD + "a 60 A 192.0.2.2\na 50 A 192.0.2.3\na 60 A 192.0.2.2\nd DNAME e\n")
    assert zone is not None
    assert (zone.rrsets[-2].ttl_s, len(zone.rrsets[-2].records)) == (50, 2)
    assert [str(warning) for warning in faults.warnings] == [
        (
            "z:6:1: `a.cdn.example` has records of one type with TTLs 60 and 50; "
            "write one TTL; 50 is used (RFC 2181 section 5.2)"
        ),
        (
            "z:7:1: `a.cdn.example` has records of one type with TTLs 50 and 60; "
            "write one TTL; 50 is used (RFC 2181 section 5.2)"
        ),
        "z:7:1: the record stands twice; remove one of them",
        (
            "z:8:1: the DNAME at `d.cdn.example` is served as data; names below it are not made from it; "
            "write CNAMEs for the names that are used"
        ),
    ]


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    big = "".join(f'a TXT "{i:05} {"x" * 240}"\n' for i in range(240))
    (fault,) = faults_in(HEAD + big)
    assert fault.startswith("z:5:1: `a.cdn.example` has more than 60,000 octets of one type; ")
    monkeypatch.setattr(master_file, "LARGEST_ENTRY_BYTES", 1000)
    (fault,) = faults_in(HEAD + "a TXT (" + " x\n" * 1000 + ")\n")
    assert "an entry of more than 1,000 characters" in fault
    monkeypatch.setattr(master_file, "LARGEST_RECORD_COUNT", 3)
    (fault,) = faults_in(HEAD + "a A 192.0.2.2\n")
    assert fault == "z:5:1: more than 3 records; split the zone"


def test_the_same_records_as_the_library_reads_in_one_go() -> None:
    text = HEAD + (
        '@ MX 10 mail\n@ TXT "a b" c ; d\nmail A 192.0.2.9\n AAAA 2001:db8::9\n*.w CNAME mail\n'
        '$ORIGIN deep.cdn.example.\nx.y HTTPS 1 . alpn=h2 ipv4hint=192.0.2.7\n@ CAA 0 issue "ca.example"\n'
        "s ( 30\n IN\n SRV 1 2 3 mail )\n"
    )
    zone, faults = read(text)
    assert zone is not None, faults.found
    whole = dns.zone.from_text(text, origin="cdn.example.", relativize=False, rdclass=dns.rdataclass.IN)
    theirs = {
        (name.to_text().lower(), int(rdata.rdtype), ttl, rdata.to_wire())
        for name, ttl, rdata in whole.iterate_rdatas()
    }
    ours = {
        (b".".join(rrset.owner).decode() + ".", rrset.type, rrset.ttl_s, wire(rdata))
        for rrset in zone.rrsets
        for rdata in rrset.records
    }
    assert ours == theirs


def wire(rdata: Rdata) -> bytes:
    names = b"".join(b"".join(bytes([len(label)]) + label for label in (*name, b"")) for name in rdata.names)
    return rdata.prefix + names + rdata.suffix


@given(st.text(alphabet='ab.@*$ \t\n()";\\019-_:ANSTX#ü', max_size=120))
def test_no_input_raises(text: str) -> None:
    zone, faults = read(HEAD + text)
    assert (zone is None) == bool(faults.found)
    assert all(str(fault).isprintable() for fault in faults.found)


# --- HTTPS and SVCB (RFC 9460) ---

WWW, WILD = (b"www", *APEX), (b"*", b"w", *APEX)
STEERED = {WWW: Location("zone.yaml", 3, 1), WILD: Location("zone.yaml", 4, 1)}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("www HTTPS 1 .", None),
        ("www HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1", None),
        ("www HTTPS 1 . mandatory=alpn alpn=h2", None),
        ("www HTTPS 1 . mandatory=ipv4hint ipv4hint=192.0.2.1", "makes ipv4hint mandatory"),
        ("www HTTPS 1 www mandatory=alpn,ipv6hint alpn=h2 ipv6hint=::1", "makes ipv6hint mandatory"),
        ("any.w HTTPS 1 other mandatory=ipv4hint ipv4hint=192.0.2.1", None),
        ("a HTTPS 1 . mandatory=ipv4hint ipv4hint=192.0.2.1", None),
        ("a SVCB 0 a", "points to itself"),
        ("a SVCB 0 .", None),
        ("a HTTPS 0 b alpn=h2", "parameters in AliasMode"),
        ("a HTTPS 1 . alpn=h2 alpn=h3", "SvcParam `alpn` stands twice"),
        ("a HTTPS 1 . mandatory=port", "`mandatory` names `port`, which the HTTPS record does not have"),
        ("a HTTPS 1 . no-default-alpn", "the HTTPS record has `no-default-alpn` but no `alpn`"),
        ("a HTTPS 1 . nonsense=1", "unknown SvcParam `nonsense`"),
        ("a HTTPS 1 . alnp=h2", "unknown SvcParam `alnp` in the HTTPS record; did you mean `alpn`?"),
        ("a HTTPS 1 . alpn=h2 port=70000 key65400=x", "`port` of the HTTPS record has the value `70000`"),
        ("a SVCB ( 1 . ; alpn=h2\n port ; x\n )", "`port` of the SVCB record has no value"),
        ('a HTTPS 1 . alpn="h2,h 3" ipv4hint="auto"', "leave hints out at steered names, steer fills"),
        ("a HTTPS 1 . ipv6hint=192.0.2.1", "`ipv6hint` of the HTTPS record has the value `192.0.2.1`"),
        ("a A 192.0.2.7\n  HTTPS 1 . port=x", "SvcParam `port` of the HTTPS record has the value `x`"),
        ("https HTTPS x . alpn=h2", "unreadable HTTPS record"),
        ("a TYPE65 \\# 3 000100", None),
        ("a TYPE65 \\# 4 00010000", "unreadable"),
    ],
)  # fmt: skip
def test_https_and_svcb_faults(line: str, wrong: str | None) -> None:
    found = faults_in(HEAD + line + "\n", STEERED)
    assert len(found) == (wrong is not None), found
    if wrong is not None:
        assert found[0].startswith("z:6:1: " if "\n  HTTPS" in line else "z:5:1: ")
        assert wrong in found[0]


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("a HTTPS 1 www ipv4hint=192.0.2.9\n", "has address hints for"),
        ("a HTTPS 1 any.w ipv6hint=::1\n", "which is steered"),
        ("a HTTPS 1 ns1 ipv4hint=192.0.2.1\n", None),
        ("www HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9 ipv6hint=::1\n", "ipv4hint and ipv6hint of the HTTPS"),
        ("a HTTPS 0 www\na HTTPS 1 .\n", "of AliasMode (priority 0) beside others"),
    ],
)
def test_https_warnings(lines: str, wrong: str | None) -> None:
    zone, faults = read(HEAD + lines, STEERED)
    assert zone is not None
    assert [wrong in str(warning) for warning in faults.warnings] == ([True] if wrong else [])  # type: ignore[operator]


def test_a_fault_of_an_https_record_is_at_its_own_line() -> None:
    lines = (
        "www HTTPS 1 . alpn=h2\nwww HTTPS 2 . mandatory=ipv4hint ipv4hint=192.0.2.1\na SVCB 1 b\na SVCB 0 a\n"
    )
    faults = faults_in(HEAD + lines, STEERED)
    assert [fault.split(": ")[0] for fault in faults] == ["z:6:1", "z:8:1"]
    _, read_faults = read(HEAD + "www HTTPS 1 . alpn=h2\nwww HTTPS 2 . ipv4hint=192.0.2.1\n", STEERED)
    assert [warning.line for warning in read_faults.warnings] == [6]
