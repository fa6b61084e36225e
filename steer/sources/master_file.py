"""An RFC 1035 master file as plain zone data, read entry by entry so that every fault comes at once.

dnspython parses each entry; one that it refuses is a fault of its own, and the next is read all the same.
Of directives `$ORIGIN` and `$TTL` are taken: `$INCLUDE` would read files that nobody watches, `$GENERATE` has
no bound."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.transaction
import dns.zonefile

from steer.model.policy import Location
from steer.model.records import Labels, Rdata, RRset, ZoneData
from steer.sources.located_yaml import Faults, quoted
from steer.sources.master_checks import check_zone
from steer.sources.rdata import (
    LARGEST_RECORD_COUNT,
    LARGEST_RRSET_BYTES,
    LARGEST_TTL_S,
    is_data,
    labels_of,
    octets_of,
    rdata_of,
)
from steer.sources.svcb_checks import SVCB_TYPES
from steer.sources.svcb_text import explain_svcb

LARGEST_MASTER_FILE_BYTES = 64 << 20
LARGEST_ENTRY_BYTES = 256 << 10  # RDATA of 65535 octets written as \DDD
LARGEST_ENTRY_LINE_COUNT = 10_000
LARGEST_UNCLOSED_COUNT = 10  # each costs a look at as many lines
_TAKEN_DIRECTIVES = ("$ORIGIN", "$TTL")
_NAMED_BY_DNSPYTHON = re.compile(r"^[^:]*:\d+: ")


@dataclass(slots=True)
class _Growing:
    """An RRset whose records are still coming, each with its line."""

    owner: Labels
    type: int
    ttl_s: int
    line: int
    records: dict[Rdata, int] = field(default_factory=dict)
    size: int = 0


@dataclass(slots=True)
class _Sink:
    """Stands for dnspython's transaction: takes each record as it is parsed. The origin is the root, so that
    nothing is dropped as out of zone before it can be reported."""

    apex: Labels
    file: str
    faults: Faults
    line: int = 0
    record_count: int = 0
    rrsets: dict[tuple[Labels, int], _Growing] = field(default_factory=dict)

    @property
    def manager(self) -> "_Sink":
        return self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, _check: object) -> None:
        """The library's own check of CNAMEs is not wanted: `master_checks` says it better."""

    def _set_origin(self, _origin: object) -> None:
        """A changed `$ORIGIN` is the reader's business alone."""

    def add(self, name: dns.name.Name, ttl_s: int, rdata: dns.rdata.Rdata) -> None:
        """Keep one record, or the fault in it."""
        at = Location(self.file, self.line, 1)
        owner = labels_of(name)
        if owner[-len(self.apex) :] != self.apex:
            self.faults.add(
                at, f"{_shown(owner)} is outside the zone", f"end the name in {_shown(self.apex)}, or move it"
            )
            return
        number = int(rdata.rdtype)
        if ttl_s > LARGEST_TTL_S:
            self.faults.add(at, f"TTL {ttl_s} is more than {LARGEST_TTL_S}", "write such as `3600`")
            return
        if not is_data(number):
            self.faults.add(
                at, f"type {dns.rdatatype.to_text(rdata.rdtype)} cannot stand in a zone", "remove the line"
            )
            return
        self.record_count += 1
        rrset = self.rrsets.setdefault((owner, number), _Growing(owner, number, ttl_s, self.line))
        if rrset.ttl_s != ttl_s:
            least = min(rrset.ttl_s, ttl_s)
            wrong = f"{_shown(owner)} has records of one type with TTLs {rrset.ttl_s} and {ttl_s}"
            self.faults.warn(at, wrong, f"write one TTL; {least} is used (RFC 2181 section 5.2)")
            rrset.ttl_s = least
        value = rdata_of(rdata)
        if value in rrset.records:
            self.faults.warn(at, "the record stands twice", "remove one of them")
            return
        rrset.records[value] = self.line
        rrset.size += octets_of(value)


