"""What of the records is to be signed: RRsets as values, in the canonical form (RFC 4034 section 6)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from steer.model.records import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    TYPE_SVCB,
    AnswerSet,
    Labels,
    Rdata,
    RRset,
)
from steer.publish.names import in_full
from steer.publish.templates import Template


@dataclass(frozen=True, slots=True)
class SignableRRset:
    """An RRset that its zone vouches for. `zone`: its index; `rdata`: each record's, in full."""

    zone: int
    owner: Labels
    type: int
    ttl_s: int
    rdata: tuple[bytes, ...]

    @classmethod
    def of(cls, zone: int, rrset: RRset) -> "SignableRRset":
        """An RRset of the zone."""
        return cls(zone, rrset.owner, rrset.type, rrset.ttl_s, tuple(map(rdata_in_full, rrset.records)))


@dataclass(frozen=True, slots=True)
class SignableName:
    """A steered name of a signed zone. `further`: of HTTPS and SVCB with hints: TTL and templates."""

    zone: int
    owner: Labels
    ttl_s: int
    further: Mapping[int, tuple[int, tuple[Template, ...]]]


@dataclass(frozen=True, slots=True)
class SignableAnswer:
    """An answer of a steered name. `key`: as `SIGNED_SETS` has it."""

    steered: int
    key: bytes
    rrset: SignableRRset


@dataclass(frozen=True, slots=True)
class CompiledRecords:
    """A records part, and what of it is to be signed. `rrsets`: by rrset id, None for what is not signed;
    `names`: by index of the steered name, None in an unsigned zone; `cname_hosts`: as the part has them."""

    data: bytes
    identity: bytes
    apexes: tuple[Labels, ...]
    rrsets: tuple[SignableRRset | None, ...]
    names: tuple[SignableName | None, ...]
    cname_hosts: tuple[Labels, ...]

    @property
    def is_signed(self) -> bool:
        """Whether it needs signatures beside it: some zone is signed."""
        return any(rrset is not None for rrset in self.rrsets)

    def answers(self, sets: Iterable[AnswerSet]) -> Iterator[SignableAnswer]:
        """These sets as they are answered, each once. Passed over: names of unsigned zones, HTTPS and SVCB
        that every client is answered alike."""
        seen = set()
        for given in sets:
            name = self.names[given.steered]
            if name is None or (given.type in (TYPE_SVCB, TYPE_HTTPS) and given.type not in name.further):
                continue
            key, ttl_s, rdata = self._answer(name, given)
            if (given.steered, given.type, key) not in seen:
                seen.add((given.steered, given.type, key))
                rrset = SignableRRset(name.zone, name.owner, given.type, ttl_s, rdata)
                yield SignableAnswer(given.steered, key, rrset)

    def _answer(self, name: SignableName, given: AnswerSet) -> tuple[bytes, int, tuple[bytes, ...]]:
        """Key, TTL and RDATA."""
        if given.type == TYPE_CNAME:
            return given.host.to_bytes(4, "little"), name.ttl_s, (in_full(self.cname_hosts[given.host]),)
        addresses = (*given.ipv4, *given.ipv6)
        if given.type in (TYPE_A, TYPE_AAAA):
            return b"".join(addresses), name.ttl_s, addresses
        ttl_s, templates = name.further[given.type]
        key = bytes((len(given.ipv4),)) + b"".join(addresses)
        return key, ttl_s, tuple(template.rdata(given.ipv4, given.ipv6) for template in templates)


def rdata_in_full(rdata: Rdata) -> bytes:
    """RDATA without compression."""
    return rdata.prefix + b"".join(map(in_full, rdata.names)) + rdata.suffix
