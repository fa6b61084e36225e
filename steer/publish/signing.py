"""Sign beforehand whatever can be answered (WIRE DNS-14): from compiled records, answer sets and keys to the
signatures part.

Time is an argument. What was signed before and is still good is taken from the cache; nothing is signed per
query."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from steer.model.dnssec import DnssecKey, DnssecSettings, KeySet
from steer.model.records import TYPE_CDNSKEY, TYPE_CDS, TYPE_DNSKEY, AnswerSet, Labels, Rdata, RRset
from steer.publish.rrsig import TIMES_END_S, Canonical, Signer, times_of
from steer.publish.signable import CompiledRecords, SignableRRset
from steer.publish.signature_cache import SignatureCache
from steer.publish.signatures_part import pack_signatures

SIGNATURES_MAX = 4  # of one RRset; so many keys may sign at once
PROGRESS_STEP = 2000  # signatures between two reports
_KEY_TYPES = (TYPE_DNSKEY, TYPE_CDS, TYPE_CDNSKEY)  # signed by the keys that the parent knows


@dataclass(frozen=True, slots=True)
class ZoneSigning:
    """Which keys of a zone sign now, and for how long."""

    keys: KeySet
    settings: DnssecSettings


@dataclass(frozen=True, slots=True)
class Signed:
    """A signatures part and how it came about. `reused`, `made`, `missing`: distinct signatures; missing are
    those for which there is neither a cached one nor a private key (or leave to sign). `expires_s`: when the
    first signature of each zone, by apex, does (Unix seconds); `begins_s`: when the last of all does;
    `resign_at_s`: when the first of all wants to be made anew; None without signatures."""

    part: bytes
    cache: SignatureCache
    reused: int
    made: int
    missing: int
    expires_s: Mapping[Labels, int]
    begins_s: int | None
    resign_at_s: int | None


@dataclass(frozen=True, slots=True)
class _Job:
    """A signature to be made."""

    signer: Signer
    canonical: Canonical
    settings: DnssecSettings


def key_rrsets(apex: Labels, keys: KeySet, ttl_s: int) -> tuple[RRset, ...]:
    """DNSKEY, CDS and CDNSKEY of a zone's apex, as far as there are any."""
    of_type = (
        (TYPE_DNSKEY, keys.dnskey_rdata),
        (TYPE_CDS, keys.cds_rdata),
        (TYPE_CDNSKEY, keys.cdnskey_rdata),
    )
    return tuple(RRset(apex, rtype, ttl_s, tuple(map(Rdata, rdata))) for rtype, rdata in of_type if rdata)