def read_master_file(
    data: bytes,
    file: str,
    apex: Labels,
    steered: Mapping[Labels, Location],
    faults: Faults,
    aliases: Mapping[Labels, Collection[str]] | None = None,
    explain: tuple[Labels, Location] | None = None,
) -> ZoneData | None:
    """The zone's plain data; None where something in it is wrong. Faults, all of them, go to `faults`.

    `steered`: owners of steered names -> where they are named; the file has no addresses of theirs, and of
    `aliases`, those that are CNAMEs, of which hosts, no data at all;
    `explain`: below which names explain themselves, and where that is said: the file has nothing there."""
    already = len(faults.found)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(
            Location(file, line, 1),
            "the line is not UTF-8",
            "write other octets as \\DDD, such as \\195\\188",
        )
        return None
    sink = _Sink(apex, file, faults)
    tokenizer = dns.tokenizer.Tokenizer("")
    reader = dns.zonefile.Reader(
        tokenizer,
        dns.rdataclass.IN,
        cast(dns.transaction.Transaction, sink),
        allow_directives=_TAKEN_DIRECTIVES,
    )
    reader.current_origin = reader.last_name = dns.name.Name((*apex, b""))
    for line, entry in _entries(text):
        sink.line = line
        _read_entry(reader, entry, sink)
        if sink.record_count > LARGEST_RECORD_COUNT:
            faults.add(
                Location(file, line, 1), f"more than {LARGEST_RECORD_COUNT:,} records", "split the zone"
            )
            return None
    for rrset in sink.rrsets.values():
        if rrset.size > LARGEST_RRSET_BYTES:
            wrong = f"{_shown(rrset.owner)} has more than {LARGEST_RRSET_BYTES:,} octets of one type"
            faults.add(
                Location(file, rrset.line, 1), wrong, "spread them over several names; no answer holds them"
            )
    zone = ZoneData(
        apex,
        tuple(
            RRset(rrset.owner, rrset.type, rrset.ttl_s, tuple(rrset.records), rrset.line)
            for rrset in sink.rrsets.values()
        ),
    )
    check_zone(
        zone,
        file,
        steered,
        faults,
        aliases=aliases or {},
        explain=explain,
        complete=len(faults.found) == already,
        lines={
            key: tuple(rrset.records.values()) for key, rrset in sink.rrsets.items() if key[1] in SVCB_TYPES
        },
    )
    return zone if len(faults.found) == already else None


