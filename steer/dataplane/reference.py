"""The reference engine: slow and obvious, the specification of the native one and its oracle.

`answer` follows "The answer, step by step" of docs/snapshot_format.md; the numbers in
comments are that page's. Pure: time is an argument, no socket, clock or chance."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from steer.dataplane.reference_choices import ReferenceChoices, ReferenceSnapshot
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_limit import Verdict
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
from steer.dataplane.reference_observed import Observed
from steer.dataplane.reference_options import (
    BADVERS,
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Asker,
    ExtendedError,
    Options,
    read_all_options,
    reply_options,
)
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_rows import Rdata
from steer.dataplane.reference_search import Asked, Found, Search
from steer.dataplane.reference_signatures import ReferenceSignatures
from steer.dataplane.reference_wire import HEADER_BYTES, Malformed, Opt, Question, read_opt, read_question
from steer.model.records import TYPE_ANY, TYPE_AXFR, TYPE_IXFR, TYPE_OPT, TYPE_SOA, TYPE_TXT
from steer.publish import format as fmt

__all__ = [
    "ReferenceChoices",
    "ReferenceMap",
    "ReferenceRecords",
    "ReferenceSignatures",
    "ReferenceSnapshot",
    "answer",
]

QUERY, NOTIFY = 0, 4  # opcodes
CLASS_CH = 3
TCP_BYTES, PLAIN_UDP_BYTES = 65535, 512
_RCODE_COUNTERS = {
    NOERROR: "answers_noerror",
    FORMERR: "answers_formerr",
    SERVFAIL: "answers_servfail",
    NXDOMAIN: "answers_nxdomain",
    NOTIMP: "answers_notimp",
    REFUSED: "answers_refused",
    BADVERS: "answers_badvers",
}
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_ANSWER, _AUTHORITY, _ADDITIONAL = 0, 1, 2
_ID_SERVER_NAMES = ((b"id", b"server"), (b"hostname", b"bind"))  # RFC 4892
_VERSION_NAMES = ((b"version", b"server"), (b"version", b"bind"))

Limit = Callable[[bytes], Verdict]  # what becomes of one more response to this source of 4 or 16 octets
Notified = Callable[[int], None]  # told of a zone whose primary says that there is something new


def answer(
    packet: bytes,
    source: bytes,
    tcp: bool,
    now_s: int,
    snapshot: ReferenceSnapshot,
    counters: Counters,
    *,
    limit: Limit = lambda _: Verdict.PASS,
    notified: Notified = lambda _: None,
    observed: Observed | None = None,
) -> bytes | None:
    """The reply to one message, or None where none is due.

    `source`: 4 or 16 octets. `now_s`: Unix seconds, for cookies and signatures. Never raises, whatever the
    packet holds; `counters` move as the document's "Counters" says, and `observed` sees what its
    "Observations" says."""
    counters.count("queries_tcp" if tcp else "queries_udp")
    counters.count("bytes_in", len(packet))
    if source.startswith(_MAPPED_PREFIX) and len(source) == 16:
        source = source[12:]
    # 1. Too short for a header; not a query.
    if len(packet) < HEADER_BYTES:
        counters.count("dropped_short")
        return None
    if read_header(packet).qr:
        counters.count("dropped_response")
        return None
    asker = Asker(source, now_s, tcp)
    nameserver = _Nameserver(packet, asker, snapshot, counters, limit, notified, observed)
    reply = nameserver.reply()
    if reply is None:
        counters.count("rate_dropped")
        return None
    counters.count(_RCODE_COUNTERS[reply.rcode])
    counters.count("bytes_out", len(reply.wire))
    return reply.wire


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply's octets, and its rcode with the extended bits."""

    wire: bytes
    rcode: int


