"""`steer plan`: what a change would move, between two directories, or from what serves to a directory."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steer.control.check_summary import answers_max, count_answers
from steer.control.client import ask_server
from steer.control.directories import cache_directory, state_directory
from steer.control.inputs import Inputs, find_databases, read_inputs
from steer.control.last_good import api_of
from steer.control.map_child import MapFile, stored_map
from steer.control.movement import Comparison, Version, evidence_of, measure
from steer.control.offline import map_of
from steer.control.plan_steps import steps
from steer.control.runtime import DEMAND_QUERIES_MIN
from steer.control.zone_copies import ZoneCopies
from steer.decide.movement_report import movement_json, movement_table, share_text
from steer.errors import Fault, Refused
from steer.model.demand import DemandRows, DemandView
from steer.model.deployment import Deployment
from steer.publish.deployments import StoredDeployment
from steer.publish.format import BadPart
from steer.publish.store import Store
from steer.telemetry.demand import BadDemand, unpacked

SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%", re.ASCII)
Progress = Callable[[str], None]
Demand = Mapping[DemandView, DemandRows]


@dataclass(frozen=True, slots=True)
class Told:
    """A version and what it is, in words."""

    version: Version
    words: str


async def plan(
    directories: tuple[Path, ...],
    environment: Mapping[str, str],
    demand: Demand,
    progress: Progress,
    *,
    with_steps: bool = False,
) -> dict[str, Any]:
    """What changes from the first directory to the second, or from what serves to the only one; as JSON.
    `with_steps`: also what each cause moves.

    Paths are absolute. Raises Refused where a directory is, or where nothing has served yet."""
    with tempfile.TemporaryDirectory(prefix="steer-") as top:
        after = await _version(directories[-1], environment, progress)
        name_weights: Mapping[str, float] = {}
        state = None
        is_own = not demand  # no file: as the server counts
        if len(directories) == 2:
            before = Told(await _version(directories[0], environment, progress), str(directories[0]))
        else:
            state = await _state(directories[0], environment)
            before = await asyncio.to_thread(_serving, directories[0], after, state, environment, Path(top))
            demand = demand or await asyncio.to_thread(_counted, after.deployment, environment)
            name_weights = names_asked(state) if state else {}
        comparison = Comparison(before.version, after, demand, name_weights)
        found: dict[str, Any] | None = None
        if state and is_own and (state.get("held") or {}).get("hash") == after.hash:
            found = await _measured_by_server(directories[0], after, environment)
        if found is None:
            found = await asyncio.to_thread(_measured, comparison, progress)
        why = causes(before.version, after)
        way: list[dict[str, Any]] = []
        if with_steps:

            async def measured(one: Comparison) -> dict[str, Any]:
                return await asyncio.to_thread(_measured, one, progress)

            async def mapped(deployment: Deployment) -> MapFile:
                inputs = Inputs(deployment, (), {})
                assert after.databases is not None, "those of a directory are at hand"
                return await map_of(inputs, after.databases, environment, progress)

            way = await steps(comparison, why, mapped, measured)
        return {
            "before": _told(before),
            "after": _told(Told(after, str(directories[-1]))),
            "causes": why,
            "steps": way,
            **found,
        }


def plan_text(body: Mapping[str, Any]) -> Iterator[str]:
    """The lines for people."""
    for key, word in (("before", "from"), ("after", "to")):
        side = body[key]
        yield f"{word:<5} {side['what']}"
        yield f"      hash {side['hash']} (policy {side['policy'][:12]}, map {side['map'][:12]})"
    yield f"what changed: {', '.join(body['causes']) or 'nothing'}"
    if body["steps"]:
        way = ", then ".join(f"{step['cause']} {share_text(step['moved'])}" for step in body["steps"])
        yield f"one after another: {way}; all together {share_text(body['moved'])}"
    yield ""
    yield from movement_table(body)
    answers = [body[key]["answers"] for key in ("before", "after")]
    yield f"answers that names can give: {answers[0]:,} > {answers[1]:,}"
    guard = body["after"]["max_moved"]
    if guard is not None and body["moved"] > guard:
        yield (
            f"the guard lets {share_text(guard)} pass: after a look at this, take it by "
            f"`steer apply {body['after']['what']} --force {body['after']['hash']}`"
        )


def causes(before: Version, after: Version) -> list[str]:
    """Which inputs of the answers differ; several may."""
    old, new = before.deployment, after.deployment
    found = []
    if _policies(old) != _policies(new):
        found.append("policy")
    if old.services != new.services:
        found.append("POPs")
    if old.deployment_key != new.deployment_key:
        found.append("the key of shares")
    if list(before.map_file.databases.values()) != list(after.map_file.databases.values()):
        found.append("geodata")
    if evidence_of(before.map_file) != evidence_of(after.map_file):
        found.append("evidence")
    return found


def share_of(text: str) -> float:
    """0..1 of a text such as `5%`. Raises Refused."""
    match = SHARE.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else 2.0
    if share > 1:
        wrong = f"{text[:40]!r} is not a share"
        raise Refused([Fault("--fail-above", 0, 0, wrong, "write a percentage, such as 5%")])
    return share


def names_asked(state: Mapping[str, Any]) -> dict[str, float]:
    """How often each name was answered, from a server's state. One more than were counted, so that the first
    query after a start is not all that counts."""
    return {
        answer["labels"][1]: answer["count"] + 1.0
        for answer in state["answers"]
        if answer["labels"][0] == "name"
    }


def _measured(comparison: Comparison, progress: Progress) -> dict[str, Any]:
    try:
        return movement_json(measure(comparison, progress))
    except (OSError, BadPart) as error:
        fix = "let `steer plan` read the state directory, or run it again"
        raise Refused([Fault("map", 0, 0, f"a map cannot be read: {error}", fix)]) from error


async def _measured_by_server(
    directory: Path, after: Version, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """What the server's guard measured of this very version; None where it did not."""
    api = await asyncio.to_thread(api_of, directory, environment)
    found = await ask_server(api, directory, "/v1/movement", {})
    movement = found["movement"] if found else None
    return movement if movement and movement["hash"] == after.hash else None


