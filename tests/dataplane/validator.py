"""A validator of signed replies by RFC 4035 section 5, on dnspython: knows keys and apexes, not zones' data.

It proves what a reply claims: each rrset by its RRSIG, each absence by NSEC records (section 5.4), each
wildcard by the absence of anything closer (section 5.3.4). Whatever cannot be proved raises `Bogus`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.NSEC
import dns.rdtypes.ANY.RRSIG
import dns.rrset
from dns.rdatatype import RdataType

Name = dns.name.Name
_ANSWERED_AT_CNAME = (RdataType.CNAME, RdataType.ANY, RdataType.NSEC, RdataType.RRSIG)
CNAMES_MAX = 8


class Bogus(Exception):
    """A reply that a validator refuses."""


@dataclass(frozen=True)
class Zones:
    """All zones that the server has: apex -> DNSKEY rrset, None for an unsigned one."""

    keys: Mapping[Name, dns.rrset.RRset | None]

    def apex_of(self, name: Name, rdtype: RdataType) -> Name | None:
        """The zone in which a name's data of a type stands; None: not ours."""
        above = [apex for apex in self.keys if name.is_subdomain(apex)]
        if rdtype == RdataType.DS and len(above) > 1:
            above = [apex for apex in above if apex != name]
        return max(above, key=len, default=None)

    def is_signed(self, apex: Name | None) -> bool:
        """Whether what stands in a zone has to be proved."""
        return apex is not None and self.keys[apex] is not None


def validate(reply: dns.message.Message, zones: Zones, now_s: int) -> str:
    """How a reply to a query with DO ends: `data`, `nodata`, `nxdomain`, `secure referral`, `insecure
    referral`, or `unsigned` where nothing has to be proved of its last name. Raises Bogus."""
    return _Validation(reply, zones, now_s).run()


