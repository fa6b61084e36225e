"""`steer check`: read everything, look for what is hardly meant, and run the policy's own tests on the
engine."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.name
import dns.rdatatype

from steer.control.api_token import token_warnings
from steer.control.check_summary import count_answers, summary_of
from steer.control.client import ask_server
from steer.control.directories import cache_directory
from steer.control.evidence_check import evidence_warnings
from steer.control.explain import DEFAULT_RESOLVER, Question, World, ask
from steer.control.inputs import find_databases, read_inputs, read_overrides_in
from steer.control.last_good import api_of
from steer.control.offline import Offline, load_offline, map_of
from steer.errors import Fault, Refused
from steer.model.deployment import Overrides, Zone
from steer.model.policy import PolicyTest
from steer.model.service import Service, Target
from steer.model.status import PopHealth, PopState

States = dict[tuple[str, str], PopHealth]

log = logging.getLogger("steer.check")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. No fault: the deployment would serve. `summary`: one line a fact."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    summary: tuple[str, ...]


async def check(directory: Path, environment: Mapping[str, str], progress: Callable[[str], None]) -> Checked:
    """Check a policy directory (an absolute path) whole; faults are found, not raised."""
    try:
        offline = await load_offline(directory, environment, progress)
    except Refused as refused:
        return await _with_faults_behind(refused, directory, environment, progress)
    deployment, plans = offline.serving.deployment, offline.serving.map_file.plans
    failed = run_tests(offline)
    answers, too_many = count_answers(deployment, plans)
    tests = sum(len(zone.tests) for zone in deployment.zones)
    held = await _held(directory, environment)
    summary = (
        *summary_of(deployment, plans, answers, time.time()),
        f"{tests - len(failed)} of {tests} tests hold ({offline.form.name} engine)",
        *held,
    )
    measured = await asyncio.to_thread(evidence_warnings, deployment, time.time())
    tokens = token_warnings(deployment.server.api_token_file)
    warnings = (*offline.serving.inputs.warnings, *tokens, *measured)
    return Checked((*too_many, *failed), warnings, summary)


async def _held(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Why the running server of this directory, where there is one, holds a version."""
    api = await asyncio.to_thread(api_of, directory, environment)
    state = await ask_server(api, directory, "/v1/state", {})
    if not state or not state.get("held"):
        return []
    return [f"the running server: {fault['text']}" for fault in (state["pending"] or {}).get("faults", ())]


async def _with_faults_behind(
    refused: Refused, directory: Path, environment: Mapping[str, str], progress: Callable[[str], None]
) -> Checked:
    """What was refused, with what stands behind it: faults of overrides, databases and bounds, and warnings,
    as far as the rest can be read without DNSSEC keys."""
    faults, warnings = [*refused.faults], [*refused.warnings]
    inputs = None
    for skips_keys in (False, True):
        try:
            inputs = await asyncio.to_thread(read_inputs, directory, skips_keys=skips_keys)
        except Refused as again:
            faults += again.faults
            warnings += again.warnings
        else:
            warnings += inputs.warnings
            break
    try:
        await asyncio.to_thread(read_overrides_in, directory, inputs.deployment if inputs else None)
    except Refused as again:
        faults += again.faults
    if inputs is not None:
        try:
            databases = await asyncio.to_thread(
                find_databases, inputs.deployment, cache_directory(environment)
            )
            map_file = await map_of(inputs, databases, environment, progress)
            faults += count_answers(inputs.deployment, map_file.plans)[1]
        except Refused as again:
            faults += again.faults
    return Checked(tuple(sorted({*faults})), tuple(sorted({*warnings})), ())


def run_tests(offline: Offline) -> list[Fault]:
    """One fault for each of the policy's tests that does not hold: every POP is up but those that it says
    are down."""
    now_s = time.time()
    snapshots: dict[frozenset[str], tuple[States, Any]] = {}
    faults: list[Fault] = []
    for zone in offline.serving.deployment.zones:
        for test in zone.tests:
            if test.down not in snapshots:
                states = _states(offline, test.down, now_s)
                snapshots[test.down] = states, offline.snapshot(states, Overrides(), now_s)
            states, snapshot = snapshots[test.down]
            serving = offline.serving
            world = World(
                serving.deployment,
                serving.databases,
                states,
                (),
                (),
                snapshot,
                offline.form.name,
                now_s,
                "a test",
                map_file=serving.map_file,
            )
            faults += _run_test(world, zone, test)
    return faults


def _states(offline: Offline, down: frozenset[str], now_s: float) -> States:
    return {
        (service.name, pop): PopHealth(
            PopState.DOWN if pop in down else PopState.UP,
            "the test says so" if pop in down else "up in tests",
            now_s,
            now_s,
        )
        for service in offline.serving.deployment.services.values()
        for pop in service.pops
    }


def _run_test(world: World, zone: Zone, test: PolicyTest) -> Iterator[Fault]:
    """A fault where A or AAAA, or the CNAME, is not what the test expects."""
    name = next((each for each in zone.names if each.owner == test.owner), None)
    if name is None:
        return  # the reader has refused it already
    owner = test.owner.replace("*", "any", 1)
    full = zone.apex if owner == "@" else f"{owner}.{zone.apex}"
    service = world.deployment.services[name.service]
    resolver = test.resolver.network_address if test.resolver else ip_address(DEFAULT_RESOLVER)
    for rdtype, due in _due(service, Target.of(test.expect)):
        question = Question(dns.name.from_text(full), rdtype, test.client, resolver)
        given = [record["data"] for record in ask(world, question)["records"]]
        if sorted(given) != sorted(due):
            came = ", ".join(sorted({_target_behind(each, service) for each in given})) or "nothing"
            client = test.client or test.resolver
            down = f" with {', '.join(sorted(test.down))} down" if test.down else ""
            wrong = f"test: `{test.owner}` for {client}{down} comes to {came}, not to {test.expect}"
            why = f"steer explain {world.deployment.directory} {full} {rdtype.name} --client {client}"
            fix = f"change the policy or the test; `{why}` says why"
            where = test.location
            yield Fault(where.file, where.line, where.column, wrong, fix)
            return


def _due(service: Service, target: Target) -> list[tuple[dns.rdatatype.RdataType, list[str]]]:
    """What is answered for a target, by the type that is asked; a host stands for every type."""
    if target.kind == "cname":
        return [(dns.rdatatype.A, [f"{target.name}."])]
    addresses = service.addresses(target)
    found = [
        (dns.rdatatype.A, [str(each) for each in addresses.ipv4]),
        (dns.rdatatype.AAAA, [str(each) for each in addresses.ipv6]),
    ]
    return [(rdtype, due) for rdtype, due in found if due]


def _target_behind(data: str, service: Service) -> str:
    """The target that an address of an answer, or the host of a CNAME, belongs to; else what stands there."""
    if data.endswith("."):
        return str(Target("cname", data.removesuffix(".").lower()))
    for target in service.targets():
        addresses = service.addresses(target)
        if data in map(str, (*addresses.ipv4, *addresses.ipv6)):
            return str(target)
    return data
