"""The demo's clients: a few networks, how far they are from each POP, and where "BGP" takes them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import numpy as np

from steer.decide.distance import distances_km
from steer.model.evidence import DistanceModel
from steer.model.service import Address, Prefix, Service

ADDED_MS_MAX = 2000.0


@dataclass(frozen=True, slots=True)
class DemoNetwork:
    """A network of clients. `name`: also the host below `localhost` under which its browser looks at pages;
    `hauled_to`: the POP to which "BGP" takes its anycast packets when the demo starts, '' where it has
    sense."""

    name: str
    prefix: Prefix
    where: str
    latitude_deg: float
    longitude_deg: float
    hauled_to: str = ""

    @property
    def client(self) -> Address:
        """One of its clients."""
        return self.prefix.network_address + 7


NETWORKS = (
    DemoNetwork("osaka", ip_network("133.1.0.0/24"), "Osaka", 34.69, 135.50),
    DemoNetwork("amsterdam", ip_network("193.0.6.0/24"), "Amsterdam", 52.37, 4.90),
    DemoNetwork("saopaulo", ip_network("200.160.2.0/24"), "Sao Paulo", -23.55, -46.63),
    DemoNetwork("seoul", ip_network("1.208.0.0/24"), "Seoul", 37.57, 126.98, hauled_to="fra"),
)


@dataclass(slots=True)
class DemoRouting:
    """How packets go in the demo. `hauled`: network -> the POP to which "BGP" takes its anycast packets,
    whatever the catchment says; `added_ms`: (network, POP) -> what is added to their RTT, on top of what the
    distance makes."""

    service: Service
    networks: tuple[DemoNetwork, ...] = NETWORKS
    hauled: dict[str, str] = field(default_factory=dict)
    added_ms: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for network in self.networks:
            if network.hauled_to in self.service.pops:
                self.hauled.setdefault(network.name, network.hauled_to)

    def network_of(self, text: str) -> DemoNetwork | None:
        """The network of that name, or of an address; None: of neither."""
        for network in self.networks:
            if network.name == text:
                return network
        try:
            address = ip_address(text)
        except ValueError:
            return None
        return next((each for each in self.networks if _is_in(address, each.prefix)), None)

    def rtt_ms(self, network: DemoNetwork, pop: str) -> float:
        """Round trip from a network to a POP."""
        km = _distances(self.service, network)[pop]
        return DistanceModel().rtt_ms(km) + self.added_ms.get((network.name, pop), 0.0)

    def anycast_pop(self, network: DemoNetwork, usable: Iterable[str]) -> str | None:
        """The POP that serves the network's anycast packets: the one that it is hauled to, else that of the
        catchment file, else the nearest; of those that still announce. None: there is none."""
        able = set(usable)
        known = [
            (prefix.prefixlen, pop)
            for prefix, pop in self.service.catchment
            if _is_in(network.prefix.network_address, prefix)
        ]
        distances = _distances(self.service, network)
        nearest = sorted(distances, key=lambda pop: (distances[pop], pop))
        wanted = [self.hauled.get(network.name), *(pop for _, pop in sorted(known, reverse=True)), *nearest]
        return next((pop for pop in wanted if pop in able), None)


ROUTE_ORDERS = {
    "haul": "haul NETWORK POP",
    "release": "release NETWORK",
    "delay": "delay NETWORK POP MS",
}


def reroute(routing: DemoRouting, words: Sequence[str]) -> str:
    """Carry out an order on how packets go; says what came of it. Raises ValueError with what is right
    instead."""
    order = words[0] if words else ""
    if order not in ROUTE_ORDERS or len(words) != len(ROUTE_ORDERS[order].split()):
        raise ValueError(f"write {' or '.join(f'`{form}`' for form in ROUTE_ORDERS.values())}")
    network = routing.network_of(words[1])
    if network is None:
        raise ValueError(
            f"no network {words[1]!r}; there are {', '.join(each.name for each in routing.networks)}"
        )
    if order == "release":
        routing.hauled.pop(network.name, None)
        routing.added_ms = {key: ms for key, ms in routing.added_ms.items() if key[0] != network.name}
        return f"{network.name}: as BGP and distance have it"
    pop = words[2]
    if pop not in routing.service.pops:
        raise ValueError(f"no POP {pop!r}; there are {', '.join(routing.service.pops)}")
    if order == "haul":
        routing.hauled[network.name] = pop
        return f"{network.name}: anycast takes it to {pop}, {routing.rtt_ms(network, pop):.0f} ms away"
    added_ms = float(words[3])
    if not 0 <= added_ms <= ADDED_MS_MAX:
        raise ValueError(f"{added_ms:g} ms is not from 0 to {ADDED_MS_MAX:g}")
    routing.added_ms[network.name, pop] = added_ms
    return f"{network.name}: {pop} is {routing.rtt_ms(network, pop):.0f} ms away"


def _distances(service: Service, network: DemoNetwork) -> Mapping[str, float]:
    pops = list(service.pops.values())
    km = distances_km(
        np.array([network.latitude_deg]),
        np.array([network.longitude_deg]),
        np.array([pop.latitude_deg for pop in pops]),
        np.array([pop.longitude_deg for pop in pops]),
    )[0]
    return {pop.name: float(each) for pop, each in zip(pops, km, strict=True)}


def _is_in(address: Address, prefix: Prefix) -> bool:
    return address.version == prefix.version and address in prefix
