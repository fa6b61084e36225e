"""The messages of one zone transfer, taken one by one, until there is a whole copy or a reason to refuse it.

dnspython parses each message, checks its TSIG and walks the sequence of records (RFC 1995, RFC 5936); kept
here are the records and the bounds. No socket and no event loop: parsing takes time, so the caller does it in
a thread."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.transaction
import dns.tsig
import dns.xfr

from steer.model.records import Labels, Rdata, RRset
from steer.sources.rdata import LARGEST_RECORD_COUNT, LARGEST_TTL_S, is_data, labels_of, octets_of, rdata_of
from steer.sources.zone_copy import ZoneCopy

LARGEST_UNSIGNED_COUNT = 99  # messages between two with a TSIG (RFC 8945 section 5.3.1)
LARGEST_ZONE_BYTES = 128 << 20  # of owners and RDATA, written in full
_Key = tuple[Labels, int]


class TransferFailed(Exception):
    """Why nothing was taken from a primary, as a clause that follows its address."""


class IncrementFailed(TransferFailed):
    """The same of an incremental transfer; a full one may do."""


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Bounds of one transfer: octets of its messages, records added or removed, records held afterwards."""

    message_bytes: int = 64 << 20
    steps: int = 2 * LARGEST_RECORD_COUNT
    records: int = LARGEST_RECORD_COUNT
    zone_bytes: int = LARGEST_ZONE_BYTES


class Inbound:
    """One transfer; `take` each message in order. `query`: the question, as it was sent."""

    def __init__(
        self, query: dns.message.Message, held: ZoneCopy | None, limits: TransferLimits | None = None
    ) -> None:
        self._query = query
        self._question = query.question[0]
        self._zone = _Zone(self._question.name, held, limits or TransferLimits())
        serial = held.serial if held and self._question.rdtype == dns.rdatatype.IXFR else None
        manager = cast(dns.transaction.TransactionManager, self._zone)
        self._steps = dns.xfr.Inbound(manager, self._question.rdtype, serial)
        self._context: Any = None
        self._message_count = self._unsigned_count = self._message_bytes = 0

    @property
    def copy(self) -> ZoneCopy | None:
        """The copy, once `take` has said that it is whole; None: what is held is current."""
        return self._zone.copy

    def take(self, wire: bytes) -> bool:
        """Take one message; True when it was the last. Raises TransferFailed."""
        self._message_bytes += len(wire)
        if self._message_bytes > self._zone.limits.message_bytes:
            raise TransferFailed(f"sends more than {self._zone.limits.message_bytes:,} octets")
        message = self._parsed(wire)
        self._check(message)
        try:
            is_done = self._steps.process_message(message)
        except (dns.exception.DNSException, ValueError) as error:
            raise self._failed(*_explained_step(error)) from error
        self._message_count += 1
        if is_done and self._query.keyring is not None and not message.had_tsig:
            raise TransferFailed("does not sign the last message of the transfer")
        return is_done

    def _parsed(self, wire: bytes) -> dns.message.Message:
        try:
            message = dns.message.from_wire(
                wire,
                keyring=self._query.keyring,
                request_mac=self._query.mac,
                xfr=True,
                tsig_ctx=self._context,
                multi=True,
                one_rr_per_rrset=True,
            )
        except (dns.exception.DNSException, ValueError) as error:
            raise TransferFailed(explained(error)) from error
        self._context = message.tsig_ctx
        return message

    def _check(self, message: dns.message.Message) -> None:
        """What must hold of each message besides its records."""
        if message.id != self._query.id or not message.flags & dns.flags.QR:
            raise TransferFailed("sends something that answers no question of ours")
        if message.rcode():
            raise self._failed(f"refuses the transfer ({dns.rcode.to_text(message.rcode())})", True)
        if not message.answer:
            raise self._failed("sends a message without records", True)
        if any(rrset.rdclass != dns.rdataclass.IN for rrset in message.answer):
            raise TransferFailed("sends records of another class than IN")
        if self._query.keyring is None:
            return
        self._unsigned_count = 0 if message.had_tsig else self._unsigned_count + 1
        if self._unsigned_count and not self._message_count:
            raise TransferFailed("does not sign its answer")
        if self._unsigned_count > LARGEST_UNSIGNED_COUNT:
            raise TransferFailed(f"sends more than {LARGEST_UNSIGNED_COUNT} messages without a signature")

    def _failed(self, why: str, is_curable: bool) -> TransferFailed:
        """The failure; `is_curable`: by a full transfer, where this was none."""
        is_increment = self._question.rdtype == dns.rdatatype.IXFR
        return IncrementFailed(why) if is_curable and is_increment else TransferFailed(why)