def sign_records(
    compiled: CompiledRecords,
    answers: Iterable[AnswerSet],
    zones: Mapping[Labels, ZoneSigning],
    cache: SignatureCache,
    now_s: float | tuple[float, float],
    *,
    may_sign: bool = True,
    ahead_s: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Signed:
    """The signatures part of these records and answers.

    `zones`: of each signed zone. `now_s`: the time, or the earliest and latest that it may be: what is made
    is good throughout, and what was made before serves where it is. `may_sign` False: the clock is not
    trusted, so nothing is made, and what was made counts as good. `ahead_s`: what would want to be made anew
    within so many seconds is made now.
    Raises ValueError for a clock outside of what RRSIG can say."""
    earliest_s, latest_s = map(int, now_s if isinstance(now_s, tuple) else (now_s, now_s))
    sets = list(compiled.answers(answers))
    work = _Work(compiled.apexes, zones, cache, (earliest_s, latest_s), may_sign=may_sign, ahead_s=ahead_s)
    static = [work.digests(rrset) if rrset is not None else () for rrset in compiled.rrsets]
    given = [work.digests(answer.rrset) for answer in sets]
    made = _sign(work.jobs, (earliest_s, latest_s), progress)
    rdata = {**work.reused, **made}
    return Signed(
        part=pack_signatures(
            compiled.identity,
            [[rdata[digest] for digest in digests if digest in rdata] for digests in static],
            len(compiled.names),
            [
                (answer.steered, answer.rrset.type, answer.key, [rdata[d] for d in digests if d in rdata])
                for answer, digests in zip(sets, given, strict=True)
            ],
        ),
        cache=cache.merged(rdata, earliest_s if may_sign else 0),
        reused=len(work.reused),
        made=len(made),
        missing=work.missing,
        expires_s=work.expiries(rdata),
        begins_s=max((times_of(each)[0] for each in rdata.values()), default=None),
        resign_at_s=min(
            (times_of(each)[1] - work.refresh_s[digest] for digest, each in rdata.items()), default=None
        ),
    )


class _Work:
    """Finds out what is to be signed; one use."""

    def __init__(
        self,
        apexes: Sequence[Labels],
        zones: Mapping[Labels, ZoneSigning],
        cache: SignatureCache,
        may_be_s: tuple[int, int],
        *,
        may_sign: bool,
        ahead_s: int,
    ) -> None:
        self._apexes, self._zones, self._cached = apexes, zones, cache.rdata
        self._earliest_s, self._latest_s = may_be_s
        self._may_sign, self._ahead_s = may_sign, ahead_s
        self._signers = {
            apex: (_signers(zone.keys.signs_zone), _signers(zone.keys.signs_dnskey))
            for apex, zone in zones.items()
        }
        self.jobs: dict[bytes, _Job] = {}
        self.reused: dict[bytes, bytes] = {}
        self.refresh_s: dict[bytes, int] = {}
        self._apex_of: dict[bytes, Labels] = {}
        self._missing: set[bytes] = set()

    @property
    def missing(self) -> int:
        """How many signatures there will not be."""
        return len(self._missing)

    def digests(self, rrset: SignableRRset) -> tuple[bytes, ...]:
        """What names the signatures of an RRset, one per key."""
        apex = self._apexes[rrset.zone]
        settings, canonical = self._zones[apex].settings, Canonical.of(rrset, apex)
        signers = self._signers[apex][rrset.type in _KEY_TYPES]
        found = tuple(self._digest(settings, canonical, signer) for signer in signers)
        self._apex_of |= dict.fromkeys(found, apex)
        return found

    def expiries(self, rdata: Mapping[bytes, bytes]) -> dict[Labels, int]:
        """When the first signature of each zone expires."""
        found: dict[Labels, int] = {}
        for digest, each in rdata.items():
            apex, expires_s = self._apex_of[digest], times_of(each)[1]
            found[apex] = min(found.get(apex, expires_s), expires_s)
        return found

    def _digest(self, settings: DnssecSettings, canonical: Canonical, signer: Signer) -> bytes:
        digest = canonical.digest(signer)
        if digest in self.refresh_s:
            return digest
        self.refresh_s[digest] = settings.refresh_s
        cached = self._cached.get(digest)
        inception_s, expires_s = times_of(cached) if cached else (0, 0)
        is_due = expires_s - self._latest_s < settings.refresh_s + self._ahead_s
        if self._may_sign and signer.sign and (is_due or inception_s > self._earliest_s):
            self.jobs[digest] = _Job(signer, canonical, settings)
        elif cached and (expires_s > self._earliest_s or not self._may_sign):
            self.reused[digest] = cached
        else:
            self._missing.add(digest)
        return digest


def _signers(keys: Sequence[DnssecKey]) -> list[Signer]:
    """The keys by algorithm and tag, as signatures stand."""
    if len(keys) > SIGNATURES_MAX:
        raise ValueError(f"{len(keys)} keys sign at once, {SIGNATURES_MAX} at most")
    return sorted((Signer.of(key) for key in keys), key=lambda each: (each.algorithm, each.tag, each.dnskey))


def _sign(
    jobs: Mapping[bytes, _Job], may_be_s: tuple[int, int], progress: Callable[[int, int], None]
) -> dict[bytes, bytes]:
    """Do the jobs: digest -> RRSIG RDATA."""
    made: dict[bytes, bytes] = {}
    for number, (digest, job) in enumerate(jobs.items()):
        if number % PROGRESS_STEP == 0:
            progress(number, len(jobs))
        made[digest] = job.canonical.signed(job.signer, *_times(digest, job.settings, *may_be_s))
    return made


def _times(digest: bytes, settings: DnssecSettings, earliest_s: int, latest_s: int) -> tuple[int, int]:
    """Inception and expiration; jitter spreads the signing that follows, the same whoever signs."""
    jitter_s = int.from_bytes(digest[:8], "big") % (settings.jitter_s + 1)
    inception_s = earliest_s - settings.inception_offset_s
    expires_s = latest_s + settings.validity_s - jitter_s
    if not 0 < inception_s < expires_s < TIMES_END_S:
        raise ValueError(f"the clock says {latest_s}, which no signature can")
    return inception_s, expires_s
