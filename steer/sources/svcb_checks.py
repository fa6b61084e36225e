"""What must hold of HTTPS and SVCB records in a zone that steers (RFC 9460; WIRE DNS-12).

A record by itself is checked where it is read; here is what takes the rest of the zone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.svcbbase import MandatoryParam, ParamKey, SVCBBase

from steer.model.records import TYPE_HTTPS, TYPE_SVCB, Labels, RRset
from steer.sources.located_yaml import quoted

SVCB_TYPES = (TYPE_SVCB, TYPE_HTTPS)
_HINTS = (ParamKey.IPV4HINT, ParamKey.IPV6HINT)


@dataclass(frozen=True, slots=True)
class SvcbFinding:
    """One thing to say of an RRset. `is_fault` False: a warning; `record`: the index of the one it is in."""

    wrong: str
    fix: str
    is_fault: bool = False
    record: int = 0


def svcb_findings(rrset: RRset, steered_owner: Callable[[Labels], Labels | None]) -> Iterator[SvcbFinding]:
    """What is wrong with an HTTPS or SVCB RRset. `steered_owner`: the steered name that gives addresses for a
    name, itself or a wildcard; None where none does."""
    word, records = dns.rdatatype.to_text(dns.rdatatype.RdataType(rrset.type)), _records(rrset)
    aliases = [(index, record) for index, record in enumerate(records) if record.priority == 0]
    shown = _shown(rrset.owner)
    if aliases and len(records) > 1:
        wrong = f"{shown} has a {word} record of AliasMode (priority 0) beside others, which are ignored then"
        fix = "keep one of AliasMode, or write priorities from 1 (RFC 9460 section 2.4.2)"
        yield SvcbFinding(wrong, fix, record=aliases[0][0])
    for index, record in aliases:
        if _target(record) == rrset.owner:
            wrong = f"the {word} record of AliasMode at {shown} points to itself"
            yield SvcbFinding(wrong, "name another host", True, index)
    for index, record in enumerate(records):
        target = _target(record) or rrset.owner
        if record.priority == 0 or steered_owner(target) is None:
            continue
        hints = " and ".join(key.name.lower() for key in _HINTS if key in record.params)
        if target == rrset.owner and (names := _mandatory(record)):
            wrong = (
                f"the {word} record at {shown} makes {names} mandatory, but its hints come from the policy"
            )
            yield SvcbFinding(wrong, "take them out of `mandatory`", True, index)
        elif target == rrset.owner and hints:
            wrong = (
                f"{hints} of the {word} record at {shown}, which is steered, is replaced by what is answered"
            )
            yield SvcbFinding(wrong, "leave hints out, steer fills them in", record=index)
        elif hints:
            wrong = f"the {word} record at {shown} has address hints for {_shown(target)}, which is steered"
            fix = "take the hints out: they are answered as they stand, to every client"
            yield SvcbFinding(wrong, fix, record=index)


def _records(rrset: RRset) -> list[SVCBBase]:
    found = []
    for record in rrset.records:
        kind, wire = dns.rdatatype.RdataType(rrset.type), record.prefix
        found.append(dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire)))
    return found  # type: ignore[return-value]


def _target(record: SVCBBase) -> Labels:
    """The TargetName, lower-case; the root where it is the owner, or none."""
    return tuple(label.lower() for label in record.target.labels[:-1])


def _mandatory(record: SVCBBase) -> str:
    """The hints that the record makes mandatory, in words."""
    listed = record.params.get(ParamKey.MANDATORY)
    keys = listed.keys if isinstance(listed, MandatoryParam) else ()
    return " and ".join(ParamKey(key).name.lower() for key in keys if key in _HINTS)


def _shown(labels: Labels) -> str:
    return quoted(".".join(label.decode("ascii", "backslashreplace") for label in labels) or ".")
