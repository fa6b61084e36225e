"""The reference engine: slow and obvious, the specification of the native one and its oracle.

`answer` follows "The answer, step by step" of docs/snapshot_format.md; the numbers in
comments are that page's. Pure: time is an argument, no socket, clock or chance."""

from dataclasses import dataclass, field

from steer.dataplane.reference_choices import ReferenceChoices, ReferenceSnapshot, choose
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_map import ReferenceMap
from steer.dataplane.reference_message import (
    CLASS_IN,
    Entry,
    Message,
    opt_bytes,
    pack_header,
    read_header,
    reply_header,
)
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import Node, Rdata, RRset
from steer.dataplane.reference_wire import (
    HEADER_BYTES,
    OPTION_ECS,
    Ecs,
    Malformed,
    Opt,
    Question,
    read_ecs,
    read_opt,
    read_options,
    read_question,
)
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_ANY,
    TYPE_AXFR,
    TYPE_CNAME,
    TYPE_DS,
    TYPE_IXFR,
    TYPE_NS,
    TYPE_OPT,
)
from steer.publish import format as fmt

__all__ = ["ReferenceChoices", "ReferenceMap", "ReferenceRecords", "ReferenceSnapshot", "answer"]

NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 3, 4, 5, 16
_RCODE_COUNTERS = {
    NOERROR: "answers_noerror",
    FORMERR: "answers_formerr",
    NXDOMAIN: "answers_nxdomain",
    NOTIMP: "answers_notimp",
    REFUSED: "answers_refused",
    BADVERS: "answers_badvers",
}
TCP_BYTES, PLAIN_UDP_BYTES = 65535, 512
CNAMES_MAX = 8
TYPE_HINFO, HINFO_TTL_S, HINFO_RDATA = 13, 3600, b"\x07RFC8482\0"
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_ANSWER, _AUTHORITY, _ADDITIONAL = 0, 1, 2


def answer(
    packet: bytes, source: bytes, tcp: bool, now_s: int, snapshot: ReferenceSnapshot, counters: Counters
) -> bytes | None:
    """The reply to one message, or None where none is due.

    `source`: 4 or 16 octets. `now_s`: Unix seconds; nothing in the answer depends on it yet. Never raises,
    whatever the packet holds; `counters` move as the document's "Counters" says."""
    counters.count("queries_tcp" if tcp else "queries_udp")
    counters.count("bytes_in", len(packet))
    if source.startswith(_MAPPED_PREFIX) and len(source) == 16:
        source = source[12:]
    reply, rcode = _reply(packet, source, tcp, snapshot, counters)
    if reply is not None:
        counters.count(_RCODE_COUNTERS[rcode])
        counters.count("bytes_out", len(reply))
    return reply


@dataclass(slots=True)
class _Asked:
    """A query that could be read. `known`: ids of the question's suffixes in the tree, the root first."""

    question: Question
    known: list[int]
    opt: Opt | None = None
    ecs: Ecs | None = None


@dataclass(slots=True)
class _Found:
    """What goes into the reply. `glue`, in the delegated domain, must fit; `additional` may be left out."""

    rcode: int = NOERROR
    aa: bool = False
    answer: list[Entry] = field(default_factory=list)
    authority: list[Entry] = field(default_factory=list)
    glue: list[Entry] = field(default_factory=list)
    additional: list[Entry] = field(default_factory=list)
    scope_bits: int = 0


def _reply(
    packet: bytes, source: bytes, tcp: bool, snapshot: ReferenceSnapshot, counters: Counters
) -> tuple[bytes | None, int]:
    # 1. Too short for a header; not a query.
    if len(packet) < HEADER_BYTES:
        counters.count("dropped_short")
        return None, NOERROR
    header = read_header(packet)
    if header.qr:
        counters.count("dropped_response")
        return None, NOERROR
    # 2. Only QUERY. 3. One question (RFC 9619), well-formed.
    if header.opcode != 0:
        return _bare(packet, NOTIMP), NOTIMP
    try:
        if header.q != 1:
            raise Malformed
        question = read_question(packet)
    except Malformed:
        return _bare(packet, FORMERR), FORMERR
    asked = _Asked(question, snapshot.records.path(question.labels))
    found = _Found(_read_rest(packet, header, asked, snapshot, counters))
    if asked.ecs is not None:
        counters.count("ecs_queries")
    if found.rcode == NOERROR:
        _Search(snapshot, asked, source, found, counters).run()
    return _write(packet, tcp, snapshot.records, asked, found, counters), found.rcode


