"""Names and RDATA as dnspython parses them, as the model has them; and the bounds of what a zone may hold."""

import dns.name
import dns.rdata

from steer.model.records import (
    TYPE_CNAME,
    TYPE_MX,
    TYPE_NS,
    TYPE_OPT,
    TYPE_PTR,
    TYPE_SOA,
    Labels,
    Rdata,
)

LARGEST_RECORD_COUNT = 1_000_000
LARGEST_TTL_S = 2**31 - 1  # RFC 2181 section 8
LARGEST_RRSET_BYTES = 60_000  # must fit one TCP message with question, OPT and compression to spare
RECORD_HEAD_BYTES = 16  # of each record in an answer, roughly
_ONE_NAME_TYPES = (TYPE_NS, TYPE_CNAME, TYPE_PTR)
_META_TYPES = range(128, 256)  # RFC 6895 section 3.1
_SOA_COUNTERS_BYTES = 20


def labels_of(name: dns.name.Name) -> Labels:
    """An absolute name as lower-case labels, without the root's."""
    return tuple(label.lower() for label in name.labels[:-1])


def rdata_of(rdata: dns.rdata.Rdata) -> Rdata:
    """RDATA split where a message may compress names (RFC 3597 section 4)."""
    number = int(rdata.rdtype)
    if number in _ONE_NAME_TYPES:
        return Rdata(names=(labels_of(rdata.target),))  # type: ignore[attr-defined]
    if number == TYPE_MX:
        preference = int(rdata.preference).to_bytes(2, "big")  # type: ignore[attr-defined]
        return Rdata(preference, (labels_of(rdata.exchange),))  # type: ignore[attr-defined]
    wire = rdata.to_digestable()
    if number == TYPE_SOA:
        names = (labels_of(rdata.mname), labels_of(rdata.rname))  # type: ignore[attr-defined]
        return Rdata(names=names, suffix=wire[-_SOA_COUNTERS_BYTES:])
    return Rdata(wire)


def is_data(rtype: int) -> bool:
    """Whether records of this type can stand in a zone."""
    return rtype != TYPE_OPT and rtype not in _META_TYPES and rtype != 0


def octets_of(rdata: Rdata) -> int:
    """What a record with this RDATA takes of an answer at most, its owner compressed."""
    names = sum(len(label) + 1 for name in rdata.names for label in name)
    return RECORD_HEAD_BYTES + len(rdata.prefix) + len(rdata.suffix) + names
