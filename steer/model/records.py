"""What a zone holds: plain RRsets as its master file gives them, and the names that are steered.

Owners are absolute and lower-case; labels are raw octets, the leftmost first, without the root's empty label:
`(b"www", b"cdn", b"example")`. Only a reader that has proved the zone makes these values."""

from dataclasses import dataclass

Labels = tuple[bytes, ...]

TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_PTR, TYPE_MX = 1, 2, 5, 6, 12, 15
TYPE_AAAA, TYPE_SRV, TYPE_OPT, TYPE_DS, TYPE_IXFR, TYPE_AXFR, TYPE_ANY = 28, 33, 41, 43, 251, 252, 255
TYPE_TXT, TYPE_RRSIG, TYPE_NSEC, TYPE_DNSKEY, TYPE_CDS, TYPE_CDNSKEY = 16, 46, 47, 48, 59, 60
TYPE_SVCB, TYPE_HTTPS = 64, 65


@dataclass(frozen=True, slots=True)
class Rdata:
    """One record's RDATA, in the order prefix, names, suffix; 65535 octets in full at most.

    `names` (0..2, lower-case) are those that a message may compress (RFC 3597 section 4): NS, CNAME and PTR
    have one, SOA two (and 20 octets of suffix), MX one after 2 octets of prefix. Every other type, known or
    not, is prefix alone, with any name in it in full, and in lower case where the canonical form has it so
    (RFC 4034 section 6.2, RFC 6840 section 5.1): dnspython's `Rdata(rdata.to_digestable())`."""

    prefix: bytes = b""
    names: tuple[Labels, ...] = ()
    suffix: bytes = b""


@dataclass(frozen=True, slots=True)
class RRset:
    """All records of one owner and type, in the order in which they are answered; at least one, none twice.

    `type` 1..65535, not a meta type (41, 128..255); `ttl_s` 0..2^31-1, the least of its records' (RFC 2181
    section 5.2); `line`: of the first record in the master file, 0 if unknown."""

    owner: Labels
    type: int
    ttl_s: int
    records: tuple[Rdata, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class ZoneData:
    """A zone's plain data, class IN: one SOA and at least one NS at the apex, no (owner, type) twice, every
    owner at or below the apex, one record in a CNAME rrset and nothing beside it (but DNSSEC's own types), no
    NS or DNAME at a wildcard."""

    apex: Labels
    rrsets: tuple[RRset, ...]


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """One arm of an experiment: it takes the units whose hash is at most `last` and above the arm's before.
    `slot`: its policy's row in the map's views; `counter`: its labelled counter."""

    last: int
    slot: int
    counter: int


@dataclass(frozen=True, slots=True)
class SelectorSpec:
    """Which policy decides: `slot`, or the arm of `experiment` (a name unique in the deployment) whose range
    holds the hash of the unit. There is at least one arm then, `last` never falls, it ends at 2^64-1."""

    slot: int
    experiment: str | None = None
    unit4_bits: int = 24
    unit6_bits: int = 48
    arms: tuple[ArmSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class SteeredRecord:
    """A name of a zone whose A (`a`) and AAAA (`aaaa`) are decided per client; the zone's data holds neither
    of them nor a CNAME at `owner`, which is no cut and not below one. The first label may be `*`. Its HTTPS
    and SVCB records, where it has any, are in the zone's data.

    `counter`: its labelled counter. `anycast_ipv4` (4 octets each) and `anycast_ipv6` (16 each) are what the
    additional section gives for it (ECS-14): not empty where `a` and `aaaa` say that the type exists.
    `cname`: it is a CNAME for every client instead (`a` and `aaaa` false), and has no other data. `explains`:
    it is answered in TXT alone, with the decision for the asker."""

    owner: Labels
    ttl_s: int
    a: bool
    aaaa: bool
    selector: SelectorSpec
    counter: int
    anycast_ipv4: tuple[bytes, ...]
    anycast_ipv6: tuple[bytes, ...]
    cname: bool = False
    explains: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """One RRset that a steered name can ever answer, to be signed beforehand (WIRE DNS-14).

    `steered`: the name's number; `type`: A, AAAA, CNAME, SVCB or HTTPS. `ipv4` (4 octets each) and `ipv6` (16
    each), in the order in which they are answered: one or the other for A and AAAA; both, for hints, for SVCB
    and HTTPS, where either may be empty. `host`: the index of a CNAME's host among the deployment's, sorted.
    """

    steered: int
    type: int
    ipv4: tuple[bytes, ...] = ()
    ipv6: tuple[bytes, ...] = ()
    host: int = 0