def _read_rest(
    packet: bytes, header: object, asked: _Asked, snapshot: ReferenceSnapshot, counters: Counters
) -> int:
    """Steps 4 to 7: reads OPT and ECS into `asked`; the rcode that no zone has a say in, or NOERROR."""
    qtype, qclass = asked.question.qtype, asked.question.qclass
    answers, authorities, additionals = (int(getattr(header, name)) for name in ("a", "auth", "ar"))
    # 4. A query has neither answers nor, but for IXFR (RFC 1995 section 3), authority.
    if answers or (authorities and qtype != TYPE_IXFR):
        return FORMERR
    try:
        # 5. The other records; OPT among them.
        asked.opt = read_opt(packet, asked.question.end, authorities, additionals)
        # 6. EDNS version (RFC 6891 section 6.1.3), options, ECS.
        if asked.opt is not None:
            if asked.opt.version != 0:
                return BADVERS
            reads_ecs = snapshot.records.steers and qclass == CLASS_IN
            asked.ecs = _read_options(asked.opt, reads_ecs, counters)
    except Malformed as fault:
        asked.opt = fault.opt
        return FORMERR
    # 7. Class and types that no zone answers.
    if qclass != CLASS_IN:
        return REFUSED
    if qtype == TYPE_OPT:
        asked.ecs = None
        return FORMERR
    return REFUSED if qtype in (TYPE_IXFR, TYPE_AXFR) else NOERROR


def _read_options(opt: Opt, reads_ecs: bool, counters: Counters) -> Ecs | None:
    """Proves that the options fill the record; the well-formed ECS among them, if it is to be read.

    Raises Malformed at the first fault, a second ECS among them (ECS-22)."""
    ecs = None
    for code, data in read_options(opt):
        if code == OPTION_ECS and reads_ecs:
            read = None if ecs is not None else read_ecs(data)
            if read is None:
                counters.count("ecs_malformed")
                raise Malformed(opt)
            ecs = read
    return ecs


