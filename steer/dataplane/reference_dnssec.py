"""What DO adds to a reply (step 13 of docs/snapshot_format.md): RRSIGs made beforehand, and proofs of denial.

Pure: time is an argument. Nothing is signed here."""

from bisect import bisect_left
from dataclasses import replace

from steer.dataplane.reference_choices import ReferenceSnapshot
from steer.dataplane.reference_message import Entry
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_signatures import Signature
from steer.model.records import Labels


def signed(entry: Entry, signatures: list[Signature], now_s: int) -> Entry:
    """An rrset with its RRSIGs, both with a TTL that ends before they do (RFC 4035 section 5.3.3)."""
    if not signatures:
        return entry
    left_s = max(0, min(signature.expires_s for signature in signatures) - now_s)
    rdata = tuple(signature.rdata for signature in signatures)
    return replace(entry, ttl_s=min(entry.ttl_s, left_s), signatures=rdata)


def signatures_of(snapshot: ReferenceSnapshot, rrset: int) -> list[Signature]:
    """The signatures of an rrset of the records; empty where it is unsigned."""
    return [] if snapshot.signatures is None else snapshot.signatures.of_rrset(rrset)


def covering_nsec(records: ReferenceRecords, zone_index: int, name: Labels) -> int:
    """The id of the NSEC whose owner is the last before a name that does not exist (RFC 4035 section 3.1.3).

    `name`: leftmost label first, in lower case."""
    zone = records.zone(zone_index)
    chain = records.nsec_chain[zone.nsec_offset : zone.nsec_offset + zone.nsec_count].tolist()
    following = bisect_left(chain, name[::-1], key=lambda rrset: _canonical(records, rrset))
    return int(chain[following - 1])  # there is one before: the chain starts at the apex


def _canonical(records: ReferenceRecords, rrset: int) -> Labels:
    """An owner as the canonical order compares it: by label, from the root (RFC 4034 section 6.1)."""
    return records.labels_of(records.rrset(rrset).name)[::-1]
