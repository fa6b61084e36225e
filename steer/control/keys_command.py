"""`steer keys`: make, show, roll and remove a zone's DNSSEC keys, beside a server that runs or not.

What is to be done is decided in `decide.key_rolls`; here the policy directory is read, the directory of keys
locked, and files written. Every function raises Refused with what an operator can mend."""

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from steer.decide.key_rolls import (
    Delays,
    Roll,
    TooEarly,
    delays_of,
    ds_seen,
    first_keys,
    merge_into_csk,
    removable,
    roll_algorithm,
    roll_sep,
    roll_zsk,
    split_csk,
)
from steer.decide.key_states import key_set, utc
from steer.decide.key_words import may_be_at_parent, role_of
from steer.errors import Fault, Refused
from steer.model.dnssec import DIGEST_SHA256, DnssecSettings
from steer.sources.deployment_files import read_plain
from steer.sources.dnssec_fields import default_settings, longest_ttl_s
from steer.sources.fields import suggestion
from steer.sources.file_edit import locked
from steer.sources.key_edit import Owner, make_directory, make_key, remove_key, set_times
from steer.sources.key_files import read_keys
from steer.sources.reading import Reading
from steer.sources.scalars import spelled_s
from steer.sources.steer_file import FILE_NAME, SteerFile, read_steer_file
from steer.sources.zone_file import ZoneFile, read_zone_file

KIND_OF_ROLL = {"sep": roll_sep, "zsk": roll_zsk, "split": split_csk, "merge": merge_into_csk}
_COMMAND = re.compile(r"`steer keys ([a-z-]+)([^`]*)`")


@dataclass(frozen=True, slots=True)
class SignedZone:
    """A zone whose keys are worked with. `settings`: without keys; `is_signed`: its file has `dnssec:`."""

    directory: Path
    zone: ZoneFile
    settings: DnssecSettings
    user: str | None

    @property
    def is_signed(self) -> bool:
        """Whether its file says that it is."""
        return self.zone.dnssec is not None

    @property
    def apex(self) -> str:
        """Its name, without the last dot."""
        return self.zone.apex


def open_zone(directory: Path, name: str) -> SignedZone:
    """The zone of this name in a policy directory."""
    wanted = name.lower().removesuffix(".")
    zones = open_zones(directory)
    found = next((each for each in zones if each.apex == wanted), None)
    if found is None:
        fix = suggestion(wanted, tuple(each.apex for each in zones), "the zones are")
        raise Refused([Fault(str(directory / FILE_NAME), 0, 0, f"no zone `{wanted}`", fix)])
    return found


def open_zones(directory: Path) -> tuple[SignedZone, ...]:
    """Every zone of a policy directory. Faults of zones' files are faults here too: a server would not take
    up what a command does."""
    reading = Reading(directory)
    steer = read_steer_file(directory / FILE_NAME, reading)
    zones = () if steer is None else _zones(steer, reading)
    if steer is None or reading.faults.found:
        raise Refused(reading.faults.found)
    return tuple(
        SignedZone(directory, zone, zone.dnssec or default_settings(path), steer.server.user)
        for path, zone in zones
    )


def keys_of(zone: SignedZone, *, may_be_none: bool = False) -> DnssecSettings:
    """The zone's settings with every key. `may_be_none`: no key is no fault."""
    reading = Reading(zone.directory)
    directory, at = zone.settings.keys_directory, zone.zone.dnssec_at
    keys = read_keys(directory, zone.zone.apex_labels, at, reading, may_be_none=may_be_none)
    if reading.faults.found:
        raise Refused(reading.faults.found)
    return replace(zone.settings, keys=keys)


def make(zone: SignedZone, algorithm: int, split: bool, longest_s: int | None, now_s: int) -> list[str]:
    """`steer keys make`. `longest_s`: the zone's longest TTL, where its files do not tell. Returns what to
    say."""
    make_directory(zone.settings.keys_directory, _owner(zone))
    said = _step(
        zone, longest_s, lambda s, delays: first_keys(s, algorithm, split, delays, now_s), may_be_none=True
    )
    if not zone.is_signed:
        said.append(f"the zone is not signed yet: add the line `dnssec: {{}}` to {zone.zone.file}")
    return said


def roll(zone: SignedZone, kind: str, algorithm: int | None, longest_s: int | None, now_s: int) -> list[str]:
    """`steer keys roll`. `kind`: of KIND_OF_ROLL; `algorithm`: roll all keys to this one instead."""

    def plan(settings: DnssecSettings, delays: Delays) -> Roll:
        current = {key.algorithm for key in settings.keys if key not in removable(settings, now_s)}
        if algorithm is not None and current != {algorithm}:
            return roll_algorithm(settings, algorithm, delays, now_s)
        return KIND_OF_ROLL[kind](settings, delays, now_s)

    return _step(zone, longest_s, plan)


def see_ds(zone: SignedZone, tag: int, ds_ttl_s: int, longest_s: int | None, now_s: int) -> list[str]:
    """`steer keys ds-seen`."""
    return _step(zone, longest_s, lambda settings, delays: ds_seen(settings, tag, ds_ttl_s, delays, now_s))


def delete_old(zone: SignedZone, now_s: int) -> list[str]:
    """`steer keys delete-old`."""
    with _lock(zone):
        over = removable(keys_of(zone), now_s)
        for key in over:
            remove_key(key)
    return [f"removed {key.path.name} and its private half" for key in over] or ["no key is past its time"]


