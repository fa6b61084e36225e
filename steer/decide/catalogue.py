"""Every target of a deployment, numbered once; and the rankings of POPs and regions by distance. Pure."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import Near, Ranking, Sites, near_nearest, rank, within_km
from steer.decide.views import policy_of, slots
from steer.model.deployment import Deployment
from steer.model.map import NO_TARGET
from steer.model.networks import Places
from steer.model.policy import Policy
from steer.model.service import ANYCAST, Addresses, Pop, Service, Target


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Services by name; in each anycast, then regions, then POPs, then, where names of it are CNAMEs, every
    host. `index`: (service, target) -> number; `hosts`: the deployment's, sorted."""

    services: tuple[Service, ...]
    targets: tuple[tuple[str, Target], ...]
    index: dict[tuple[str, Target], int]
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, deployment: Deployment) -> "Catalogue":
        """Number the targets of a deployment."""
        ordered = tuple(service for _, service in sorted(deployment.services.items()))
        policies = [(slot.service, policy_of(deployment, slot)) for slot in slots(deployment)]
        hosts = sorted(frozenset().union(*(policy.cname_hosts for _, policy in policies)))
        has_cnames = {service for service, policy in policies if policy.gives_cname}
        targets = tuple(
            (service.name, target)
            for service in ordered
            for target in (
                *service.targets(),
                *(Target("cname", host) for host in (hosts if service.name in has_cnames else ())),
            )
        )
        return cls(ordered, targets, {target: number for number, target in enumerate(targets)}, tuple(hosts))

    def addresses(self) -> list[Addresses]:
        """The addresses of every target, in their order; a host has none."""
        by_name = {service.name: service for service in self.services}
        return [
            Addresses() if target.kind == "cname" else by_name[service].addresses(target)
            for service, target in self.targets
        ]

    @property
    def service_sizes(self) -> dict[str, int]:
        """How many targets each service has; they are numbered from its anycast address on."""
        sizes: dict[str, int] = {service.name: 0 for service in self.services}
        for name, _ in self.targets:
            sizes[name] += 1
        return sizes

    def service_index(self, name: str) -> int:
        """The service's number."""
        return next(number for number, service in enumerate(self.services) if service.name == name)


@dataclass(frozen=True, slots=True)
class RankingRequest:
    """What a ranking depends on; equal requests share one. `excluded`: POP names already tried."""

    service: str
    by: str
    keep: int
    excluded: frozenset[str]
    policy_pops: object
    families: str


