"""The parts of a records part that are not the tree of names: settings, lists, templates, steered CNAMEs."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from steer.dataplane.reference_records import ReferenceRecords
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    TYPE_SVCB,
    TYPE_TXT,
    AnswerSet,
    Rdata,
    RRset,
    SelectorSpec,
    SteeredRecord,
    ZoneData,
)
from steer.publish import format as fmt
from steer.publish.format import Part, Section
from steer.publish.records_part import WireSettings, compile_records
from steer.publish.signable import CompiledRecords
from steer.publish.signing import key_rrsets
from tests.dataplane.parts import IDENTITY, labels_of
from tests.publish.signed_zones import CSK, key_set
from tests.publish.test_records_part import NS, PARENT, SOA

WWW = labels_of("www.example")
STEERED = SteeredRecord(WWW, 60, True, True, SelectorSpec(0), 1, (bytes(4),), (bytes(16),))
ALIAS = replace(STEERED, a=False, aaaa=False, cname=True, anycast_ipv4=(), anycast_ipv6=())
HTTPS = RRset(WWW, TYPE_HTTPS, 300, (Rdata(b"\0\1\0"), Rdata(b"\0\2\1x\0")))
KEYS = {PARENT: key_rrsets(PARENT, key_set(replace(CSK, apex=PARENT)), 3600)}


def compiled(
    *rrsets: RRset, steered: tuple[SteeredRecord, ...] = (STEERED,), **more: object
) -> CompiledRecords:
    return compile_records(
        [(ZoneData(PARENT, (SOA, NS, *rrsets)), steered)],
        deployment_key=bytes(16),
        slot_count=1,
        identity=IDENTITY,
        **more,  # type: ignore[arg-type]
    )


def rows(part: CompiledRecords, section: Section, dtype: Any) -> list[object]:
    found: list[object] = fmt.load_part(part.data, Part.RECORDS).array(section, dtype).tolist()
    return found


def test_texts_secrets_and_cookies() -> None:
    settings = WireSettings(4096, b"node-1", b"id", b"", (b"a" * 16, b"b" * 16))
    part = compiled(settings=settings)
    loaded = fmt.load_part(part.data, Part.RECORDS)
    (row,) = loaded.array(Section.SETTINGS, fmt.SETTINGS)
    octets = loaded.array(Section.BYTES, fmt.BYTE).tobytes()
    told = {
        name: octets[row[f"{name}_offset"] : row[f"{name}_offset"] + row[f"{name}_bytes"]]
        for name in ("nsid", "id_server", "version")
    }
    assert told == {"nsid": b"node-1", "id_server": b"id", "version": b""}
    assert row["udp_bytes"] == 4096
    assert row["flags"] == fmt.SETTINGS_STEERS | fmt.SETTINGS_COOKIES
    assert loaded.array(Section.COOKIE_SECRETS, fmt.COOKIE_SECRET).tobytes() == b"a" * 16 + b"b" * 16
    (without,) = fmt.load_part(compiled(steered=()).data, Part.RECORDS).array(Section.SETTINGS, fmt.SETTINGS)
    assert without["flags"] == 0


def test_notify_sources_and_labels_are_sorted_and_stand_once() -> None:
    sources = tuple((ip_address(text), 0) for text in ("2001:db8::1", "192.0.2.9", "192.0.2.1", "192.0.2.9"))
    part = compiled(settings=WireSettings(notify_sources=sources, labels={9: b"nine", 2: b"two"}))
    sorted_rows: Any = rows(part, Section.NOTIFY_SOURCES, fmt.NOTIFY_SOURCE)
    found = [(high << 64 | low, zone) for high, low, zone, _ in sorted_rows]
    v4 = 0xFFFF << 32
    assert found == [(v4 | 0xC0000201, 0), (v4 | 0xC0000209, 0), (int(ip_address("2001:db8::1")), 0)]
    labels: Any = rows(part, Section.LABELS, fmt.LABEL)
    octets = fmt.load_part(part.data, Part.RECORDS).array(Section.BYTES, fmt.BYTE).tobytes()
    assert [(c, octets[at : at + size]) for c, at, size in labels] == [(2, b"two"), (9, b"nine")]


def test_https_with_hints_becomes_templates_and_leaves_the_node() -> None:
    records = ReferenceRecords(compiled(HTTPS, RRset(WWW, TYPE_TXT, 60, (Rdata(b"\1x"),))).data)
    (node,) = (row for row in map(records.node, range(len(records.nodes))) if row and row.steered != fmt.NONE)
    assert records.rrset_at(node, TYPE_HTTPS) is None
    assert records.rrset_at(node, TYPE_TXT) is not None
    assert records.steered_rrsets.tolist() == [(TYPE_HTTPS, 0, STEERED.ttl_s, 0, 2)]  # hints end with A
    assert records.templates["flags"].tolist() == [fmt.TEMPLATE_HINTS, 0]


def test_https_without_hints_stays_a_plain_rrset() -> None:
    alias = replace(HTTPS, records=(Rdata(b"\0\0\1x\0"),))
    records = ReferenceRecords(compiled(alias).data)
    assert len(records.steered_rrsets) == 0
    assert TYPE_HTTPS in records.rrsets["type"]


def test_https_brings_the_addresses_of_plain_targets_alone() -> None:
    """RFC 9460 section 4.1; those of a steered name are asked for by themselves (ECS-14)."""
    plain, service = labels_of("plain.example"), labels_of("service.example")
    address = RRset(plain, TYPE_A, 60, (Rdata(bytes(4)),))
    to_plain = Rdata(b"\0\1\5plain\7example\0")
    to_itself, to_nothing, to_steered = Rdata(b"\0\1\0"), Rdata(b"\0\0\0"), Rdata(b"\0\2\3www\7example\0")
    rrsets = (
        address,
        RRset(service, TYPE_HTTPS, 60, (to_steered, to_plain)),
        RRset(plain, TYPE_HTTPS, 60, (to_itself,)),
        RRset(labels_of("alias.example"), TYPE_HTTPS, 60, (to_nothing,)),
    )
    records = ReferenceRecords(compiled(*rrsets).data)
    given = {
        int(row["record_count"]): [int(records.rrsets["type"][each]) for each in records.additional_of(rrset)]
        for index, row in enumerate(records.rrsets)
        if row["type"] == TYPE_HTTPS and (rrset := records.rrset(index))
    }
    assert given[2] == [TYPE_A]
    counts = sorted(int(row["additional_count"]) for row in records.rrsets if row["type"] == TYPE_HTTPS)
    assert counts == [0, 1, 1]


def test_hosts_of_cnames_stand_in_the_order_given() -> None:
    hosts = [labels_of(text) for text in ("b.other.test", "a.other.test", "www.example")]
    records = ReferenceRecords(compiled(steered=(ALIAS,), cname_hosts=hosts).data)
    assert [records.labels_of(name) for name in records.cname_hosts] == hosts
    assert records.steered["flags"].tolist() == [fmt.STEERED_CNAME]


@pytest.mark.parametrize(
    ("steered", "rrsets", "signed", "why"),
    [
        (ALIAS, (HTTPS,), None, "has records"),
        (replace(ALIAS, owner=PARENT), (), None, "has records"),
        (replace(ALIAS, a=True), (), None, "is a CNAME and has addresses"),
        (replace(STEERED, explains=True), (HTTPS,), None, "has records"),
        (replace(STEERED, explains=True), (), KEYS, "explains decisions in a zone that is signed"),
        (STEERED, (replace(HTTPS, records=(Rdata(b"\0\1"),)),), None, "a name that does not end"),
    ],
)  # fmt: skip
def test_what_a_steered_name_excludes_is_refused(
    steered: SteeredRecord, rrsets: tuple[RRset, ...], signed: object, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        compiled(*rrsets, steered=(steered,), signed=signed)


def test_what_signing_makes_is_left_out_of_the_zone_file() -> None:
    others = [RRset(PARENT, rtype, 60, (Rdata(bytes(30)),)) for rtype in (46, 47, 48, 50, 51, 59, 60)]
    assert compiled(*others, signed=KEYS).data == compiled(signed=KEYS).data
    assert compiled(*others).data != compiled().data


def test_what_is_to_be_signed_of_answers() -> None:
    part = compiled(HTTPS, signed=KEYS, cname_hosts=[labels_of("h.test")])
    four, six = (b"\1\2\3\4", b"\4\3\2\1"), (bytes(16),)
    sets = [
        AnswerSet(0, TYPE_A, ipv4=four), AnswerSet(0, TYPE_A, ipv4=four), AnswerSet(0, TYPE_AAAA, ipv6=six),
        AnswerSet(0, TYPE_HTTPS, four, six), AnswerSet(0, TYPE_HTTPS, four),
        AnswerSet(0, TYPE_SVCB, four, six),
    ]  # fmt: skip
    found = [(each.rrset.type, each.rrset.ttl_s, each.key) for each in part.answers(sets)]
    assert found == [
        (TYPE_A, 60, b"".join(four)),
        (TYPE_AAAA, 60, six[0]),
        (TYPE_HTTPS, 60, b"\2" + b"".join(four) + six[0]),
        (TYPE_HTTPS, 60, b"\2" + b"".join(four)),
    ]
    assert list(compiled(HTTPS).answers(sets)) == []
    alias = compiled(steered=(ALIAS,), signed=KEYS, cname_hosts=[labels_of("h.test")])
    (answer,) = alias.answers([AnswerSet(0, TYPE_CNAME, host=0)])
    assert (answer.key, answer.rrset.rdata) == (bytes(4), (b"\1h\4test\0",))


def test_an_unsigned_deployment_has_nothing_to_sign() -> None:
    assert not compiled(HTTPS).is_signed
    assert compiled(HTTPS, signed=KEYS).is_signed


@pytest.mark.parametrize("steers", [False, True])
def test_a_beacons_wildcard_is_marked_and_nothing_else(steers: bool) -> None:
    wildcards = [(b"*", *below) for below in (WWW, (b"b", *WWW))]
    steered = tuple(replace(STEERED, owner=owner) for owner in wildcards) if steers else ()
    plain = () if steers else tuple(RRset(owner, TYPE_A, 60, (Rdata(bytes(4)),)) for owner in wildcards)
    for beacon, due in ((None, []), (WWW, [0]), ((b"b", *WWW), [1]), ((b"c", *WWW), [])):
        part = compiled(*plain, steered=steered, settings=WireSettings(beacon=beacon))
        records = ReferenceRecords(part.data)
        marked = [
            records.labels_of(name)
            for name, row in enumerate(records.names)
            if row["node"] != fmt.NONE and records.nodes["flags"][row["node"]] & fmt.NODE_BEACON
        ]
        assert marked == [wildcards[index] for index in due]