def ds_lines(zone: SignedZone, now_s: int, *, early: bool) -> tuple[list[str], bool]:
    """`steer keys ds`: DS records for the parent as lines of a zone file, what to know in comments; and
    whether there is any. A DS whose time has not come is a comment too, unless `early` ones are wanted."""
    if not zone.is_signed:
        fix = "add `dnssec: {}` first: a DS without signatures makes the zone bogus"
        raise Refused([Fault(zone.zone.file, 0, 0, f"{zone.apex} is not signed", fix)])
    settings = keys_of(zone)
    lines, are_any = [], False
    for key, from_s in may_be_at_parent(settings, now_s):
        digest = key.ds[4:].hex().upper()
        if from_s > now_s:
            lines.append(
                f"; not before {utc(from_s)}: until then caches hold data that this key does not prove"
            )
        elif key.times.sync_delete_s is not None:
            lines.append(f"; until {utc(key.times.sync_delete_s)}, then that of its successor")
        is_due = early or from_s <= now_s
        are_any |= is_due
        record = f"{zone.apex}. IN DS {key.tag} {key.algorithm} {DIGEST_SHA256} {digest}"
        lines.append(record if is_due else f"; not yet: {record}")
    if not lines:
        fix = "see `steer keys list`"
        raise Refused([Fault(str(settings.keys_directory), 0, 0, "no KSK or CSK is in use", fix)])
    now = key_set(settings, now_s)
    said = (
        "that all DS be removed"
        if now.cds_delete
        else ", ".join(str(key.tag) for key in now.cds) or "nothing"
    )
    return [*lines, f"; CDS and CDNSKEY say now: {said}"], are_any


def with_arguments(texts: Iterable[str], zone: SignedZone) -> list[str]:
    """The texts with directory and zone in every `steer keys` command, which can be pasted then."""
    where = f"{shlex.quote(str(zone.directory))} {zone.apex}"
    return [_COMMAND.sub(lambda found: f"`steer keys {found[1]} {where}{found[2]}`", text) for text in texts]


# --- helpers ---


def _zones(steer: SteerFile, reading: Reading) -> list[tuple[Path, ZoneFile]]:
    read = ((path, read_zone_file(path, at, reading)) for path, at in steer.zones)
    return [(path, zone) for path, zone in read if zone is not None]


def _step(
    zone: SignedZone,
    longest_s: int | None,
    plan: Callable[[DnssecSettings, Delays], Roll],
    *,
    may_be_none: bool = False,
) -> list[str]:
    """Plan and do one step with other editors of the keys locked out; returns what to say."""
    longest_s = _longest_ttl_s(zone, longest_s)
    with _lock(zone):
        settings = keys_of(zone, may_be_none=may_be_none)
        try:
            step = plan(settings, delays_of(settings, longest_s))
        except TooEarly as refusal:
            (why,) = with_arguments([str(refusal)], zone)
            raise Refused([Fault(str(settings.keys_directory), 0, 0, why, "")]) from refusal
        made = [
            make_key(
                settings.keys_directory,
                zone.zone.apex_labels,
                new.algorithm,
                new.flags,
                new.times,
                settings.dnskey_ttl_s,
                _owner(zone),
            )
            for new in step.make
        ]
        for key, times in step.change:
            set_times(key, times)
    whole = replace(settings, keys=(*settings.keys, *made))
    said = [f"made {key.path} and its private half ({role_of(whole, key, 0)} {key.tag})" for key in made]
    if step.make or step.change:
        within = f"within {spelled_s(settings.propagation_s)} (`propagation`)"
        said.append(f"copy {settings.keys_directory} to the other nameservers of the zone {within}")
    new_tag = next((str(key.tag) for key in made if key.is_sep), "TAG")
    return [*said, *with_arguments((text.replace("TAG`", f"{new_tag}`") for text in step.says), zone)]


def _longest_ttl_s(zone: SignedZone, given_s: int | None) -> int:
    """The longest TTL of the zone's data, plain or steered."""
    steered = [name.ttl_s for name in zone.zone.names]
    if given_s is not None:
        return max([given_s, *steered])
    if zone.zone.primaries:
        fix = "say it with `--longest-ttl`, such as `--longest-ttl 1d`"
        wrong = f"the data of {zone.apex} comes from a primary, so its longest TTL is not known here"
        raise Refused([Fault(zone.zone.file, 0, 0, wrong, fix)])
    reading = Reading(zone.directory)
    plain = read_plain(zone.zone, reading)
    if plain is None or reading.faults.found:
        raise Refused(reading.faults.found)
    return longest_ttl_s(plain, steered)


def _lock(zone: SignedZone) -> AbstractContextManager[None]:
    """One editor of the keys at a time."""
    directory = zone.settings.keys_directory
    try:
        directory.stat()
    except OSError:
        return nullcontext()  # reading the keys says what is wrong
    return locked(directory)


def _owner(zone: SignedZone) -> Owner | None:
    """Who must be able to read new keys where root makes them: the server's user, else the directory's."""
    if os.geteuid() != 0:
        return None
    if zone.user is not None:
        try:
            entry = pwd.getpwnam(zone.user)
        except KeyError:
            fix = f"create the user, or mend `user:` in {FILE_NAME}"
            raise Refused(
                [Fault(str(zone.directory / FILE_NAME), 0, 0, f"no user `{zone.user}`", fix)]
            ) from None
        return entry.pw_uid, entry.pw_gid
    directory = zone.settings.keys_directory
    found = (directory if directory.exists() else zone.directory).stat()
    return found.st_uid, found.st_gid
