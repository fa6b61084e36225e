"""Keys made up for tests, files for none of them; and resolvers with caches that must always be able to
validate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from steer.decide.key_rolls import Roll
from steer.decide.key_states import key_set
from steer.model.dnssec import DnssecKey, DnssecSettings, KeySet, KeyTimes

APEX = (b"cdn", b"example")
NOW_S = 1_795_500_000


def key(number: int, flags: int = 257, algorithm: int = 13, **times: int | None) -> DnssecKey:
    """A key whose RDATA says only its number, times 100 so that tags differ; times as for KeyTimes."""
    dnskey = flags.to_bytes(2, "big") + bytes((3, algorithm)) + (number * 100).to_bytes(64, "big")
    path = Path(f"keys/Kcdn.example.+{algorithm:03d}+{number:05d}.key")
    return DnssecKey(APEX, algorithm, flags, dnskey, bytes(32), KeyTimes(**times), path)


def settings(*keys: DnssecKey, **others: int) -> DnssecSettings:
    return replace(DnssecSettings(Path("keys")), keys=keys, **others)  # type: ignore[arg-type]


@dataclass
class World:
    """A zone's keys as steps change them. `at_parent`: (key, from, until), when a resolver may get its DS
    from the parent."""

    settings: DnssecSettings
    count: int = 0
    at_parent: list[tuple[DnssecKey, int, int]] = field(default_factory=list)

    def take(self, roll: Roll) -> list[DnssecKey]:
        """Do what a step says; returns the keys it made."""
        made = []
        for new in roll.make:
            self.count += 1
            times = {name: getattr(new.times, name) for name in KeyTimes.__slots__}
            made.append(key(self.count, new.flags, new.algorithm, **times))
        changed = {old.dnskey: times for old, times in roll.change}
        kept = [replace(old, times=changed.get(old.dnskey, old.times)) for old in self.settings.keys]
        self.settings = replace(self.settings, keys=(*kept, *made))
        return made

    def change_times(self) -> list[int]:
        """Every moment at which a key changes what it does."""
        found = {
            getattr(each.times, name)
            for each in self.settings.keys
            for name in KeyTimes.__slots__
            if getattr(each.times, name) is not None
        }
        return sorted(found)

    def sets_between(self, first_s: int, last_s: int) -> Iterator[KeySet]:
        """Every key set that a nameserver may have had in a span of time, ends included."""
        moments = [first_s, last_s, *(t for t in self.change_times() if first_s < t < last_s)]
        for moment_s in moments:
            yield key_set(self.settings, moment_s)


def bogus_moments(
    world: World,
    moments: Iterable[int],
    longest_ttl_s: int,
    ds_ttl_s: int,
    signing_s: int,
    signed_from_s: int,
) -> list[str]:
    """Moments at which a resolver with some mix of caches would find the zone bogus, one sentence each.

    At each moment a resolver may hold DNSKEY as any nameserver had it up to a TTL ago, data likewise (which
    is signed up to `signing_s` late), and DS up to `ds_ttl_s` after the parent gave them up. It is as strict
    as validators come: every algorithm in DS must lead to a key in DNSKEY that signs DNSKEY, and every one in
    DNSKEY must have signed the data (RFC 6840 section 5.11 asks that of signers)."""
    wrong = []
    late_s = world.settings.propagation_s
    for moment_s in moments:
        ds_keys = [k for k, from_s, until_s in world.at_parent if from_s <= moment_s < until_s + ds_ttl_s]
        if not ds_keys:
            continue
        key_from_s = max(signed_from_s, moment_s - world.settings.dnskey_ttl_s - late_s)
        data_from_s = max(signed_from_s, moment_s - longest_ttl_s - late_s - signing_s)
        data_sets = list(world.sets_between(data_from_s, moment_s))
        for keys in world.sets_between(key_from_s, moment_s):
            published = {k.dnskey for k in keys.published}
            signing = {k.dnskey for k in keys.signs_dnskey} & published
            wrong += [
                f"{moment_s}: DS of {ds.tag} leads to no key that signs DNSKEY"
                for ds in ds_keys
                if ds.dnskey not in signing
            ]
            for data in data_sets:
                proved = {k.algorithm for k in data.signs_zone if k.dnskey in published}
                missing = {k.algorithm for k in keys.published} - proved
                wrong += [f"{moment_s}: data is not proved by algorithm {each}" for each in sorted(missing)]
    return wrong