@dataclass(slots=True)
class Rankings:
    """Rankings over all places, computed once per distinct request. Columns are target numbers.

    A `nearest` ranking keeps `keep` POPs and then the region of the first (-1 where it has none); a
    `nearest-region` ranking keeps `keep` regions, each as far as its nearest POP."""

    catalogue: Catalogue
    places: Places
    _known: dict[RankingRequest, Ranking] = field(default_factory=dict)
    _tables: dict[RankingRequest, NDArray[np.int32]] = field(default_factory=dict)
    _limits: dict[RankingRequest, NDArray[np.bool_]] = field(default_factory=dict)

    def nearest(self, service: Service, policy: Policy, excluded: frozenset[str]) -> Ranking:
        """POPs by distance."""
        request = RankingRequest(
            service.name, "nearest", policy.candidates, excluded, policy.pops, policy.families
        )
        if request not in self._known:
            pops = usable_pops(service, policy, excluded)
            sites = self._sites(service, policy, pops)
            found = rank(
                self.places.latitude_deg,
                self.places.longitude_deg,
                sites,
                policy.candidates,
                policy.pops.max_distance_km,
            )
            self._known[request] = self._with_region(found, service, policy)
        return self._known[request]

    def around(self, service: Service, policy: Policy, excluded: frozenset[str]) -> NDArray[np.int32]:
        """POPs by distance from each POP, shape (targets + 1, `keep` + 1): by the number of the POP that is
        started from; rows of other targets, and the last one, are all -1.

        The order in which clients whose nearest POP is that one fall back: so it depends on nothing else of
        their place. `max_distance_km` is no limit here."""
        request = RankingRequest(
            service.name, "around", policy.candidates, excluded, policy.pops, policy.families
        )
        if request not in self._tables:
            start = self._sites(service, policy, [pop for _, pop in sorted(service.pops.items())])
            sites = self._sites(service, policy, usable_pops(service, policy, excluded))
            found = rank(start.latitude_deg, start.longitude_deg, sites, policy.candidates, None)
            found = self._with_region(found, service, policy)
            table = np.full((len(self.catalogue.targets) + 1, found.rows.shape[1]), NO_TARGET, dtype=np.int32)
            table[start.column] = found.rows[found.row_of_place[:-1]]
            self._tables[request] = table
        return self._tables[request]

    def within_limit(self, service: Service, policy: Policy) -> NDArray[np.bool_]:
        """Which targets lie within the policy's `max_distance_km` of each place, shape (places + 1, targets +
        1): a POP by itself, a region by the nearest of its POPs; the unknown place, last, is within reach of
        all."""
        request = RankingRequest(service.name, "limit", 0, frozenset(), policy.pops, policy.families)
        if request not in self._limits:
            pops = [pop for _, pop in sorted(service.pops.items())]
            sites = self._sites(service, policy, pops)
            limit_km = np.inf if policy.pops.max_distance_km is None else policy.pops.max_distance_km
            reach = np.ones((len(self.places) + 1, len(self.catalogue.targets) + 1), dtype=np.bool_)
            inside = within_km(self.places.latitude_deg, self.places.longitude_deg, sites, limit_km)
            reach[:-1, sites.column] = inside
            for region in service.regions:
                members = [position for position, pop in enumerate(pops) if pop.region == region]
                number = self.catalogue.index[service.name, Target("region", region)]
                reach[:-1, number] = inside[:, members].any(axis=1)
            self._limits[request] = reach
        return self._limits[request]

    def near_nearest(self, service: Service, policy: Policy, excluded: frozenset[str]) -> Near:
        """Which POPs are, with their bias, no further than the policy's tolerance beyond the nearest one; by
        their place among the service's targets, in which 0 stands for none: the unknown place has that."""
        anycast, size = (
            self.catalogue.index[service.name, ANYCAST],
            self.catalogue.service_sizes[service.name],
        )
        sites = self._sites(service, policy, usable_pops(service, policy, excluded))
        return near_nearest(
            self.places.latitude_deg,
            self.places.longitude_deg,
            sites,
            sites.column - anycast,
            size,
            policy.tolerance.km,
        )

    def nearest_region(self, service: Service, policy: Policy) -> Ranking:
        """Regions by the distance of their nearest POP."""
        request = RankingRequest(
            service.name, "region", policy.candidates, frozenset(), policy.pops, policy.families
        )
        if request not in self._known:
            regions = [
                name
                for name, addresses in sorted(service.regions.items())
                if usable_addresses(addresses, service, policy)
            ]
            pops = [
                pop
                for pop in usable_pops(service, policy, frozenset(), regional=True)
                if pop.region in regions
            ]
            regions = sorted({pop.region for pop in pops if pop.region is not None})
            sites = self._sites(service, policy, pops)
            grouped = Sites(
                sites.latitude_deg,
                sites.longitude_deg,
                sites.bias_km,
                np.array([regions.index(pop.region or "") for pop in pops], dtype=np.int64),
                np.array(
                    [self.catalogue.index[service.name, Target("region", name)] for name in regions],
                    dtype=np.int32,
                ),
            )
            self._known[request] = rank(
                self.places.latitude_deg,
                self.places.longitude_deg,
                grouped,
                policy.candidates,
                policy.pops.max_distance_km,
            )
        return self._known[request]

    def _sites(self, service: Service, policy: Policy, pops: list[Pop]) -> Sites:
        bias = dict(policy.pops.bias_km)
        return Sites(
            np.array([pop.latitude_deg for pop in pops], dtype=np.float64),
            np.array([pop.longitude_deg for pop in pops], dtype=np.float64),
            np.array([bias.get(pop.name, 0.0) for pop in pops], dtype=np.float64),
            np.arange(len(pops)),
            np.array(
                [self.catalogue.index[service.name, Target("pop", pop.name)] for pop in pops], dtype=np.int32
            ),
        )

    def _with_region(self, found: Ranking, service: Service, policy: Policy) -> Ranking:
        region_of = np.full(len(self.catalogue.targets) + 1, -1, dtype=np.int32)  # last: of no target
        for pop in service.pops.values():
            if pop.region is not None and usable_addresses(service.regions[pop.region], service, policy):
                region_of[self.catalogue.index[service.name, Target("pop", pop.name)]] = self.catalogue.index[
                    service.name, Target("region", pop.region)
                ]
        return Ranking(np.column_stack([found.rows, region_of[found.rows[:, 0]]]), found.row_of_place)


def usable_pops(
    service: Service, policy: Policy, excluded: frozenset[str], *, regional: bool = False
) -> list[Pop]:
    """The POPs that a policy's geographic answers may give, by name. `regional`: a POP stands for its region,
    so its own addresses do not matter."""
    return [
        pop
        for name, pop in sorted(service.pops.items())
        if (policy.pops.only is None or name in policy.pops.only)
        and name not in policy.pops.excluded
        and name not in excluded
        and (regional or usable_addresses(pop.addresses, service, policy))
    ]


def usable_addresses(addresses: Addresses, service: Service, policy: Policy) -> bool:
    """With `families: both` a target must have every family that the service offers; with `each`, any."""
    has = (bool(addresses.ipv4), bool(addresses.ipv6))
    offered = (bool(service.anycast.ipv4), bool(service.anycast.ipv6))
    pairs = [mine for mine, theirs in zip(has, offered, strict=True) if theirs]
    return all(pairs) if policy.families == "both" else any(pairs)