async def _version(directory: Path, environment: Mapping[str, str], progress: Progress) -> Version:
    inputs = await asyncio.to_thread(read_inputs, directory)
    copies = ZoneCopies(_no_time, Store(state_directory(directory, inputs.deployment.server, environment)))
    inputs = replace(inputs, deployment=await asyncio.to_thread(copies.lay, inputs.deployment))
    databases = await asyncio.to_thread(find_databases, inputs.deployment, cache_directory(environment))
    return Version(inputs.deployment, await map_of(inputs, databases, environment, progress), databases)


def _no_time() -> float:
    return 0.0


async def _state(directory: Path, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What the running server of this directory says of itself; None where none answers."""
    api = await asyncio.to_thread(api_of, directory, environment)
    return await ask_server(api, directory, "/v1/state", {})


def _serving(
    directory: Path,
    after: Version,
    state: Mapping[str, Any] | None,
    environment: Mapping[str, str],
    top: Path,
) -> Told:
    """What the running server serves, from its store; where none runs, what served last."""
    place = state_directory(directory, after.deployment.server, environment)
    store = Store(place)
    if state is None:
        stored = store.deployments.current()
        words = "what served here last (no server answers)"
    else:
        hashes = state["hashes"]
        words = f"the running server {state['node']['id']}"
        if (hashes["policy"], hashes["map"]) == (
            after.deployment.policy_hash,
            after.map_file.identity.hex(),
        ):
            return Told(after, words)
        stored = next((each for each in store.deployments.history() if _is(each, hashes)), None)
    if stored is None:
        wrong = "nothing of what serves is in its store" if state else "nothing has served here yet"
        fix = "give two directories, `steer plan OLD NEW`; or let this user read the store"
        raise Refused([Fault(str(place), 0, 0, wrong, fix)])
    map_file = stored_map(store.maps, stored.map_identity)
    if map_file is None:
        fix = "give two directories, `steer plan OLD NEW`"
        raise Refused([Fault(str(store.maps), 0, 0, "the map that serves cannot be read", fix)])
    return Told(Version(read_stored(store, stored, top), map_file, None), words)


def _counted(deployment: Deployment, environment: Mapping[str, str]) -> Demand:
    """What the server of this directory has counted, as it was last saved; empty where that is too little, or
    cannot be read."""
    data = Store(state_directory(deployment.directory, deployment.server, environment)).demand()
    try:
        counted = unpacked(data)
    except BadDemand:
        return {}
    return counted.rows() if counted.total >= DEMAND_QUERIES_MIN else {}


def read_stored(store: Store, stored: StoredDeployment, top: Path) -> Deployment:
    """A stored deployment, from a copy below `top`. Raises Refused."""
    try:
        inputs = read_inputs(store.deployments.copy(stored, top), is_stored=True)
    except (OSError, shutil.Error) as error:
        fix = "let this user read the store, or give two directories"
        raise Refused([Fault(str(store.directory), 0, 0, f"cannot be read: {error}", fix)]) from error
    return replace(inputs.deployment, policy_hash=stored.policy_hash)


def _is(stored: StoredDeployment, hashes: Mapping[str, str]) -> bool:
    return (stored.policy_hash, stored.map_identity.hex()) == (hashes["policy"], hashes["map"])


def _policies(deployment: Deployment) -> list[object]:
    return [(zone.apex, zone.names, zone.policies, zone.experiments) for zone in deployment.zones]


def _told(told: Told) -> dict[str, Any]:
    version = told.version
    deployment = version.deployment
    counts, _ = count_answers(deployment, version.map_file.plans)
    of_zone = [counts[zone.apex] for zone in deployment.zones]
    return {
        "what": told.words,
        "hash": version.hash,
        "policy": deployment.policy_hash,
        "map": version.map_file.identity.hex(),
        "max_moved": deployment.max_moved,
        "answers": sum(
            answers_max(zone) if count is None else count
            for zone, count in zip(deployment.zones, of_zone, strict=True)
        ),
    }
