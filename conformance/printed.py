"""What dig, kdig, drill and delv print, read back: flags, status, and records in one form for all of them."""

import re
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

RECORD = re.compile(r"^([^;\s]\S*)\s+(\d+)\s+(IN|CH)\s+(\S+)\s+(.+)$")
Record = tuple[str, str, str]
"""Owner in lower case, type, RDATA in dnspython's words."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One tool's whole output."""

    text: str

    @property
    def status(self) -> str:
        """The (extended) rcode; empty without a reply."""
        found = re.search(r"(?:status|rcode): (\w+)", self.text)
        return found[1] if found else ""

    @property
    def flags(self) -> list[str]:
        """The header's flags."""
        found = re.search(r"^;; flags:([^;]*);", self.text, re.M | re.I)
        return found[1].split() if found else []

    @property
    def edns(self) -> str:
        """The line of dig on EDNS; empty without an OPT."""
        found = re.search(r"^; EDNS:.*", self.text, re.M)
        return found[0] if found else ""

    @property
    def scope(self) -> int | None:
        """SCOPE of the client subnet."""
        found = re.search(r"CLIENT-SUBNET: \S+/\d+/(\d+)", self.text)
        return int(found[1]) if found else None

    @property
    def size(self) -> int:
        """Octets received."""
        found = re.search(r"(?:MSG SIZE {2}rcvd:|Received) (\d+)", self.text)
        return int(found[1]) if found else 0

    def section(self, name: str) -> str:
        """The lines of one section as printed; empty where it is missing."""
        found = re.search(rf"^;; {name} SECTION:\n((?:.+\n)*)", self.text, re.M)
        return found[1] if found else ""

    def records(self, section: str = "ANSWER") -> frozenset[Record]:
        """The records of one section but for RRSIG and NSEC, which are judged by validators."""
        return records_of(self.section(section))


def records_of(text: str) -> frozenset[Record]:
    """The records in these lines, but for RRSIG and NSEC. A line that cannot be read counts as it is."""
    found = set()
    for line in text.splitlines():
        match = RECORD.match(line)
        if match and match[4] not in ("RRSIG", "NSEC"):
            found.add(record(match[1], match[4], match[5]))
    return frozenset(found)


def record(owner: str, rdtype: str, rdata: str) -> Record:
    """One record in its one form."""
    try:
        kind = dns.rdatatype.from_text(rdtype)
        read = dns.rdata.from_text(dns.rdataclass.IN, kind, rdata, origin=dns.name.root, relativize=False)
        return owner.lower().rstrip("."), dns.rdatatype.to_text(kind), read.to_text()
    except (dns.exception.DNSException, ValueError):
        return owner.lower().rstrip("."), rdtype, rdata