class _Validation:
    """One reply; one use."""

    def __init__(self, reply: dns.message.Message, zones: Zones, now_s: int) -> None:
        self._reply, self._zones, self._now_s = reply, zones, now_s
        self._qname, self._qtype = reply.question[0].name, reply.question[0].rdtype

    def run(self) -> str:
        for section in (self._reply.answer, self._reply.authority, self._reply.additional):
            self._check_signatures(section)
        name, followed = self._qname, 0
        while followed <= CNAMES_MAX:
            apex = self._zones.apex_of(name, self._qtype)
            cname = self._find(self._reply.answer, name, RdataType.CNAME)
            if cname is None or self._qtype in _ANSWERED_AT_CNAME:
                return self._end(name, apex, followed)
            self._check_wildcard(cname, name, apex)
            name, followed = cname[0].target, followed + 1
        return "unsigned"  # a loop

    def _end(self, name: Name, apex: Name | None, followed: int) -> str:
        """What is said of the last name."""
        answered = [
            rrset
            for rrset in self._reply.answer
            if rrset.name == name and (self._qtype in (RdataType.ANY, rrset.rdtype))
        ]
        referral = next((each for each in self._reply.authority if each.rdtype == RdataType.NS), None)
        if not self._zones.is_signed(apex):
            return "unsigned"
        assert apex is not None
        if answered:
            for rrset in answered:
                self._check_wildcard(rrset, name, apex)
            return "data"
        if referral is not None:
            return self._referral(referral, name, apex)
        if self._reply.rcode() == dns.rcode.NXDOMAIN:
            self._prove_nxdomain(name, apex)
            return "nxdomain"
        if followed and self._find(self._reply.authority, apex, RdataType.SOA) is None:
            return (
                "unsigned"  # nothing is said of it: the chain ends before, at a policy's host or after eight
            )
        self._prove_nodata(name, apex)
        return "nodata"

    # --- signatures ---

    def _check_signatures(self, section: list[dns.rrset.RRset]) -> None:
        for rrset in section:
            if rrset.rdtype == RdataType.RRSIG:
                if self._qtype != RdataType.RRSIG and self._find(section, rrset.name, rrset.covers) is None:
                    raise Bogus(f"an RRSIG of nothing at {rrset.name}")
                continue
            apex = self._zones.apex_of(rrset.name, rrset.rdtype)
            rrsigs = self._find(section, rrset.name, RdataType.RRSIG, rrset.rdtype)
            if rrsigs is not None and rrset.rdtype == RdataType.NSEC and rrsigs[0].signer in self._zones.keys:
                apex = rrsigs[0].signer  # both sides of a cut have one
            if rrsigs is not None:
                self._check_rrset(rrset, rrsigs, apex)
            elif self._is_due(section, rrset, apex):
                raise Bogus(f"no RRSIG for {rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}")

    def _is_due(self, section: list[dns.rrset.RRset], rrset: dns.rrset.RRset, apex: Name | None) -> bool:
        """Additional data may be glue, or go out alone where there is no room."""
        is_delegation = rrset.rdtype == RdataType.NS and rrset.name != apex
        return section is not self._reply.additional and self._zones.is_signed(apex) and not is_delegation

    def _check_rrset(self, rrset: dns.rrset.RRset, rrsigs: dns.rrset.RRset, apex: Name | None) -> None:
        if not self._zones.is_signed(apex):
            raise Bogus(f"{rrset.name} is signed in a zone that is not")
        assert apex is not None
        keys: dict[Name, Any] = {apex: self._zones.keys[apex]}
        if rrsigs.ttl != rrset.ttl:
            raise Bogus("an RRSIG has the TTL of what it signs")
        algorithms = {rrsig.algorithm for rrsig in rrsigs}
        if algorithms != {key.algorithm for key in keys[apex] or ()}:
            raise Bogus("each algorithm of the DNSKEY rrset signs (RFC 4035 section 2.2)")
        for rrsig in rrsigs:
            if rrsig.signer != apex:
                raise Bogus(f"{rrset.name} is signed by {rrsig.signer}")
            if rrset.ttl > min(rrsig.original_ttl, max(0, rrsig.expiration - self._now_s)):
                raise Bogus(f"{rrset.name} may be kept beyond its signature")
            try:
                dns.dnssec.validate_rrsig(_expanded(rrset, rrsig.labels), rrsig, keys, now=self._now_s)
            except dns.exception.DNSException as failure:
                raise Bogus(f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}: {failure}") from failure

    def _check_wildcard(self, rrset: dns.rrset.RRset, name: Name, apex: Name | None) -> None:
        """RFC 4035 section 5.3.4: a wildcard's data is right only where nothing closer exists."""
        rrsigs = self._find(self._reply.answer, name, RdataType.RRSIG, rrset.rdtype)
        if not self._zones.is_signed(apex) or rrsigs is None or apex is None:
            return
        labels = len(name) - 1 - name.is_wild()
        if all(rrsig.labels == labels for rrsig in rrsigs):
            return
        if len({rrsig.labels for rrsig in rrsigs}) != 1 or rrsigs[0].labels > labels:
            raise Bogus("signatures of one rrset have one number of labels")
        encloser = Name(name.labels[-rrsigs[0].labels - 1 :])
        if self._closest_encloser(name, apex) != encloser:
            raise Bogus(f"{name} may have a closer match than *.{encloser}")

    # --- denial (RFC 4035 section 5.4) ---

    def _prove_nxdomain(self, name: Name, apex: Name) -> None:
        wildcard = Name((b"*", *self._closest_encloser(name, apex).labels))
        covering = self._covering(wildcard, apex)
        if covering is None:
            raise Bogus(f"{wildcard} may exist")

    def _prove_nodata(self, name: Name, apex: Name) -> None:
        nsec = self._nsec_at(name, apex)
        if nsec is not None:
            self._check_bitmap(nsec, name, apex)
            return
        covering = self._covering(name, apex)
        if covering is None:
            raise Bogus(f"nothing is proved of {name}")
        if covering[0].next.is_subdomain(name):
            return  # an empty non-terminal exists and has no types
        wildcard = Name((b"*", *self._closest_encloser(name, apex).labels))
        nsec = self._nsec_at(wildcard, apex)
        if nsec is not None:
            self._check_bitmap(nsec, wildcard, apex)
            return
        covering = self._covering(wildcard, apex)
        if covering is None or not covering[0].next.is_subdomain(wildcard):
            raise Bogus(f"{name} does not exist, and is said to")

    def _check_bitmap(self, nsec: dns.rrset.RRset, name: Name, apex: Name) -> None:
        types = _types_of(nsec)
        if {int(self._qtype), int(RdataType.CNAME)} & types and self._qtype != RdataType.RRSIG:
            raise Bogus(f"{name} has the type that was asked, or is an alias")
        is_cut = int(RdataType.NS) in types and int(RdataType.SOA) not in types
        if is_cut and self._qtype != RdataType.DS:
            raise Bogus("a delegation's NSEC denies nothing but a DS (RFC 6840 section 4.1)")
        if self._qtype == RdataType.DS and name != apex and int(RdataType.SOA) in types:
            raise Bogus("a DS is denied by the parent (RFC 4035 section 5.2)")

    def _referral(self, referral: dns.rrset.RRset, name: Name, apex: Name) -> str:
        cut = referral.name
        if not name.is_subdomain(cut) or cut == apex or not cut.is_subdomain(apex):
            raise Bogus(f"{cut} delegates not {name}")
        if self._find(self._reply.authority, cut, RdataType.DS) is not None:
            return "secure referral"
        nsec = self._nsec_at(cut, apex)
        if nsec is None:
            raise Bogus("a delegation without DS is proved by its NSEC (RFC 4035 section 3.1.4)")
        types = _types_of(nsec)
        if int(RdataType.NS) not in types or types & {int(RdataType.DS), int(RdataType.SOA)}:
            raise Bogus(f"{cut} is no insecure delegation")
        return "insecure referral"

    def _closest_encloser(self, name: Name, apex: Name) -> Name:
        """The closest name above one that does not exist, as the NSEC that covers it shows. Raises Bogus."""
        covering = self._covering(name, apex)
        if covering is None:
            raise Bogus(f"{name} may exist")
        if covering[0].next.is_subdomain(name):
            raise Bogus(f"{name} is an empty non-terminal")
        return max((_common(name, covering.name), _common(name, covering[0].next)), key=len)

    def _covering(self, name: Name, apex: Name) -> dns.rrset.RRset | None:
        """The NSEC of the zone that shows that there is no such owner."""
        for nsec in self._nsecs(apex):
            after = nsec[0].next
            is_last = after == apex
            if nsec.name < name and (name < after or is_last):
                types = _types_of(nsec)
                is_cut = int(RdataType.NS) in types and int(RdataType.SOA) not in types
                if name.is_subdomain(nsec.name) and (is_cut or int(RdataType.DNAME) in types):
                    raise Bogus("an ancestor's delegation denies nothing below it (RFC 6840 section 4.1)")
                return nsec
        return None

    def _nsec_at(self, name: Name, apex: Name) -> dns.rrset.RRset | None:
        return next((nsec for nsec in self._nsecs(apex) if nsec.name == name), None)

    def _nsecs(self, apex: Name) -> list[dns.rrset.RRset]:
        """The zone's NSEC rrsets in authority; their signatures have been checked."""
        return [
            rrset
            for rrset in self._reply.authority
            if rrset.rdtype == RdataType.NSEC
            and (self._find(self._reply.authority, rrset.name, RdataType.RRSIG, RdataType.NSEC) or [None])[0]
            is not None
            and self._signer(rrset) == apex
        ]

    def _signer(self, rrset: dns.rrset.RRset) -> Name:
        rrsigs = self._find(self._reply.authority, rrset.name, RdataType.RRSIG, rrset.rdtype)
        assert rrsigs is not None
        signer: Name = rrsigs[0].signer
        return signer

    @staticmethod
    def _find(
        section: list[dns.rrset.RRset], name: Name, rdtype: RdataType, covers: RdataType = RdataType.NONE
    ) -> dns.rrset.RRset | None:
        return next(
            (
                each
                for each in section
                if each.name == name and each.rdtype == rdtype and each.covers == covers
            ),
            None,
        )


def _expanded(rrset: dns.rrset.RRset, labels: int) -> dns.rrset.RRset:
    """An rrset under another name where a wildcard gave it to one that starts with `*`: dnspython takes
    that label for one that is not counted (RFC 4034 section 3.1.3)."""
    if not rrset.name.is_wild() or labels == len(rrset.name) - 2:
        return rrset
    return dns.rrset.from_rdata_list(Name((b"x", *rrset.name.labels[1:])), rrset.ttl, list(rrset))


def _common(name: Name, other: Name) -> Name:
    """The longest name that both are at or below."""
    _, _, count = name.fullcompare(other)
    return Name(name.labels[-count:])


def _types_of(nsec: dns.rrset.RRset) -> set[int]:
    """The types that an NSEC says exist (RFC 4034 section 4.1.2)."""
    return {
        window << 8 | octet << 3 | bit
        for window, bitmap in nsec[0].windows
        for octet, value in enumerate(bitmap)
        for bit in range(8)
        if value & 0x80 >> bit
    }