class _Search:
    """Steps 8 to 13 for one query: fills `found`."""

    def __init__(
        self, snapshot: ReferenceSnapshot, asked: _Asked, source: bytes, found: _Found, counters: Counters
    ) -> None:
        self._snapshot, self._records = snapshot, snapshot.records
        self._asked, self._qtype, self._source = asked, asked.question.qtype, source
        self._found, self._counters = found, counters

    def run(self) -> None:
        """Find the name that was asked, then the targets of its CNAMEs, until one of them ends the search."""
        known, owner = self._asked.known, None
        is_whole = len(known) == len(self._asked.question.labels) + 1
        followed: set[int] = set()  # CNAME rrsets
        while True:
            place = self._locate(known, is_whole)
            if place is None:  # 8. No zone: not ours, or the end of a chain.
                self._found.rcode = NOERROR if followed else REFUSED
                return
            if place.is_referral:
                self._add_referral(place.node, is_chained=bool(followed))
                return
            self._found.aa = True
            if place.node is None:
                self._found.rcode = NXDOMAIN  # of the last name of a chain (RFC 6604)
                self._add_soa(place.zone)
                return
            cname = self._records.rrset_at(place.node, TYPE_CNAME)
            if cname is None or self._qtype in (TYPE_CNAME, TYPE_ANY):
                self._add_data(place, owner)
                return
            # 10. CNAME: never the same twice, and not too many.
            if cname in followed or len(followed) == CNAMES_MAX:
                return
            followed.add(cname)
            rrset = self._records.rrset(cname)
            self._found.answer.append(self._entry(rrset, owner))
            if self._asked.ecs is not None and rrset.flags & fmt.RRSET_STEERED_TARGET:  # ECS-12
                return
            owner = next(self._records.rdata(rrset)).names[0]
            known, is_whole = self._records.ancestry(owner), True

    def _locate(self, known: list[int], is_whole: bool) -> "_Place | None":
        """Step 8: the zone of a name of which the suffixes `known` are in the tree; `is_whole`: all are.

        A DS lives in the parent zone (RFC 4035 section 3.1.4.1)."""
        for depth in reversed(range(len(known))):
            apex = self._records.node_at(known[depth])
            if apex is None or not apex.flags & fmt.NODE_APEX:
                continue
            is_asked = is_whole and depth == len(known) - 1
            cut = self._records.node(int(self._records.names[known[depth]]["cut_node"]))
            if self._qtype == TYPE_DS and is_asked and cut is not None:
                return _Place(cut.zone, cut)
            return self._descend(apex, known[depth:], is_whole)
        return None

    def _descend(self, apex: Node, way: list[int], is_whole: bool) -> "_Place":
        """Step 9: from the apex down to a cut, the name, the wildcard that stands for it, or nothing."""
        closest, is_exact = apex, is_whole and len(way) == 1
        for name in way[1:]:
            node = self._records.node_at(name)
            if node is None or node.zone != apex.zone:
                continue
            closest, is_exact = node, is_whole and name == way[-1]
            if node.flags & fmt.NODE_CUT and not (is_exact and self._qtype == TYPE_DS):
                return _Place(apex.zone, node, is_referral=True)
        return _Place(apex.zone, closest if is_exact else self._records.node(closest.wildcard))

    def _add_data(self, place: "_Place", owner: int | None) -> None:
        """Steps 11 and 12: what the node has of the type, or NODATA."""
        node = place.node
        assert node is not None
        if self._qtype == TYPE_ANY and (node.rrset_count or node.steered != fmt.NONE):
            rdata = (Rdata(HINFO_RDATA, (), b""),)
            self._found.answer.append(Entry(owner, TYPE_HINFO, HINFO_TTL_S, rdata))  # RFC 8482
            return
        if node.steered != fmt.NONE and self._qtype in (TYPE_A, TYPE_AAAA):
            steered = self._records.steered_name(node.steered)
            flag = fmt.STEERED_A if self._qtype == TYPE_A else fmt.STEERED_AAAA
            if steered.flags & flag:
                self._add_steered(place, node.steered, steered.ttl_s, owner)
                return
        index = self._records.rrset_at(node, self._qtype)
        if index is None or self._qtype == TYPE_ANY:
            self._add_nodata(place.zone)
            return
        rrset = self._records.rrset(index)
        self._found.answer.append(self._entry(rrset, owner))
        self._found.additional += self._additional(rrset)

    def _add_steered(self, place: "_Place", index: int, ttl_s: int, owner: int | None) -> None:
        chosen = choose(self._snapshot, index, self._qtype, self._source, self._asked.ecs, self._counters)
        if not chosen.addresses:
            self._add_nodata(place.zone)
            return
        self._found.scope_bits = chosen.scope_bits
        rdata = tuple(Rdata(address, (), b"") for address in chosen.addresses)
        self._found.answer.append(Entry(owner, self._qtype, min(ttl_s, chosen.ttl_cap_s), rdata))

    def _add_nodata(self, zone: int) -> None:
        self._counters.count("answers_nodata")
        self._add_soa(zone)

    def _add_soa(self, zone_index: int) -> None:
        """Step 13: the SOA with the negative TTL (RFC 2308 section 3)."""
        zone = self._records.zone(zone_index)
        soa = self._entry(self._records.rrset(zone.soa), zone.apex)
        self._found.authority.append(Entry(soa.owner, soa.rtype, zone.negative_ttl_s, soa.rdata))

    def _add_referral(self, cut: Node | None, *, is_chained: bool) -> None:
        assert cut is not None
        index = self._records.rrset_at(cut, TYPE_NS)
        assert index is not None
        self._counters.count("answers_referral")
        rrset = self._records.rrset(index)
        self._found.aa = is_chained
        self._found.authority.append(self._entry(rrset, rrset.name))
        for entry in self._additional(rrset):
            in_domain = entry.owner is not None and rrset.name in self._records.ancestry(entry.owner)
            (self._found.glue if in_domain else self._found.additional).append(entry)

    def _additional(self, rrset: RRset) -> list[Entry]:
        others = [self._records.rrset(index) for index in self._records.additional_of(rrset)]
        return [self._entry(other, other.name) for other in others]

    def _entry(self, rrset: RRset, owner: int | None) -> Entry:
        return Entry(owner, rrset.type, rrset.ttl_s, tuple(self._records.rdata(rrset)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name was found: a zone's index, and the node that answers for it (None: it does not exist).

    `is_referral`: the node is a cut at or above the name."""

    zone: int
    node: Node | None
    is_referral: bool = False


def _write(
    packet: bytes, tcp: bool, records: ReferenceRecords, asked: _Asked, found: _Found, counters: Counters
) -> bytes:
    """Steps 14 and 15."""
    ecs = asked.ecs if found.rcode in (NOERROR, NXDOMAIN, REFUSED) else None  # ECS-8
    room = _limit(tcp, asked.opt, records.udp_bytes) - opt_bytes(asked.opt, ecs)  # ECS-20: OPT's comes first
    message = Message(records, asked.question, asked.known)
    fits = (
        message.write(_ANSWER, found.answer, room)
        and message.write(_AUTHORITY, found.authority, room)
        and message.write(_ADDITIONAL, found.glue, room)  # RFC 9471
    )
    if not fits:
        counters.count("answers_truncated")
        message.empty()
    for entry in found.additional if fits else []:
        if not message.write(_ADDITIONAL, [entry], room):
            break
    ecs_reply = ecs.reply(found.scope_bits) if ecs is not None else None
    header = reply_header(packet, aa=found.aa, tc=not fits)
    return message.finish(header, asked.opt, ecs_reply, records.udp_bytes, found.rcode)


def _limit(tcp: bool, opt: Opt | None, udp_bytes: int) -> int:
    if tcp:
        return TCP_BYTES
    return PLAIN_UDP_BYTES if opt is None else min(max(PLAIN_UDP_BYTES, opt.udp_bytes), udp_bytes)


def _bare(packet: bytes, rcode: int) -> bytes:
    """A header alone: no question could be read."""
    header = reply_header(packet)
    header.rcode = rcode
    return pack_header(header)