@dataclass(frozen=True, slots=True)
class _Nameserver:
    """One message and all that its reply depends on."""

    packet: bytes
    asker: Asker
    snapshot: ReferenceSnapshot
    counters: Counters
    limit: Limit
    notified: Notified
    observed: Observed | None

    def reply(self) -> _Reply | None:
        """The reply to a message that is no response; None where the rate limit forbids it."""
        header = read_header(self.packet)
        # 2. Only QUERY and NOTIFY. 3. One question (RFC 9619), well-formed; or none, for a cookie.
        if header.opcode not in (QUERY, NOTIFY):
            return self._bare(NOTIMP)
        try:
            if header.q == 0 and header.opcode == QUERY and header.a == header.auth == 0:
                return self._reply_without_question(header)
            if header.q != 1:
                raise Malformed
            question = read_question(self.packet)
        except Malformed:
            return self._bare(FORMERR)
        asked = Asked(question, self.snapshot.records.path(question.labels))
        found = Found(self._read_rest(header, asked, question))
        self._observe_arrival(asked)
        verdict = self._verdict(asked)
        if verdict is not Verdict.PASS:
            return self._limited(asked, verdict)
        if found.rcode == NOERROR:
            found = self._find(header.opcode, asked, question)
        return self._write(asked, found)

    def _reply_without_question(self, header: Any) -> _Reply | None:
        """A query for a cookie alone (RFC 7873 section 5.4). Raises Malformed where it is none."""
        asked = Asked(None, [0])
        asked.opt = read_opt(self.packet, HEADER_BYTES, header.ar)
        if asked.opt is None or asked.opt.version != 0:
            raise Malformed
        asked.options = self._read_options(asked.opt, reads_ecs=False)
        if asked.options.cookie is None:
            raise Malformed
        self._observe_arrival(asked)
        verdict = self._verdict(asked)
        return self._write(asked, Found()) if verdict is Verdict.PASS else self._limited(asked, verdict)

    def _read_rest(self, header: Any, asked: Asked, question: Question) -> int:
        """Steps 4 to 6: reads OPT and options into `asked`; FORMERR or BADVERS where they are wrong."""
        # 4. A query has neither answers nor, but for IXFR (RFC 1995 section 3), authority.
        if header.opcode == QUERY and (header.a or (header.auth and question.qtype != TYPE_IXFR)):
            return FORMERR
        try:
            # 5. The other records; OPT among them.
            asked.opt = read_opt(self.packet, question.end, header.ar, header.a + header.auth)
            # 6. EDNS version (RFC 6891 section 6.1.3), options.
            if asked.opt is not None:
                if asked.opt.version != 0:
                    return BADVERS
                reads_ecs = header.opcode == QUERY and question.qclass == CLASS_IN  # ECS-18
                asked.options = self._read_options(asked.opt, reads_ecs=reads_ecs)
        except Malformed as fault:
            asked.opt = fault.opt
            return FORMERR
        return NOERROR

    def _read_options(self, opt: Opt, *, reads_ecs: bool) -> Options:
        return read_all_options(opt, self.snapshot.records, self.asker, self.counters, reads_ecs=reads_ecs)

    def _observe_arrival(self, asked: Asked) -> None:
        if self.observed is not None and (self.asker.tcp or asked.options.is_known):
            self.observed.add_arrival(self.asker.source, asked.options.ecs)

    # --- step 6: the rate limit ---

    def _verdict(self, asked: Asked) -> Verdict:
        """What becomes of the reply: over TCP, or with a valid cookie, nobody can forge a source."""
        if self.asker.tcp or asked.options.is_known:
            return Verdict.PASS
        return self.limit(self.asker.source)

    def _limited(self, asked: Asked, verdict: Verdict) -> _Reply | None:
        """Nothing, or an empty reply with TC = 1."""
        if verdict is Verdict.DROP:
            return None
        self.counters.count("rate_slipped")
        return self._write(asked, Found(), is_slip=True)

    def _bare(self, rcode: int) -> _Reply | None:
        """A header alone: no question could be read."""
        verdict = self._verdict(Asked(None, [0]))
        if verdict is Verdict.DROP:
            return None
        if verdict is Verdict.SLIP:
            self.counters.count("rate_slipped")
        header = reply_header(self.packet)
        header.rcode = rcode
        return _Reply(pack_header(header), rcode)

    # --- step 7: what no zone has a say in; then the search ---

    def _find(self, opcode: int, asked: Asked, question: Question) -> Found:
        if opcode == NOTIFY:
            return self._notify(asked, question)
        if question.qclass == CLASS_CH:
            return self._chaos(question)
        if question.qclass != CLASS_IN:
            return Found(REFUSED, error=ExtendedError.NOT_AUTHORITATIVE)
        if question.qtype == TYPE_OPT:
            return Found(FORMERR)
        if question.qtype in (TYPE_IXFR, TYPE_AXFR):
            return Found(REFUSED, error=ExtendedError.PROHIBITED)
        return Search(self.snapshot, asked, question, self.asker, self.counters, self.observed).run()

    def _notify(self, asked: Asked, question: Question) -> Found:
        """RFC 1996 section 3: from a primary of the zone whose apex is asked, and from nobody else."""
        records = self.snapshot.records
        refused = Found(REFUSED, error=ExtendedError.PROHIBITED)
        is_whole = len(asked.known) == len(question.labels) + 1
        node = records.node_at(asked.known[-1]) if is_whole else None
        if node is None or not node.flags & fmt.NODE_APEX:
            return refused
        if (question.qtype, question.qclass) != (TYPE_SOA, CLASS_IN):
            return refused
        if not records.may_notify(self.asker.source, node.zone):
            return refused
        self.counters.count("notifies")
        self.notified(node.zone)
        return Found(aa=True)

    def _chaos(self, question: Question) -> Found:
        """Who this server is, in class CH (RFC 4892)."""
        name = tuple(label.lower() for label in question.labels)
        is_asked = question.qtype in (TYPE_TXT, TYPE_ANY) and name in _ID_SERVER_NAMES + _VERSION_NAMES
        if not is_asked:
            return Found(REFUSED, error=ExtendedError.NOT_AUTHORITATIVE)
        records = self.snapshot.records
        text = records.id_server if name in _ID_SERVER_NAMES else records.version
        if not text:
            return Found(REFUSED, error=ExtendedError.PROHIBITED)
        rdata = (Rdata(bytes((len(text),)) + text, (), b""),)
        return Found(aa=True, answer=[Entry(None, TYPE_TXT, 0, rdata, CLASS_CH)])

    # --- steps 14 and 15 ---

    def _write(self, asked: Asked, found: Found, *, is_slip: bool = False) -> _Reply:
        records = self.snapshot.records
        options = reply_options(
            asked.options, found.rcode, found.scope_bits, found.error, records, self.asker, self.counters
        )
        room = self._limit_bytes(asked.opt) - opt_bytes(asked.opt, options)  # ECS-20: OPT's comes first
        message = Message(records, asked.question, asked.known)
        fits = not is_slip and (
            message.write(_ANSWER, found.answer, room)
            and message.write(_AUTHORITY, found.authority, room)
            and message.write(_ADDITIONAL, found.glue, room)  # RFC 9471
        )
        if not fits:
            self.counters.count("answers_truncated")
            message.empty()
        for entry in found.additional if fits else []:
            alone = replace(entry, signatures=())
            if not (message.write(_ADDITIONAL, [entry], room) or message.write(_ADDITIONAL, [alone], room)):
                break
        if message.has_signatures:
            self.counters.count("answers_signed")
        header = reply_header(self.packet, aa=found.aa, tc=not fits)
        wire = message.finish(header, asked.opt, options, records.udp_bytes, found.rcode)
        return _Reply(wire, found.rcode)

    def _limit_bytes(self, opt: Opt | None) -> int:
        if self.asker.tcp:
            return TCP_BYTES
        if opt is None:
            return PLAIN_UDP_BYTES
        return min(max(PLAIN_UDP_BYTES, opt.udp_bytes), self.snapshot.records.udp_bytes)
