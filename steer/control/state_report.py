"""The body of `/v1/state`: everything that an operator, the dashboard or a script may want to see at once."""

from collections.abc import Mapping
from typing import Any

from steer import __version__
from steer.control.api import fault_json
from steer.control.assemble import full_name
from steer.control.runtime import Runtime
from steer.control.waiting import Pending
from steer.decide.health_record import PopRecord
from steer.model.deployment import Drain, ForcedTarget, Overrides, Zone
from steer.model.service import Addresses, Pop, Service


def state_json(runtime: Runtime, now_s: float) -> dict[str, Any]:
    """All that the runtime knows at `now_s`, as JSON values."""
    serving = runtime.serving
    deployment = serving.deployment if serving else None
    return {
        "version": __version__,
        "now_s": now_s,
        "started_s": runtime.started_s,
        "serving_since_s": runtime.serving_since_s,
        "node": {"id": deployment.node.id, "pop": deployment.node.pop}
        if deployment
        else {"id": "", "pop": None},
        "directory": str(runtime.directory),
        "engine": {"name": runtime.form.name, "why": runtime.form.why, "listen": list(runtime.listen)},
        "hashes": runtime.hashes(),
        "databases": serving.map_file.databases if serving else {},
        "map": {"plans": len(serving.map_file.plans) if serving else 0},
        "restored": serving.restored if serving else None,
        "zones": [_zone(zone, runtime) for zone in deployment.zones] if deployment else [],
        "services": {
            name: _service(service, runtime.book.records)
            for name, service in (deployment.services if deployment else {}).items()
        },
        "stale": runtime.book.stale,
        "alarms": [{"name": alarm.name, "text": alarm.text} for alarm in runtime.alarms],
        "overrides": overrides_json(Overrides(runtime.forced_now(now_s), runtime.drains_now(now_s))),
        "pending": _pending(runtime.pending),
        "held": _held(runtime),
        "signing": serving.signing.as_json() if serving and serving.signing else None,
        "warnings": [fault_json(fault) for fault in serving.inputs.warnings] if serving else [],
        "build": _build(runtime),
        "evidence": {"learned": runtime.learned or None, "learning": runtime.learning or None},
        "swaps": {"count": runtime.swaps.count, "last_ms": runtime.swaps.last_ms},
        "counters": runtime.counters(),
        "answers": [
            {"labels": list(labels), "count": count} for labels, count in runtime.labelled() if count
        ],
    }


def overrides_json(overrides: Overrides) -> dict[str, Any]:
    """The break-glass lines."""
    return {
        "forced": [_forced(line) for line in overrides.forced],
        "drains": [_drain(line) for line in overrides.drains],
    }


def _zone(zone: Zone, runtime: Runtime) -> dict[str, Any]:
    names = [
        {
            "name": full_name(zone, name),
            "policy": name.policy,
            "experiment": name.experiment,
            "service": name.service,
            "ttl_s": name.ttl_s,
        }
        for name in zone.names
    ]
    return {"apex": zone.apex, "names": names, "secondary": runtime.copies.as_json(zone)}


def _service(service: Service, records: Mapping[tuple[str, str], PopRecord]) -> dict[str, Any]:
    return {
        "anycast": _addresses(service.anycast),
        "regions": {name: _addresses(region) for name, region in service.regions.items()},
        "pops": [_pop(pop, records.get((service.name, name))) for name, pop in service.pops.items()],
    }


def _pop(pop: Pop, record: PopRecord | None) -> dict[str, Any]:
    health = record.health if record else None
    load = health.load if health else None
    polls = record.recent if record else ()
    return {
        "pop": pop.name,
        "region": pop.region,
        "location": [pop.latitude_deg, pop.longitude_deg],
        **_addresses(pop.addresses),
        "status_url": pop.status_url,
        "state": health.state.value if health else "unknown",
        "reason": health.reason if health else "not judged yet",
        "since_s": health.since_s if health else 0.0,
        "seen_s": health.seen_s if health else 0.0,
        "changing": health.changing if health else True,
        "load": {"current": load.current, "target": load.target, "max": load.max, "at_s": health.load_at_s}
        if health and load
        else None,
        "polls": [
            {
                "at_s": poll.at_s,
                "text": poll.text,
                "duration_ms": poll.duration_ms,
                "answered": poll.text in STATUSES,
            }
            for poll in polls
        ],
    }


STATUSES = frozenset(("up", "degraded", "drain", "down"))  # what an answered poll's text is


def _addresses(addresses: Addresses) -> dict[str, list[str]]:
    return {"ipv4": [str(each) for each in addresses.ipv4], "ipv6": [str(each) for each in addresses.ipv6]}


def _forced(line: ForcedTarget) -> dict[str, Any]:
    return {
        "scope": line.scope,
        "target": str(line.target),
        "reason": line.reason,
        "expires_s": line.expires_s,
    }


def _drain(line: Drain) -> dict[str, Any]:
    return {"pop": line.pop, "service": line.service, "reason": line.reason, "expires_s": line.expires_s}


def _pending(pending: Mapping[str, Pending]) -> dict[str, Any] | None:
    if not pending:
        return None
    return {
        "what": " and ".join(sorted(pending)),
        "since_s": min(each.since_s for each in pending.values()),
        "faults": [fault_json(fault) for each in pending.values() for fault in each.faults],
    }


def _held(runtime: Runtime) -> dict[str, Any] | None:
    held = runtime.held
    if held is None:
        return None
    return {
        "by": held.by,
        "hash": held.hash,
        "since_s": held.since_s,
        "moved": held.moved,
        "limit": held.limit,
        "number": held.number,
    }


def _build(runtime: Runtime) -> dict[str, Any] | None:
    build = runtime.build
    return {"what": build.what, "since_s": build.since_s, "progress": build.progress} if build else None
