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
    """One thing to say of an RRset. `is_fault` False: a warning."""

    wrong: str
    fix: str
    is_fault: bool = False


def svcb_findings(rrset: RRset, steered_owner: Callable[[Labels], Labels | None]) -> Iterator[SvcbFinding]:
    """What is wrong with an HTTPS or SVCB RRset. `steered_owner`: the steered name that gives addresses for a
    name, itself or a wildcard; None where none does."""
    word, records = dns.rdatatype.to_text(dns.rdatatype.RdataType(rrset.type)), _records(rrset)
    aliases = [record for record in records if record.priority == 0]
    shown = _shown(rrset.owner)
    if aliases and len(records) > 1:
        wrong = f"{shown} has a {word} record of AliasMode (priority 0) beside others, which are ignored then"
        yield SvcbFinding(wrong, "keep one of AliasMode, or write priorities from 1 (RFC 9460 section 2.4.2)")
    if any(_target(record) == rrset.owner for record in aliases):
        yield SvcbFinding(
            f"the {word} record of AliasMode at {shown} points to itself", "name another host", True
        )
    for record in records:
        target = _target(record) or rrset.owner
        if record.priority == 0 or steered_owner(target) is None:
            continue
        if target == rrset.owner and (names := _mandatory(record)):
            wrong = (
                f"the {word} record at {shown} makes {names} mandatory, but its hints come from the policy"
            )
            yield SvcbFinding(wrong, "take them out of `mandatory`", True)
        elif target != rrset.owner and any(key in record.params for key in _HINTS):
            wrong = f"the {word} record at {shown} has address hints for {_shown(target)}, which is steered"
            yield SvcbFinding(wrong, "take the hints out: they are answered as they stand, to every client")


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