def explained(error: Exception) -> str:
    """What a fault in a message, or in its TSIG, means for the operator."""
    meanings: Sequence[tuple[type[Exception], str]] = (
        (dns.tsig.PeerBadKey, "does not know the key (BADKEY); give it the same name and algorithm there"),
        (dns.tsig.PeerBadSignature, "has another secret for the key (BADSIG); copy it from there"),
        (dns.tsig.PeerBadTime, "has a clock too far from ours (BADTIME); set both"),
        (dns.tsig.PeerError, "refuses the TSIG"),
        (dns.tsig.BadTime, "signs with a clock too far from ours; set both"),
        (dns.tsig.BadSignature, "signs wrongly: another secret, or somebody changed the message"),
        (dns.tsig.BadKey, "signs with another key than ours"),
        (dns.tsig.BadAlgorithm, "signs by another algorithm than ours"),
        (dns.message.UnknownTSIGKey, "signs, though no key is set here"),
    )
    said = next((text for kind, text in meanings if isinstance(error, kind)), None)
    if "requires a TSIG" in str(error):
        said = "does not sign its answer"
    return said or f"sends what is no DNS message ({_detail(error)})"


def _explained_step(error: Exception) -> tuple[str, bool]:
    """What a fault in the sequence of records means, and whether a full transfer may cure it."""
    if isinstance(error, dns.xfr.SerialWentBackwards):
        return "has an older serial number than the copy held here", False
    said = str(error)
    if "not for zone origin" in said or "wrong question name" in said:
        return "sends another zone", False
    if "first RRset is not an SOA" in said:
        return "sends a transfer that does not start with the zone's SOA", False
    if "missing TSIG" in said:
        return "does not sign its answer", False
    return f"sends a transfer out of order ({_detail(error)})", True


def _detail(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:120].rstrip(".")


@dataclass(slots=True)
class _Growing:
    """An RRset that this transfer has touched."""

    ttl_s: int
    records: dict[Rdata, None]


@dataclass(slots=True)
class _Zone:
    """Stands for dnspython's zone and for its transaction."""

    origin: dns.name.Name
    held: ZoneCopy | None
    limits: TransferLimits
    copy: ZoneCopy | None = None
    _untouched: dict[_Key, RRset] = field(default_factory=dict)
    _touched: dict[_Key, _Growing] = field(default_factory=dict)
    _record_count: int = 0
    _zone_bytes: int = 0
    _step_count: int = 0

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.origin, False, self.origin

    def writer(self, replacement: bool) -> "_Zone":
        """Begin with nothing, or with what is held."""
        self._untouched = {} if replacement or self.held is None else dict(self.held.rrsets)
        self._touched = {}
        self._record_count = sum(len(rrset.records) for rrset in self._untouched.values())
        self._zone_bytes = sum(
            octets_of(record) for rrset in self._untouched.values() for record in rrset.records
        )
        return self

    def add(self, name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> None:
        """Add the one record; what is outside the zone is passed over."""
        if not name.is_subdomain(self.origin):
            return
        rdata = self._step(rdataset)
        key = (labels_of(name), int(rdataset.rdtype))
        ttl_s = min(rdataset.ttl, LARGEST_TTL_S)
        growing = self._touch(key) or self._touched.setdefault(key, _Growing(ttl_s, {}))
        growing.ttl_s = min(growing.ttl_s, ttl_s) if growing.records else ttl_s
        if rdata in growing.records:
            return
        growing.records[rdata] = None
        self._record_count += 1
        self._zone_bytes += octets_of(rdata) + sum(len(label) + 1 for label in key[0])
        if self._record_count > self.limits.records or self._zone_bytes > self.limits.zone_bytes:
            wrong = f"has more than {self.limits.records:,} records or {self.limits.zone_bytes:,} octets"
            raise TransferFailed(f"{wrong} in the zone")

    def delete_exact(self, name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> None:
        """Remove the one record, which must be there."""
        if not name.is_subdomain(self.origin):
            return
        rdata = self._step(rdataset)
        key = (labels_of(name), int(rdataset.rdtype))
        growing = self._touch(key)
        if growing is None or rdata not in growing.records:
            raise IncrementFailed("removes a record that the copy held here does not have")
        del growing.records[rdata]
        self._record_count -= 1

    def replace(self, name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> None:
        """Put the SOA in the place of the one of before."""
        key = (labels_of(name), int(rdataset.rdtype))
        self._untouched.pop(key, None)
        self._touched[key] = _Growing(min(rdataset.ttl, LARGEST_TTL_S), {self._step(rdataset): None})

    def commit(self) -> None:
        """Keep the whole copy."""
        apex = labels_of(self.origin)
        rrsets = dict(self._untouched)
        for (owner, rtype), growing in self._touched.items():
            if growing.records:
                rrsets[owner, rtype] = RRset(owner, rtype, growing.ttl_s, tuple(growing.records))
        self.copy = ZoneCopy.of(apex, rrsets)

    def rollback(self) -> None:
        """Keep nothing of it."""
        self._untouched, self._touched = {}, {}

    def _touch(self, key: _Key) -> _Growing | None:
        """The RRset for changing, if there is one."""
        found = self._untouched.pop(key, None)
        if found is not None:
            self._touched[key] = _Growing(found.ttl_s, dict.fromkeys(found.records))
        return self._touched.get(key)

    def _step(self, rdataset: dns.rdataset.Rdataset) -> Rdata:
        """The one record's RDATA."""
        self._step_count += 1
        if self._step_count > self.limits.steps:
            raise TransferFailed(f"adds and removes more than {self.limits.steps:,} records")
        if not is_data(int(rdataset.rdtype)):
            raise TransferFailed(f"sends a record of type {dns.rdatatype.to_text(rdataset.rdtype)}")
        return rdata_of(rdataset[0])
