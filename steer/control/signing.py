"""Signs what a deployment can answer: from its keys and plans to the records and signatures that belong
together.

Called off the event loop, one at a time, but for looks at the clock. What was signed before is kept in the
store, so that a restart signs nothing; where keys or clock are at fault, the keys and signatures of before
serve on until they expire."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steer.control.assemble import assemble_records
from steer.control.check_summary import too_many_fault
from steer.control.clock_guard import ClockGuard, Moment, Objection
from steer.control.key_memory import pack_keys, unpack_keys, with_private
from steer.decide.answer_sets import TooManyAnswerSets, answer_sets
from steer.decide.key_states import CLOCK_SLACK_S, key_faults, key_set
from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Zone
from steer.model.dnssec import KeySet
from steer.model.map import PlanTable
from steer.model.records import AnswerSet
from steer.publish.records_part import WireSettings
from steer.publish.signature_cache import SignatureCache
from steer.publish.signing import Signed, ZoneSigning, sign_records
from steer.publish.store import Store
from steer.telemetry.counters import Registry

AHEAD_S = 3_600  # what is due within this is signed at once, so that signing is not a thing of every minute
PROGRESS_S = 1.0
KEEP_TIME_S = 3_600.0  # between two times that are kept on the disk

log = logging.getLogger("steer.control")


@dataclass(frozen=True, slots=True)
class SigningReport:
    """How the zones of a deployment are signed. `keys`: of each signed zone, by apex; `expires_s`: when its
    first signature does; `begins_s`: when the last signature does; `due_s`: when something wants to be signed
    anew, or a key changes its state; None: never. `faults`: why that cannot be done now: the keys, or the
    clock. `is_settled`: whether keys changed their states by the clock, or wait for it to settle."""

    keys: Mapping[str, KeySet]
    expires_s: Mapping[str, int]
    begins_s: int | None
    due_s: float | None
    made: int
    reused: int
    missing: int
    took_s: float
    faults: tuple[Fault, ...] = ()
    is_settled: bool = True

    def counts(self) -> dict[str, int]:
        """How many signatures came about how."""
        return {"made": self.made, "reused": self.reused, "missing": self.missing}

    def duties(self) -> list[tuple[str, str, str]]:
        """(zone, key's algorithm and tag, what it does) of every key that does something."""
        return [
            (apex, f"{key.algorithm:03d}+{key.tag:05d}", duty)
            for apex, keys in self.keys.items()
            for duty in ("published", "signs_dnskey", "signs_zone", "cds")
            for key in getattr(keys, duty)
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it, for `/v1/state`."""
        keys: dict[str, dict[str, list[str]]] = {apex: {} for apex in self.keys}
        for apex, key, duty in self.duties():
            keys[apex].setdefault(key, []).append(duty)
        zones = {
            apex: {
                "expires_s": self.expires_s.get(apex),
                "next_key_change_s": self.keys[apex].next_change_s,
                "keys": keys[apex],
            }
            for apex in self.keys
        }
        return {
            "zones": zones,
            "begins_s": self.begins_s,
            "due_s": self.due_s,
            **self.counts(),
            "took_s": self.took_s,
        }


@dataclass(frozen=True, slots=True)
class Assembled:
    """A deployment's records and signatures as parts; None where no zone of it is signed."""

    records: bytes
    signatures: bytes | None = None
    report: SigningReport | None = None


@dataclass(slots=True)
class Signing:
    """What is kept from one signing to the next. `store` None: nothing is kept on the disk."""

    clock: ClockGuard
    store: Store | None = None
    _cache: SignatureCache = field(default_factory=SignatureCache)
    _keys: dict[str, KeySet] = field(default_factory=dict)
    _saved: tuple[dict[str, KeySet], SignatureCache] | None = None
    _time_kept_s: float | None = None  # by the steady clock

    def recall(self) -> None:
        """Take up what was kept on the disk; what is of no use there is told, and counts as absent."""
        keys, signatures = self.store.signing() if self.store else (b"", b"")
        try:
            self._keys = unpack_keys(keys) if keys else {}
            self._cache = SignatureCache.unpack(signatures) if signatures else SignatureCache()
        except ValueError as error:
            log.warning("the saved signatures are of no use: %s", error)
        self._saved = (self._keys, self._cache)
        time_s = (self.store.time_s() if self.store else None) or self._cache.newest_inception_s
        if time_s:
            self.clock.recall(time_s)

    def look(self, zones: Iterable[Zone]) -> Moment:
        """What the time may be: after the keys of these zones were made."""
        keys = (key for zone in zones if zone.dnssec for key in zone.dnssec.keys)
        return self.clock.look(max((key.times.created_s or 0 for key in keys), default=0) - CLOCK_SLACK_S)

    def keep_time(self, moment: Moment) -> None:
        """Keep what the time should be, every hour: what a start compares its clock with."""
        steady_s = self.clock.steady_s()
        is_kept = self._time_kept_s is not None and steady_s - self._time_kept_s < KEEP_TIME_S
        if self.store is None or is_kept or moment.objection:
            return
        self._time_kept_s = steady_s
        try:
            self.store.save_time(moment.expected_s)
        except OSError as error:
            log.error("the time could not be saved, a restart compares with an earlier one: %s", error)

    def assemble(
        self,
        deployment: Deployment,
        plans: PlanTable,
        registry: Registry,
        settings: WireSettings,
        *,
        partly: bool,
    ) -> Assembled:
        """Records and signatures of this moment. `partly`: also where a signature can neither be made nor
        found; else that is a fault.

        Raises Refused for keys with which nothing was ever signed and nothing can be."""
        if all(zone.dnssec is None for zone in deployment.zones):
            return Assembled(assemble_records(deployment, registry, settings).data)
        begun_s, moment = self.clock.steady_s(), self.look(deployment.zones)
        objection = moment.objection
        keys, faults = self._key_sets(deployment, moment)
        compiled = assemble_records(deployment, registry, settings, keys)
        signed = sign_records(
            compiled,
            _answer_sets(deployment, plans),
            {
                zone.data.apex: ZoneSigning(keys[zone.apex], zone.dnssec)
                for zone in deployment.zones
                if zone.dnssec
            },
            self._cache,
            (moment.earliest_s, moment.latest_s),
            may_sign=not objection,
            ahead_s=AHEAD_S,
            progress=_Progress(self.clock),
        )
        if signed.missing:
            faults += [_missing_fault(deployment, signed, objection)]
            if not partly:
                raise Refused(faults)
        self._keys, self._cache = {**self._keys, **keys}, signed.cache
        self._save()
        report = SigningReport(
            keys,
            {b".".join(apex).decode(): expires_s for apex, expires_s in signed.expires_s.items()},
            signed.begins_s,
            _earliest(signed.resign_at_s, *(each.next_change_s for each in keys.values())),
            signed.made,
            signed.reused,
            signed.missing,
            self.clock.steady_s() - begun_s,
            tuple(faults),
            moment.is_settled,
        )
        log.log(
            logging.INFO if signed.made else logging.DEBUG,
            "signed %s in %.2f s: %d signatures made, %d reused",
            ", ".join(keys),
            report.took_s,
            signed.made,
            signed.reused,
        )
        return Assembled(compiled.data, signed.part, report)

    def _key_sets(self, deployment: Deployment, moment: Moment) -> tuple[dict[str, KeySet], list[Fault]]:
        """The keys of each signed zone, those of before where there is something against others, and what
        that is; nothing needs to be, while the clock has not settled."""
        objection = moment.objection
        keys: dict[str, KeySet] = {}
        faults: list[Fault] = []
        if objection:
            faults.append(Fault("clock", 0, 0, f"nothing is signed anew: {objection.why}", objection.fix))
        for zone in deployment.zones:
            if zone.dnssec is None:
                continue
            known = self._keys.get(zone.apex)
            is_waiting = known is not None and not moment.is_settled
            judged_s = moment.expected_s if is_waiting else moment.now_s
            wrong = [] if objection else key_faults(zone.apex, zone.dnssec, judged_s)[0]
            if (wrong or objection) and known is None:
                raise Refused([*faults, *wrong])
            is_held = wrong or objection or is_waiting
            keys[zone.apex] = (
                with_private(known, zone.dnssec.keys)
                if known is not None and is_held
                else key_set(zone.dnssec, moment.now_s)
            )
            faults += wrong
        return keys, faults

    def _save(self) -> None:
        if self.store is None or self._saved == (self._keys, self._cache):
            return
        try:
            self.store.save_signing(pack_keys(self._keys), self._cache.pack())
            self._saved = (self._keys, self._cache)
        except OSError as error:
            log.error("the signatures could not be saved, a restart makes them anew: %s", error)


def _answer_sets(deployment: Deployment, plans: PlanTable) -> list[AnswerSet]:
    """What the names of the signed zones can answer. Raises Refused where that is too much."""
    most = {zone.apex: zone.dnssec.max_answer_sets for zone in deployment.zones if zone.dnssec}
    try:
        return answer_sets(deployment, plans, most)
    except TooManyAnswerSets as error:
        raise Refused([too_many_fault(error)]) from error


def _missing_fault(deployment: Deployment, signed: Signed, objection: Objection | None) -> Fault:
    """Validators refuse what should be signed and is not."""
    why = "the private keys are not at hand, and what was signed before has expired or changed"
    why = objection.why if objection else why
    wrong = f"{signed.missing} signatures can neither be made nor taken from before: {why}"
    return Fault(str(deployment.directory), 0, 0, wrong, "restore the key files, or set this machine's clock")


def _earliest(*times_s: int | None) -> int | None:
    return min((time_s for time_s in times_s if time_s is not None), default=None)


@dataclass(slots=True)
class _Progress:
    """Tells how far the signing is, where it takes longer than a moment."""

    clock: ClockGuard
    _told_s: float | None = None

    def __call__(self, done: int, total: int) -> None:
        now_s = self.clock.steady_s()
        if self._told_s is None:
            self._told_s = now_s
        elif now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            log.info("signing: %d of %d", done, total)
