"""DNSSEC keys, what a zone says of its signing, and which keys do what at one moment.

Times are Unix seconds, UTC. Algorithms are 13 (ECDSA P-256, RFC 6605) and 15 (ED25519, RFC 8080)."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steer.model.records import Labels

ALGORITHM_ECDSAP256SHA256, ALGORITHM_ED25519 = 13, 15
ALGORITHM_NAMES = {ALGORITHM_ECDSAP256SHA256: "ecdsap256sha256", ALGORITHM_ED25519: "ed25519"}
PUBLIC_KEY_BYTES = {ALGORITHM_ECDSAP256SHA256: 64, ALGORITHM_ED25519: 32}
PRIVATE_KEY_BYTES = 32  # of both algorithms
FLAG_ZONE, FLAG_REVOKED, FLAG_SEP = 0x0100, 0x0080, 0x0001
FLAGS_ZSK, FLAGS_KSK = FLAG_ZONE, FLAG_ZONE | FLAG_SEP
DNSKEY_PROTOCOL = 3  # RFC 4034 section 2.1.2
DIGEST_SHA256 = 2  # RFC 4509
CDS_DELETE = bytes((0, 0, 0, 0, 0))  # RFC 8078 section 4: asks the parent to remove every DS
CDNSKEY_DELETE = bytes((0, 0, 3, 0, 0))

CdsMode = Literal["keys", "delete", "none"]


@dataclass(frozen=True, slots=True)
class DnssecSettings:
    """A zone's `dnssec:`. `keys` are all key pairs of the zone in `keys_directory`, sorted by path, whatever
    their times say; there are none only where a stored deployment's keys are gone.

    A signature is made with inception now - `inception_offset_s` and expiration now + `validity_s` less 0 to
    `jitter_s`, and made anew when less than `refresh_s` remains; `refresh_s` < `validity_s` - `jitter_s`.
    `dnskey_ttl_s`: of DNSKEY, CDS and CDNSKEY. `propagation_s`: until every nameserver of the zone serves
    what one of them serves. `cds`: what CDS and CDNSKEY say: the keys whose time it is, that the parent shall
    remove every DS (RFC 8078), or nothing. `max_answer_sets`: a zone whose steered names can answer in more
    ways, each of which is signed beforehand, is refused."""

    keys_directory: Path
    keys: tuple["DnssecKey", ...] = ()
    validity_s: int = 14 * 86_400
    refresh_s: int = 5 * 86_400
    jitter_s: int = 86_400
    inception_offset_s: int = 3_600
    dnskey_ttl_s: int = 3_600
    propagation_s: int = 300
    cds: CdsMode = "keys"
    max_answer_sets: int = 200_000


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """When a key changes its state, by the names of BIND's key files; None: never.

    It stands in the DNSKEY RRset in `publish_s` <= now < `delete_s`, signs in `activate_s` <= now <
    `inactive_s` (`delete_s` where that is None), and stands in CDS and CDNSKEY in `sync_publish_s` <= now <
    `sync_delete_s`. As in BIND, a key with `activate_s` but no `publish_s` is published at once, and one
    without any time (of a format before 1.3) is published and signs."""

    created_s: int | None = None
    publish_s: int | None = None
    activate_s: int | None = None
    inactive_s: int | None = None
    delete_s: int | None = None
    sync_publish_s: int | None = None
    sync_delete_s: int | None = None


@dataclass(frozen=True, slots=True)
class DnssecKey:
    """A key pair that belongs together. `dnskey`: the DNSKEY RDATA (RFC 4034 section 2.1); `private`: 32
    octets, P-256's scalar (big-endian) or ED25519's seed; `path`: its `.key` file."""

    apex: Labels
    algorithm: int
    flags: int
    dnskey: bytes
    private: bytes = field(repr=False)
    times: KeyTimes
    path: Path

    @property
    def tag(self) -> int:
        """The key tag, 0..65535."""
        return key_tag(self.dnskey)

    @property
    def is_sep(self) -> bool:
        """Whether it is a KSK or CSK: the parent's DS may point to it."""
        return bool(self.flags & FLAG_SEP)

    @property
    def ds(self) -> bytes:
        """The DS RDATA with a SHA-256 digest (RFC 4034 section 5, RFC 4509), which is that of CDS too."""
        owner = b"".join(bytes((len(label),)) + label for label in self.apex) + b"\0"
        digest = hashlib.sha256(owner + self.dnskey).digest()
        return self.tag.to_bytes(2, "big") + bytes((self.algorithm, DIGEST_SHA256)) + digest


@dataclass(frozen=True, slots=True)
class KeySet:
    """Which of a zone's keys do what at one moment; each tuple in the order of the zone's keys.

    `published`: in the DNSKEY RRset. `signs_dnskey`: each signs the DNSKEY, CDS and CDNSKEY RRsets.
    `signs_zone`: each signs every other RRset. Both hold at least one key of every algorithm published,
    unless `decide.key_states.key_faults` says otherwise. `cds`: keys in CDS and CDNSKEY; `cds_delete`: they
    ask for the removal of every DS instead. `next_change_s`: when any of this is next due to change; None:
    never."""

    published: tuple[DnssecKey, ...]
    signs_dnskey: tuple[DnssecKey, ...]
    signs_zone: tuple[DnssecKey, ...]
    cds: tuple[DnssecKey, ...]
    cds_delete: bool
    next_change_s: int | None

    @property
    def dnskey_rdata(self) -> tuple[bytes, ...]:
        """RDATA of the DNSKEY RRset."""
        return tuple(key.dnskey for key in self.published)

    @property
    def cds_rdata(self) -> tuple[bytes, ...]:
        """RDATA of the CDS RRset (RFC 7344); empty: there is none."""
        return (CDS_DELETE,) if self.cds_delete else tuple(key.ds for key in self.cds)

    @property
    def cdnskey_rdata(self) -> tuple[bytes, ...]:
        """RDATA of the CDNSKEY RRset (RFC 7344); empty: there is none."""
        return (CDNSKEY_DELETE,) if self.cds_delete else tuple(key.dnskey for key in self.cds)


def key_tag(dnskey: bytes) -> int:
    """The key tag of a DNSKEY RDATA (RFC 4034 appendix B), for algorithms other than 1."""
    total = sum(octet if at & 1 else octet << 8 for at, octet in enumerate(dnskey))
    return (total + (total >> 16)) & 0xFFFF
