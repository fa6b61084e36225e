"""A CDN's addresses: services, their POPs and regions, and how their health is watched."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

Prefix = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
TargetKind = Literal["anycast", "region", "pop", "cname"]


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What can be answered: `anycast` (name empty), `region:NAME` or `pop:NAME`, within one service; or
    `cname:HOST`, lower case, without the last dot."""

    kind: TargetKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @classmethod
    def of(cls, text: str) -> "Target":
        """The target that `str` gave this text for."""
        kind, _, name = text.partition(":")
        return cls(kind, name)  # type: ignore[arg-type]


ANYCAST = Target("anycast")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one target, in the order in which they are answered; at most 16 of a family."""

    ipv4: tuple[IPv4Address, ...] = ()
    ipv6: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Pop:
    """One site. `latitude_deg` -90..90, `longitude_deg` -180..180; `status_url` None: taken to be up."""

    name: str
    latitude_deg: float
    longitude_deg: float
    addresses: Addresses
    region: str | None = None
    status_url: str | None = None


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How POPs are polled. 0 < timeout_s < interval_s; rise, fall >= 1; 0 < max_removed <= 1 is the share of
    capacity that may fall silent at once before the observer itself is suspect; `transition_ttl_s` is the TTL
    cap while a POP may be about to change."""

    interval_s: float = 5.0
    timeout_s: float = 2.0
    rise: int = 3
    fall: int = 3
    max_removed: float = 1 / 3
    transition_ttl_s: int = 10
    frozen_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """One set of anycast, regional and POP addresses. POPs and regions are sorted by name. The service offers
    the families of its anycast address; no other target has a family that the anycast address lacks."""

    name: str
    anycast: Addresses
    regions: dict[str, Addresses]
    pops: dict[str, Pop]
    health: HealthSettings = field(default_factory=HealthSettings)
    catchment: tuple[
        tuple[Prefix, str], ...
    ] = ()  # client prefix -> POP to which BGP delivers anycast packets

    def addresses(self, target: Target) -> Addresses:
        """The addresses of one of this service's targets. KeyError for a target it does not have, a host
        among them."""
        if target.kind == "anycast":
            return self.anycast
        if target.kind == "region":
            return self.regions[target.name]
        return self.pops[target.name if target.kind == "pop" else ""].addresses

    def targets(self) -> tuple[Target, ...]:
        """Every target of the service that has addresses: anycast, then regions, then POPs, each by name."""
        return (
            ANYCAST,
            *(Target("region", name) for name in sorted(self.regions)),
            *(Target("pop", name) for name in sorted(self.pops)),
        )
