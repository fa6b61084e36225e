"""The product under simulation: a policy directory for the world's POPs, the map built from it by the
product's own code, and what that map answers every unit and every resolver while all POPs are up.

Files only in a directory given; otherwise pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steer.control.inputs import read_inputs
from steer.decide.map_builder import build_map
from steer.decide.segments import Geography
from steer.decide.verdict_layers import VerdictKey
from steer.lab.schemes import Answers
from steer.lab.simulate_targets import TargetColumns
from steer.lab.world import World
from steer.model.deployment import Deployment
from steer.model.evidence import Summary, Verdicts
from steer.model.hashing import hash_prefix, rendezvous_cost, rendezvous_winner, siphash24
from steer.model.map import BuiltMap
from steer.model.networks import FAMILIES, Family, Places
from steer.model.policy import AutoSettings, Tolerance
from steer.publish.map_sweep import MapSweep, sweep_built

Progress = Callable[[str], None]

ZONE = "cdn.example"
SERVICE = "default"
HOLDOUT_SUM = 10_000
CORRECTED = "corrected"  # the policy and its name
RESOLVER_BITS: dict[int, int] = {4: 24, 6: 48}  # without ECS a unit is the resolver's /24 or /48
_HASHED_BITS = 64
_ZONEFILE = """$ORIGIN cdn.example.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.53
"""


@dataclass(frozen=True, slots=True)
class Askers:
    """Who is looked up: keys of units or of resolvers. `domain`: `c` for client units, `r` for resolvers."""

    family: NDArray[np.uint8]
    start: NDArray[np.uint64]
    domain: str


@dataclass(slots=True)
class Product:
    """A deployment and what its maps answer. The hashes of shares are remembered: they never change."""

    deployment: Deployment
    columns: TargetColumns
    units: Askers
    resolvers: Askers
    _costs: dict[tuple[str, str, int, int, int], int] = field(default_factory=dict)

    def build(
        self,
        geography: Mapping[Family, Geography],
        places: Places,
        summary: Summary,
        verdicts: Mapping[VerdictKey, Verdicts],
        progress: Progress,
    ) -> BuiltMap:
        """The map over these networks with these verdicts on the summary's groups."""
        evidence = {SERVICE: summary}
        built, _ = build_map(
            self.deployment, geography.__getitem__, places, progress, evidence, None, verdicts
        )
        return built

    def key(self, policy: str) -> VerdictKey:
        """On what a policy's verdicts depend."""
        return VerdictKey.of(self.deployment.services[SERVICE], self.deployment.zones[0].policies[policy])

    def answers(self, built: BuiltMap, sweep: MapSweep, policy: str) -> Answers:
        """What a policy's name answers everyone, all POPs up."""
        by_resolver, by_client = (partition_of(built, policy, ecs=ecs) for ecs in (False, True))
        return Answers(
            self._told(built, sweep, by_client, self.units),
            self._told(built, sweep, by_resolver, self.resolvers),
        )

    def held_out(self, askers: Askers, share: float, bits: tuple[int, int]) -> NDArray[np.bool_]:
        """Which askers a policy's holdout of `share` keeps on anycast, if anything overrides them; `bits`: of
        its units in IPv4 and IPv6."""
        held = np.zeros(len(askers.start), dtype=np.bool_)
        weights = [
            (f"auto:{CORRECTED}", round((1 - share) * HOLDOUT_SUM)),
            (f"holdout:{CORRECTED}", round(share * HOLDOUT_SUM)),
        ]
        if share <= 0:
            return held
        for row in range(len(held)):
            unit = self._unit(askers, row, bits)
            pairs = [(self._cost(text, askers.domain, *unit), weight) for text, weight in weights]
            held[row] = rendezvous_winner(pairs) == 1
        return held

    def _told(self, built: BuiltMap, sweep: MapSweep, partition: int, askers: Askers) -> NDArray[np.int16]:
        plan = np.zeros(len(askers.start), dtype=np.int64)
        for family in FAMILIES:
            mine = askers.family == family
            plan[mine] = sweep.plan_at(partition, family, askers.start[mine])
        plans = built.plans
        weighted = np.flatnonzero(plans.alternative_count[plan] > 0)
        plan[weighted] = [self._winner(built, int(plan[row]), askers, row) for row in weighted.tolist()]
        column = {name: number for number, name in enumerate(self.columns.names)}
        number_of = np.array(
            [column[text] for _, text in plans.targets] + [self.columns.anycast], dtype=np.int16
        )
        told: NDArray[np.int16] = number_of[plans.plan_targets[plan, 0]]
        return told

    def _winner(self, built: BuiltMap, plan: int, askers: Askers, row: int) -> int:
        """The alternative that one asker's unit takes, as the engine finds it (docs/snapshot_format.md)."""
        plans = built.plans
        unit = self._unit(askers, row, (int(plans.unit4_bits[plan]), int(plans.unit6_bits[plan])))
        first = int(plans.alternative_offset[plan])
        rows = plans.alternatives[first : first + int(plans.alternative_count[plan])].tolist()
        costs = [(self._cost(plans.texts[text], askers.domain, *unit), weight) for weight, _, text in rows]
        return int(rows[rendezvous_winner(costs)][1])

    @staticmethod
    def _unit(askers: Askers, row: int, bits_of: tuple[int, int]) -> tuple[int, int, int]:
        """Family, bits and key of an asker's unit."""
        family, start = int(askers.family[row]), int(askers.start[row])
        bits = RESOLVER_BITS[family] if askers.domain == "r" else bits_of[family == 6]
        return family, bits, start >> _HASHED_BITS - bits << _HASHED_BITS - bits

    def _cost(self, text: str, domain: str, family: int, bits: int, unit: int) -> int:
        key = (text, domain, family, bits, unit)
        if key not in self._costs:
            address = IPv6Address(unit << 64) if family == 6 else IPv6Address(0xFFFF << 32 | unit >> 32)
            message = hash_prefix("weight", text) + domain.encode() + bytes((bits,)) + address.packed
            self._costs[key] = rendezvous_cost(siphash24(self.deployment.deployment_key, message))
        return self._costs[key]


