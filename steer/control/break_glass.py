"""Break-glass: force a target, drain a POP, take either back, as text from a shell or JSON from the API.

What is asked for becomes a line of `overrides.yaml`; the server takes it up from there, as if an editor
wrote it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steer.errors import Fault, Refused
from steer.model.deployment import Deployment, Drain, ForcedTarget, Overrides
from steer.model.service import Target
from steer.sources.fields import suggestion
from steer.sources.overrides_edit import clear_drain, clear_forced, set_drain, set_forced
from steer.sources.overrides_file import FILE_NAME, read_overrides
from steer.sources.zone_rules import parse_target

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
DURATION_S_MAX = 366 * 86400
DEFAULT_REASON = "no reason given"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `drain` None: it is about `scope`, an override; else about that POP, in `service` or in
    every one. `target` empty: the override is taken back; `back`: the drain is. `for_s` None: until it is
    taken back."""

    scope: str = ""
    target: str = ""
    drain: str | None = None
    service: str | None = None
    back: bool = False
    reason: str = DEFAULT_REASON
    for_s: float | None = None


def apply_change(directory: Path, deployment: Deployment, change: Change, now_s: float) -> Overrides:
    """Write the change into the policy directory; returns all lines after it. Raises Refused."""
    path = directory / FILE_NAME
    expires_s = None if change.for_s is None else now_s + change.for_s
    try:
        if change.back:
            _prove_in_force(read_overrides(path, deployment), change)
        if change.drain is not None:
            if change.back:
                return clear_drain(path, deployment, change.drain, change.service)
            drain = Drain(change.drain, change.service, change.reason, expires_s)
            return set_drain(path, deployment, drain)
        if change.back:
            return clear_forced(path, deployment, change.scope)
        forced = ForcedTarget(change.scope, _target(change.target), change.reason, expires_s)
        return set_forced(path, deployment, forced)
    except OSError as error:
        fix = f"let the user that does this write {directory}, or edit the file by hand"
        raise Refused(
            [Fault(str(path), 0, 0, f"cannot be written: {error.strerror or error}", fix)]
        ) from error


def change_from_json(body: Mapping[str, Any]) -> Change:
    """`{scope, target}`, `{drain: POP}`, either with `reason` and `for`, or with `remove: true`. Raises
    Refused."""
    faults = []
    for key, value in body.items():
        if key not in ("scope", "target", "drain", "service", "reason", "for", "remove"):
            faults.append(
                Fault(key, 0, 0, "no such field", "use scope and target, or drain; reason, for, remove")
            )
        elif not isinstance(value, bool if key == "remove" else str):
            kind = "true or false" if key == "remove" else "a string"
            faults.append(Fault(key, 0, 0, f"is not {kind}", f"give {kind}"))
    if ("scope" in body) == ("drain" in body):
        faults.append(Fault("body", 0, 0, "names not exactly one of scope and drain", "give one of them"))
    if faults:
        raise Refused(faults)
    back = bool(body.get("remove", False))
    if "scope" in body and not back and not body.get("target"):
        raise Refused(
            [Fault("target", 0, 0, "is missing", "give anycast, region:NAME, pop:NAME or cname:HOST")]
        )
    return Change(
        scope=body.get("scope", ""),
        target=body.get("target", ""),
        drain=body.get("drain"),
        service=body.get("service"),
        back=back,
        reason=body.get("reason", DEFAULT_REASON),
        for_s=duration_s(body["for"]) if "for" in body else None,
    )


def duration_s(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h` or `7d`; at most a year. Raises Refused."""
    match = DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= DURATION_S_MAX:
        raise Refused(
            [
                Fault(
                    "for",
                    0,
                    0,
                    f"{text!r} is not a length of time",
                    "write such as 90s, 30m, 2h or 7d, at most 366d",
                )
            ]
        )
    return float(seconds)


def drain_consequences(deployment: Deployment, pop: str, service: str | None) -> list[str]:
    """What a drain moves by DNS and by when, what only BGP can move, and what is not known; one sentence
    each."""
    services = [
        each for each in deployment.services.values() if service in (None, each.name) and pop in each.pops
    ]
    names = {each.name for each in services}
    ttls = [name.ttl_s for zone in deployment.zones for name in zone.names if name.service in names]
    said = []
    if ttls:
        said.append(
            f"DNS: no new answer gives {pop} once the server has taken this up; resolvers that hold an older "
            f"one follow within its TTL, {max(ttls)} s at most, and about one in eleven keeps it longer."
        )
    for each in services:
        share = [prefix for prefix, catchment in each.catchment if catchment == pop]
        known = (
            f"{len(share)} of {len(each.catchment)} prefixes of the catchment file come to {pop}; those are "
            "answered with another target from now on where their rule has one"
            if each.catchment
            else f"how many do is not known, since service {each.name} has no catchment file"
        )
        said.append(
            f"BGP: clients that hold an anycast address of {each.name} and are routed to {pop} move only "
            f"when {pop} withdraws it; {known}."
        )
    said.append(f"Open connections to {pop} stay until they end; DNS moves none of them.")
    return said


def _prove_in_force(now: Overrides, change: Change) -> None:
    """Raises Refused, saying what could be taken back, where the change would take back nothing."""
    if change.drain is None:
        found = any(line.scope == change.scope for line in now.forced)
        key, what = "scope", f"nothing is forced for `{change.scope}`"
        known = tuple(line.scope for line in now.forced)
        asked, lead = change.scope, "in force are"
    else:
        found = any(
            line.pop == change.drain and change.service in (None, line.service) for line in now.drains
        )
        where = f" in service `{change.service}`" if change.service else ""
        key, what = "drain", f"`{change.drain}` is not drained{where}"
        known = tuple(f"{line.pop}{f' in {line.service}' if line.service else ''}" for line in now.drains)
        asked, lead = change.drain, "drained are"
    if not found:
        near = suggestion(asked, known, lead) if known else "nothing of that kind is in force"
        if asked in known:
            near = "it is drained in every service: take that back without naming one"
        raise Refused([Fault(key, 0, 0, what, near)])


def _target(text: str) -> Target:
    parsed = parse_target(text)
    if isinstance(parsed, Target):
        return parsed
    raise Refused([Fault("target", 0, 0, *parsed)])
