"""One zone as the compiler sees it: by owner, with its cuts, what exists in it, and the proofs of what does
not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CDNSKEY,
    TYPE_CDS,
    TYPE_CNAME,
    TYPE_DNSKEY,
    TYPE_DS,
    TYPE_HTTPS,
    TYPE_NS,
    TYPE_NSEC,
    TYPE_RRSIG,
    TYPE_SOA,
    TYPE_SVCB,
    Labels,
    RRset,
    SteeredRecord,
    ZoneData,
)
from steer.publish.names import ancestors, is_within
from steer.publish.proofs import NsecChain
from steer.publish.templates import Template, template_of

TYPE_NSEC3, TYPE_NSEC3PARAM = 50, 51
_MADE_HERE = frozenset(  # in a signed zone
    (TYPE_RRSIG, TYPE_NSEC, TYPE_DNSKEY, TYPE_NSEC3, TYPE_NSEC3PARAM, TYPE_CDS, TYPE_CDNSKEY)
)
_SIGNED_AT_CUT = (TYPE_DS, TYPE_NSEC)  # RFC 4035 section 2.2
_TEMPLATE_TYPES = (TYPE_SVCB, TYPE_HTTPS)


@dataclass(slots=True)
class ZoneView:
    """One zone by owner. `cuts`: owners of NS below the apex; what lies below them is glue. `templates`:
    those rrsets of steered names in which the chosen addresses stand."""

    index: int
    apex: Labels
    rrsets: dict[Labels, dict[int, RRset]]
    steered: dict[Labels, SteeredRecord]
    cuts: frozenset[Labels]
    is_signed: bool
    templates: dict[tuple[Labels, int], tuple[Template, ...]]
    existing: set[Labels] = field(default_factory=set)  # owners and empty non-terminals, without glue
    chain: NsecChain | None = None

    @classmethod
    def of(
        cls, index: int, data: ZoneData, steered: Sequence[SteeredRecord], keys: Sequence[RRset] | None = None
    ) -> "ZoneView":
        """Index a zone, the `index`-th of the part; `keys`: the RRsets of its DNSSEC keys, None if it is not
        signed. What signing makes is left out of `data` then. Raises ValueError for broken promises."""
        by_owner: dict[Labels, dict[int, RRset]] = {}
        plain = [rrset for rrset in data.rrsets if keys is None or rrset.type not in _MADE_HERE]
        for rrset in (*plain, *(keys or ())):
            if by_owner.setdefault(rrset.owner, {}).setdefault(rrset.type, rrset) is not rrset:
                raise ValueError(f"type {rrset.type} twice at {rrset.owner}")
        cuts = frozenset(
            owner for owner, types in by_owner.items() if TYPE_NS in types and owner != data.apex
        )
        names = {record.owner: record for record in steered}
        if TYPE_SOA not in by_owner.get(data.apex, {}):
            raise ValueError(f"no SOA at {data.apex}")
        if len(names) != len(steered):
            raise ValueError(f"a name of {data.apex} is steered twice")
        if any(not is_within(owner, data.apex) for owner in (*by_owner, *names)):
            raise ValueError(f"a name outside {data.apex}")
        templates = {}
        for owner, record in names.items():
            _check_alone(record, by_owner.get(owner, {}), is_signed=keys is not None)
            for rtype in _TEMPLATE_TYPES:
                if rtype in by_owner.get(owner, {}):
                    made = tuple(template_of(each.prefix, owner) for each in by_owner[owner][rtype].records)
                    if any(template.hints for template in made):
                        templates[owner, rtype] = made
        return cls(index, data.apex, by_owner, names, cuts, keys is not None, templates)

    @property
    def negative_ttl_s(self) -> int:
        """The TTL of negative answers (RFC 2308 section 5), and of NSEC (RFC 9077)."""
        soa = self.rrsets[self.apex][TYPE_SOA]
        return min(soa.ttl_s, int.from_bytes(soa.records[0].suffix[-4:], "big"))

    def is_below_cut(self, owner: Labels) -> bool:
        """Whether a delegation stands above the name."""
        return any(suffix in self.cuts for suffix in ancestors(owner))

    def plain_types(self, owner: Labels) -> list[int]:
        """The types at a name that are answered alike to every client, sorted."""
        return sorted(t for t in self.rrsets.get(owner, {}) if (owner, t) not in self.templates)

    def is_authoritative(self, owner: Labels, rtype: int) -> bool:
        """Whether the zone vouches for (and signs) this rrset: neither glue nor a delegation's NS."""
        return not self.is_below_cut(owner) and (owner not in self.cuts or rtype in _SIGNED_AT_CUT)

    def add_proofs(self) -> None:
        """Give every name of the zone that has data its NSEC."""
        types = {owner: self._types_at(owner) for owner in self.existing}
        types = {owner: known for owner, known in types.items() if known}
        self.chain = NsecChain.of(types)
        for known in types.values():
            known.update((TYPE_NSEC, TYPE_RRSIG))
        for owner, rdata in self.chain.rdata(types):
            nsec = RRset(owner, TYPE_NSEC, self.negative_ttl_s, (rdata,))
            self.rrsets.setdefault(owner, {})[TYPE_NSEC] = nsec

    def _types_at(self, owner: Labels) -> set[int]:
        """The types that exist at a name, steered ones too; at a cut those of the parent's side."""
        types = set(self.rrsets.get(owner, {}))
        if owner in self.cuts:
            return types & {TYPE_NS, TYPE_DS}
        if owner in self.steered:
            record = self.steered[owner]
            exists = {TYPE_A: record.a, TYPE_AAAA: record.aaaa, TYPE_CNAME: record.cname}
            types |= {rtype for rtype, is_there in exists.items() if is_there}
        return types


def _check_alone(record: SteeredRecord, types: dict[int, RRset], *, is_signed: bool) -> None:
    """Raise ValueError where a steered name has what it excludes."""
    if record.explains:
        clash = types.keys() - {TYPE_SOA, TYPE_NS}  # its zone's apex explains the apex of the zone above
    else:
        clash = set(types) if record.cname else types.keys() & {TYPE_A, TYPE_AAAA, TYPE_CNAME}
    if clash:
        raise ValueError(f"steered name {record.owner} has records of types {sorted(clash)}")
    if record.cname and (record.a or record.aaaa) and not record.explains:
        raise ValueError(f"steered name {record.owner} is a CNAME and has addresses")
    if record.explains and is_signed:
        raise ValueError(f"{record.owner} explains decisions in a zone that is signed")