def _read_entry(reader: dns.zonefile.Reader, entry: str, sink: _Sink) -> None:
    """Let dnspython read one entry; what it knows of origin, TTL and last owner stays in `reader`."""
    at = Location(sink.file, sink.line, 1)
    if len(entry) > LARGEST_ENTRY_BYTES:
        sink.faults.add(
            at,
            f"an entry of more than {LARGEST_ENTRY_BYTES:,} characters",
            "close its bracket, or shorten it",
        )
        return
    word = entry.split(None, 1)[0].upper() if entry.strip() and not entry[0].isspace() else ""
    if word.startswith("$") and word not in _TAKEN_DIRECTIVES:
        fix = "write the records themselves; only $ORIGIN and $TTL are taken"
        sink.faults.add(at, f"directive {quoted(word)}", fix)
        return
    reader.tok = dns.tokenizer.Tokenizer(entry, sink.file)
    try:
        reader.read()
    except (dns.exception.DNSException, ValueError, OverflowError, RecursionError) as error:
        sink.faults.add(at, *_explained(error, entry))


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of each entry: a line, and those after it while a bracket is open.

    A bracket that never closes comes with its first line alone, so that one slip does not swallow the file;
    after `LARGEST_UNCLOSED_COUNT` of them the rest of the file is not looked at."""
    lines = text.split("\n")
    number = unclosed = 0
    while number < len(lines):
        depth, end = _depth_after(lines[number], 0), number + 1
        while depth > 0 and end < min(len(lines), number + LARGEST_ENTRY_LINE_COUNT):
            depth, end = _depth_after(lines[end], depth), end + 1
        if depth > 0:
            end, unclosed = number + 1, unclosed + 1
        entry = "\n".join(lines[number:end])
        if not entry.isspace() and entry:
            yield number + 1, entry + "\n"
        number = end if unclosed < LARGEST_UNCLOSED_COUNT else len(lines)


def _depth_after(line: str, depth: int) -> int:
    """How many brackets are open after the line; quotes end with the line, comments hide the rest of it."""
    in_quotes = escaped = False
    for character in line if "(" in line or ")" in line else "":
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            in_quotes = not in_quotes
        elif in_quotes:
            continue
        elif character == ";":
            break
        elif character in "()":
            depth += 1 if character == "(" else -1
    return max(depth, 0)


# what dnspython says -> (what is wrong, what to write)
_MEANINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"unknown rdatatype '(.*)'"),
        "unknown type {0}",
        "write a type such as A, AAAA, MX, TXT or TYPE65280",
    ),
    (
        re.compile("Missing default TTL"),
        "no TTL",
        "write one in the line, or `$TTL 3600` at the top of the file",
    ),
    (
        re.compile("class is not zone's class"),
        "a class other than IN",
        "write `IN`, or leave the class out",
    ),
    (re.compile("TTL"), "not a TTL", "write seconds, such as `$TTL 3600`"),
    (re.compile("parenthes|paren", re.I), "a bracket that is not closed, or not opened", "write `( … )`"),
    (re.compile("quote", re.I), "a quote that is not closed", "close it on the same line"),
    (
        re.compile("label (?:is|has)|label >|name is >|empty label", re.I),
        "a name with an empty or too long label",
        "write labels of 1 to 63 octets, 255 in all",
    ),
)
_EXAMPLES = {
    "A": "www 60 A 192.0.2.1",
    "AAAA": "www 60 AAAA 2001:db8::1",
    "NS": "@ 3600 NS ns1",
    "CNAME": "alias 60 CNAME www",
    "SOA": "@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300",
    "MX": "@ 3600 MX 10 mail",
    "TXT": '@ 3600 TXT "text of at most 255 octets" "and more"',
    "SRV": "_sip._tcp 60 SRV 0 5 5060 sip",
    "HTTPS": "@ 3600 HTTPS 1 . alpn=h2,h3",
    "SVCB": "_dns 3600 SVCB 1 ns1 alpn=dot",
    "DS": "child 3600 DS 12345 13 2 <digest in hexadecimal>",
    "NAPTR": '@ 3600 NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp',
    "SSHFP": "www 3600 SSHFP 4 2 <digest in hexadecimal>",
    "TLSA": "_443._tcp.www 3600 TLSA 3 1 1 <digest in hexadecimal>",
    "CAA": '@ 3600 CAA 0 issue "ca.example"',
}


def _explained(error: Exception, entry: str) -> tuple[str, str]:
    said = _NAMED_BY_DNSPYTHON.sub("", " ".join(str(error).split())) or type(error).__name__
    for pattern, wrong, fix in _MEANINGS:
        match = pattern.search(said)
        if match:
            return wrong.format(*(quoted(group) for group in match.groups())), fix
    words = [word.upper() for word in entry.split()[0 if entry[0].isspace() else 1 :][:4]]  # not the owner
    if "generic rdata" in said:
        wrong = "a type whose fields are not known here"
        return wrong, "write its RDATA as RFC 3597 does: `www 60 TYPE14 \\# <octets> <hexadecimal>`"
    known = next((word for word in words if word in _EXAMPLES), "")
    explained = explain_svcb(known, entry, said) if known in ("HTTPS", "SVCB") else None
    if explained is not None:
        return explained
    wrong = (
        f"unreadable {known} record: {said[:120].rstrip('.')}"
        if known
        else f"unreadable: {said[:120].rstrip('.')}"
    )
    return wrong, f"write such as `{_EXAMPLES.get(known, _EXAMPLES['A'])}`"


def _shown(labels: Labels) -> str:
    return quoted(".".join(label.decode("ascii", "backslashreplace") for label in labels))