def make_product(
    world: World, columns: TargetColumns, directory: Path, settings: AutoSettings, tolerance: Tolerance
) -> Product:
    """Write a policy directory for the world's POPs, and read it as a server would."""
    write_directory(world, directory)
    deployment = read_inputs(directory).deployment
    zone = deployment.zones[0]
    policies = {CORRECTED: replace(zone.policies[CORRECTED], auto=settings, tolerance=tolerance)}
    deployment = replace(deployment, zones=(replace(zone, policies=policies),))
    units = Askers(world.units.family, world.units.start, "c")
    resolvers = Askers(np.full(len(world.resolvers), 4, dtype=np.uint8), world.resolvers.start, "r")
    return Product(deployment, columns, units, resolvers)


def write_directory(world: World, directory: Path) -> None:
    """A deployment of one zone: every POP and region of the world, and a name for each policy."""
    lines = ['anycast: {ipv4: [192.0.2.1], ipv6: ["2001:db8::1"]}', "regions:"]
    for number, name in enumerate(world.regions):
        lines.append(f"  {name}: {_addresses(IPv4Address('192.0.2.10') + number, '2001:db8::10', number)}")
    lines.append("pops:")
    for number, pop in enumerate(world.pops):
        place = f"location: [{pop.latitude_deg:.4f}, {pop.longitude_deg:.4f}], region: {pop.region}"
        own = _addresses(IPv4Address("198.18.0.1") + number, "2001:db8:1::1", number)
        lines.append(f"  {pop.name}: {{{place}, {own[1:]}")
    zone = [f"zone: {ZONE}", f"zonefile: {ZONE}.zone", "names:"]
    zone += [f"  {CORRECTED}: {{policy: {CORRECTED}, ttl: 60s}}"]
    zone += ["policies:", f"  {CORRECTED}: {{rules: [{{answer: auto}}]}}"]
    steer = {"node": {"id": "simulated"}, "listen": ["127.0.0.1:5353"], "pops": "pops.yaml"}
    files = {
        "steer.yaml": json.dumps({**steer, "zones": [f"{ZONE}.yaml"]}),
        "pops.yaml": "\n".join(lines) + "\n",
        f"{ZONE}.yaml": "\n".join(zone) + "\n",
        f"{ZONE}.zone": _ZONEFILE,
    }
    for name, text in files.items():
        (directory / name).write_text(text)


def _addresses(ipv4: IPv4Address, ipv6: str, number: int) -> str:
    return f'{{ipv4: [{ipv4}], ipv6: ["{IPv6Address(ipv6) + number}"]}}'


def partition_of(built: BuiltMap, policy: str, *, ecs: bool) -> int:
    """The partition of a policy's queries with ECS or without."""
    return int(built.views[[name for _, name, _ in built.slots].index(policy), 0, int(ecs)])


@dataclass(slots=True)
class ByMap:
    """Answers as a nameserver gives them: from a map built at each learning, over the units' own networks.
    `summary`: whose groups the verdicts are on."""

    product: Product
    geography: Mapping[Family, Geography]
    places: Places
    summary: Summary

    def steer(self, verdicts: Verdicts) -> Answers:
        """What everyone is told."""
        known = {self.product.key(CORRECTED): verdicts}
        built = self.product.build(self.geography, self.places, self.summary, known, lambda text: None)
        return self.product.answers(built, sweep_built(built), CORRECTED)
