"""From a question to what answers it: steps 8 to 13 of docs/snapshot_format.md, "The answer, step by step".

In: a question, who asks, a snapshot; out: the rrsets of each section, rcode, flags, scope. Counts what it
found. Pure."""

from dataclasses import dataclass, field, replace

from steer.dataplane.reference_choices import ReferenceSnapshot
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_dnssec import covering_nsec, signatures_of, signed
from steer.dataplane.reference_message import Entry
from steer.dataplane.reference_observed import Observed
from steer.dataplane.reference_options import (
    NO_OPTIONS,
    NOERROR,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Asker,
    ExtendedError,
    Options,
)
from steer.dataplane.reference_rows import Node, Rdata, RRset
from steer.dataplane.reference_steered import steered_answer, steers_type
from steer.dataplane.reference_wire import Opt, Question
from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_ANY,
    TYPE_CNAME,
    TYPE_DS,
    TYPE_NS,
    TYPE_NSEC,
    TYPE_RRSIG,
    Labels,
)
from steer.publish import format as fmt

CNAMES_MAX = 8
TYPE_HINFO, HINFO_TTL_S, HINFO_RDATA = 13, 3600, b"\x07RFC8482\0"  # RFC 8482 section 4.2
_NOT_CHAINED = (TYPE_CNAME, TYPE_ANY, TYPE_NSEC, TYPE_RRSIG)  # types that a CNAME's own node answers


@dataclass(slots=True)
class Asked:
    """A query that could be read. `known`: ids of the question's suffixes in the tree, the root first."""

    question: Question | None
    known: list[int]
    opt: Opt | None = None
    options: Options = NO_OPTIONS

    @property
    def do(self) -> bool:
        """Signatures are wanted (RFC 3225)."""
        return self.opt is not None and self.opt.do


@dataclass(slots=True)
class Found:
    """What goes into the reply. `glue`, in the delegated domain, must fit; `additional` may be left out."""

    rcode: int = NOERROR
    aa: bool = False
    answer: list[Entry] = field(default_factory=list)
    authority: list[Entry] = field(default_factory=list)
    glue: list[Entry] = field(default_factory=list)
    additional: list[Entry] = field(default_factory=list)
    scope_bits: int = 0
    error: ExtendedError | None = None


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that is looked for: the question (`owner` None), or a CNAME's target, by its id.

    `known`: ids of its suffixes in the tree, the root first; `is_whole`: the last is the name itself."""

    owner: int | None
    labels: Labels
    known: list[int]

    @property
    def is_whole(self) -> bool:
        return len(self.known) == len(self.labels) + 1


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name was found: a zone's index, the closest node that exists, and the node that answers for the
    name (None: the name does not exist). `is_referral`: it is a cut at or above the name; `is_wildcard`: it
    stands for the name."""

    zone: int
    closest: Node
    node: Node | None
    is_referral: bool = False
    is_wildcard: bool = False


class Search:
    """The search for one question; one use."""

    def __init__(
        self,
        snapshot: ReferenceSnapshot,
        asked: Asked,
        question: Question,
        asker: Asker,
        counters: Counters,
        observed: Observed | None = None,
    ) -> None:
        self._snapshot, self._records = snapshot, snapshot.records
        self._asked, self._question, self._qtype = asked, question, question.qtype
        self._asker, self._counters, self._observed = asker, counters, observed
        self._found = Found()
        self._proofs: dict[int, None] = {}  # ids of NSEC rrsets, in order, none twice
        self._chain: list[int] = []  # ids of the CNAME rrsets in the answer

    def run(self) -> Found:
        """Find the name that was asked, then the targets of its CNAMEs, until one of them ends the search."""
        labels = tuple(label.lower() for label in self._question.labels)
        name: _Name | None = _Name(None, labels, self._asked.known)
        while name is not None:
            name = self._step(name)
        self._found.authority += [self._own_entry(nsec) for nsec in self._proofs]
        return self._found

    def _step(self, name: _Name) -> _Name | None:
        """Answer from one name, as far as it goes: the name that comes next, or None at the end."""
        place = self._locate(name)
        if place is None:  # 8. No zone: not ours, or the end of a chain.
            if not self._chain:
                self._found.rcode, self._found.error = REFUSED, ExtendedError.NOT_AUTHORITATIVE
            return None
        state = int(self._snapshot.choices.zone_states[place.zone])
        if state == fmt.ZONE_NOT_READY:
            if not self._chain:
                self._found.rcode, self._found.error = SERVFAIL, ExtendedError.NOT_READY
            return None
        if state == fmt.ZONE_STALE:
            self._found.error = ExtendedError.STALE
        if place.is_referral:
            self._add_referral(place)
            return None
        self._observe_join(place)
        self._found.aa = True
        if place.node is None:
            self._add_nxdomain(place, name)
            return None
        cname = self._records.rrset_at(place.node, TYPE_CNAME)
        if cname is not None and self._qtype not in _NOT_CHAINED:
            return self._follow(place, cname, name)
        if not (self._is_steered_cname(place.node) and len(self._chain) == CNAMES_MAX):
            self._add_data(place, place.node, name)
        return None

    def _follow(self, place: _Place, cname: int, name: _Name) -> _Name | None:
        """Step 10: a CNAME, never the same twice, and not too many; its target where it is followed."""
        if cname in self._chain or len(self._chain) == CNAMES_MAX:
            return None
        self._chain.append(cname)
        rrset = self._records.rrset(cname)
        self._found.answer.append(self._entry(cname, name.owner))
        self._prove_wildcard(place, name)
        if self._asked.options.ecs is not None and rrset.flags & fmt.RRSET_STEERED_TARGET:  # ECS-12
            return None
        target = next(self._records.rdata(rrset)).names[0]
        return _Name(target, self._records.labels_of(target), self._records.ancestry(target))

    def _observe_join(self, place: _Place) -> None:
        """A beacon's wildcard answers for the question."""
        is_beacon = place.is_wildcard and place.node is not None and place.node.flags & fmt.NODE_BEACON
        if self._observed is None or self._chain or not is_beacon or self._qtype not in (TYPE_A, TYPE_AAAA):
            return
        self._observed.add_join(self._question.labels[0], self._asker.source, self._asked.options.ecs)

    # --- steps 8 and 9: where a name is ---

    def _locate(self, name: _Name) -> _Place | None:
        """Step 8: the zone of a name. A DS lives in the parent zone (RFC 4035 section 3.1.4.1)."""
        for depth in reversed(range(len(name.known))):
            apex = self._records.node_at(name.known[depth])
            if apex is None or not apex.flags & fmt.NODE_APEX:
                continue
            is_asked = name.is_whole and depth == len(name.known) - 1
            cut = self._records.node(int(self._records.names[name.known[depth]]["cut_node"]))
            if self._qtype == TYPE_DS and is_asked and cut is not None:
                return _Place(cut.zone, cut, cut)
            return self._descend(apex, name.known[depth:], name.is_whole)
        return None

    def _descend(self, apex: Node, way: list[int], is_whole: bool) -> _Place:
        """Step 9: from the apex down to a cut, the name, the wildcard that stands for it, or nothing."""
        closest, is_exact = apex, is_whole and len(way) == 1
        for name in way[1:]:
            node = self._records.node_at(name)
            if node is None or node.zone != apex.zone:
                continue
            closest, is_exact = node, is_whole and name == way[-1]
            if node.flags & fmt.NODE_CUT and not (is_exact and self._qtype == TYPE_DS):
                return _Place(apex.zone, node, node, is_referral=True)
        if is_exact:
            return _Place(apex.zone, closest, closest)
        return _Place(apex.zone, closest, self._records.node(closest.wildcard), is_wildcard=True)

    # --- steps 11 and 12: data ---

    def _add_data(self, place: _Place, node: Node, name: _Name) -> None:
        """What the node has of the type, or NODATA."""
        entry = self._data(place, node, name.owner)
        if entry is None:
            self._add_nodata(place, node, name)
            return
        self._found.answer.append(entry)
        self._prove_wildcard(place, name)

    def _data(self, place: _Place, node: Node, owner: int | None) -> Entry | None:
        """The answer's rrset; None for NODATA."""
        if self._qtype == TYPE_ANY and not self._is_steered_cname(node):
            return self._any(place, node, owner)
        if self._qtype == TYPE_RRSIG and self._is_signed(place.zone):
            return self._signatures_alone(node, owner)
        if node.steered != fmt.NONE:
            steered = self._records.steered_name(node.steered)
            if steers_type(self._records, steered, self._qtype):
                return self._steered(node.steered, owner)
        index = self._records.rrset_at(node, self._qtype)
        if index is None:
            return None
        self._found.additional += self._additional(self._records.rrset(index))
        return self._entry(index, owner)

    def _any(self, place: _Place, node: Node, owner: int | None) -> Entry | None:
        """One rrset where there is any (RFC 8482 section 4): a CNAME, one that validates, or HINFO."""
        if not node.rrset_count and node.steered == fmt.NONE:
            return None
        alias = self._records.rrset_at(node, TYPE_CNAME)
        if alias is not None:
            return self._entry(alias, owner)
        if not (self._asked.do and self._is_signed(place.zone)):
            return Entry(owner, TYPE_HINFO, HINFO_TTL_S, (Rdata(HINFO_RDATA, (), b""),))
        first = self._records.first_rrset(node)
        return None if first is None else self._entry(first, owner)

    def _signatures_alone(self, node: Node, owner: int | None) -> Entry | None:
        """What of RRSIG is answered: that of one rrset (RFC 8482 section 7)."""
        first = self._records.first_rrset(node)
        signatures = [] if first is None else signatures_of(self._snapshot, first)
        if first is None or not signatures:
            return None
        alone = Entry(owner, TYPE_RRSIG, self._records.rrset(first).ttl_s, ())
        if self._asked.do:
            return signed(alone, signatures, self._asker.now_s)
        return replace(alone, signatures=tuple(signature.rdata for signature in signatures))

    def _steered(self, index: int, owner: int | None) -> Entry | None:
        if self._observed is not None:
            self._observed.add_demand(self._snapshot.map, self._asker.source, self._asked.options.ecs)
        answer = steered_answer(
            self._snapshot, index, self._qtype, self._asker.source, self._asked.options.ecs, self._counters
        )
        if answer is None:
            return None
        self._found.scope_bits = answer.scope_bits
        if self._snapshot.choices.is_stale:
            self._found.error = ExtendedError.STALE
        entry = Entry(owner, answer.rtype, answer.ttl_s, answer.rdata)
        if not self._asked.do or self._snapshot.signatures is None:
            return entry
        signatures = self._snapshot.signatures.of_answer(index, answer.rtype, answer.key)
        return signed(entry, signatures, self._asker.now_s)

    def _is_steered_cname(self, node: Node) -> bool:
        if node.steered == fmt.NONE:
            return False
        steered = self._records.steered_name(node.steered)
        is_cname = steered.flags & fmt.STEERED_CNAME and not steered.flags & fmt.STEERED_EXPLAIN
        return bool(is_cname) and steers_type(self._records, steered, self._qtype)

    # --- step 13: what there is not, and what is elsewhere ---

    def _add_nodata(self, place: _Place, node: Node, name: _Name) -> None:
        self._counters.count("answers_nodata")
        self._add_soa(place.zone)
        self._prove_wildcard(place, name)
        if self._proves(place):
            self._proofs[node.nsec] = None

    def _add_nxdomain(self, place: _Place, name: _Name) -> None:
        self._found.rcode = NXDOMAIN  # of the last name of a chain (RFC 6604)
        self._add_soa(place.zone)
        if self._proves(place):
            self._proofs[covering_nsec(self._records, place.zone, name.labels)] = None
            self._proofs[place.closest.nsec_wildcard] = None

    def _add_soa(self, zone_index: int) -> None:
        """The SOA with the negative TTL (RFC 2308 section 3)."""
        zone = self._records.zone(zone_index)
        self._found.authority.append(self._entry(zone.soa, zone.apex, zone.negative_ttl_s))

    def _add_referral(self, place: _Place) -> None:
        cut, is_chained = place.closest, bool(self._chain)
        index = self._records.rrset_at(cut, TYPE_NS)
        assert index is not None
        self._counters.count("answers_referral")
        rrset = self._records.rrset(index)
        self._found.aa = is_chained
        self._found.authority.append(self._own_entry(index))
        if self._proves(place):
            delegation = self._records.rrset_at(cut, TYPE_DS)
            if delegation is not None:
                self._found.authority.append(self._own_entry(delegation))
            else:
                self._proofs[cut.nsec] = None
        for entry in self._additional(rrset):
            in_domain = entry.owner is not None and rrset.name in self._records.ancestry(entry.owner)
            (self._found.glue if in_domain else self._found.additional).append(entry)

    def _prove_wildcard(self, place: _Place, name: _Name) -> None:
        """That no closer name exists where a wildcard answered (RFC 4035 sections 3.1.3.3 and 3.1.3.4)."""
        if place.is_wildcard and self._proves(place):
            self._proofs[covering_nsec(self._records, place.zone, name.labels)] = None

    def _proves(self, place: _Place) -> bool:
        return self._asked.do and self._is_signed(place.zone)

    def _is_signed(self, zone: int) -> bool:
        return bool(self._records.zone(zone).flags & fmt.ZONE_SIGNED)

    # --- rrsets as they are written ---

    def _additional(self, rrset: RRset) -> list[Entry]:
        return [self._own_entry(index) for index in self._records.additional_of(rrset)]

    def _own_entry(self, index: int) -> Entry:
        return self._entry(index, self._records.rrset(index).name)

    def _entry(self, index: int, owner: int | None, ttl_s: int | None = None) -> Entry:
        """An rrset of the records, with its signatures where they are wanted. `ttl_s`: instead of its own."""
        rrset = self._records.rrset(index)
        entry = Entry(
            owner, rrset.type, rrset.ttl_s if ttl_s is None else ttl_s, tuple(self._records.rdata(rrset))
        )
        if not self._asked.do:
            return entry
        return signed(entry, signatures_of(self._snapshot, index), self._asker.now_s)
