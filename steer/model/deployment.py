"""A whole policy directory, read and proved: everything that `steer serve` needs to know."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from steer.model.dnssec import DnssecSettings
from steer.model.endpoint import Endpoint as Endpoint
from steer.model.evidence import EvidenceSettings
from steer.model.policy import Experiment, Policy, PolicyTest, SteeredName
from steer.model.primary import Primary
from steer.model.records import Labels, ZoneData
from steer.model.service import Prefix, Service, Target


@dataclass(frozen=True, slots=True)
class Node:
    """This nameserver: its id, and the POP in which it stands (if any). `arrivals`: the service that is
    announced as all its addresses are, so that who reaches it shows that service's catchment; None: none
    is."""

    id: str
    pop: str | None = None
    arrivals: str | None = None


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """DNS cookies (RFC 7873, 9018). `secrets`: 16 bytes each, at most 4; the first makes cookies, any
    verifies; empty: one is drawn at each start."""

    enabled: bool = True
    secrets: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Responses per second over UDP to one source prefix without a valid cookie; `per_second` 0: no limit.

    `burst`: responses at once; every `slip`-th limited response goes out truncated (0: none); `exempt`:
    prefixes that are never limited."""

    per_second: int = 2000
    burst: int = 4000
    slip: int = 2
    ipv4_bits: int = 24
    ipv6_bits: int = 56
    exempt: tuple[Prefix, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@dataclass(frozen=True, slots=True)
class Identity:
    """What this nameserver says of itself on the wire; '' : nothing. `nsid` (RFC 5001, at most 100 octets)
    None: the node's id and the hashes of what serves; `id_server` None: the node's id."""

    nsid: str | None = None
    id_server: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`threads` 0: one per processor. `user`: whom to become after binding. `udp_bytes` 512..4096."""

    listen: tuple[Endpoint, ...]
    api: Endpoint | None
    api_token_file: Path | None = None
    threads: int = 0
    user: str | None = None
    state_directory: Path | None = None  # snapshots, map cache; default: $STATE_DIRECTORY or the user's cache
    udp_bytes: int = 1232
    tcp_idle_s: float = 10.0
    tcp_total_s: float = 300.0
    tcp_connections: int = 1024
    tcp_per_prefix: int = 64
    cookies: CookieSettings = CookieSettings()
    rate_limit: RateLimit = RateLimit()
    identity: Identity = Identity()


@dataclass(frozen=True, slots=True)
class GeodataFiles:
    """City and ASN databases; empty: the packaged default."""

    city: tuple[Path, ...] = ()
    asn: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone: what is plain (`data`) and what is steered. `apex` is lower-case text without the last
    dot. `explain_name`: relative to the apex, below which the steered names explain themselves in TXT; None:
    nowhere. `dnssec`: how it is signed, and its keys; None: it is not.

    `primaries`: whom `data` is transferred from, in order; none: a master file says it. `transferred`: the
    SHA-256 hex of the copy that it comes from; '' as long as there is none, and `data` a stand-in that is
    never answered. `left_out`: what of the copy `data` lacks, one line each."""

    apex: str
    data: ZoneData
    names: tuple[SteeredName, ...]
    policies: dict[str, Policy]
    experiments: dict[str, Experiment]
    tests: tuple[PolicyTest, ...] = ()
    explain_name: str | None = None
    dnssec: DnssecSettings | None = None
    primaries: tuple[Primary, ...] = ()
    transferred: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def explain_apex(self) -> Labels | None:
        """Below which its names explain themselves; None: nowhere."""
        if self.explain_name is None:
            return None
        return (*self.explain_name.encode("ascii").split(b"."), *self.data.apex)

    @property
    def is_waiting(self) -> bool:
        """Whether it has no data yet."""
        return bool(self.primaries) and not self.transferred

    def labels_of(self, name: SteeredName) -> Labels:
        """The owner of one of its names, absolute."""
        below = () if name.owner == "@" else tuple(name.owner.lower().encode("ascii").split(b"."))
        return (*below, *self.data.apex)

    def policies_of(self, name: SteeredName) -> tuple[Policy, ...]:
        """The policy of one of its names, or those of its experiment's arms, in order."""
        if name.policy is not None:
            return (self.policies[name.policy],)
        return tuple(self.policies[arm.policy] for arm in self.experiments[name.experiment or ""].arms)

    def gives_cname(self, name: SteeredName) -> bool:
        """Whether a name of its is a CNAME for every client; a reader has refused what is both."""
        return any(policy.gives_cname for policy in self.policies_of(name))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A policy directory as one value. `files`: every file read -> SHA-256 hex of its bytes, for the hash
    shown and for watching; `deployment_key`: 16 bytes, the key of all shares. `max_moved`: the share of
    demand (0..1) that a reload may move by itself, None: any; `rollout_nodes`: those that take this directory
    up first, the others wait; empty: all do."""

    directory: Path
    node: Node
    server: ServerSettings
    geodata: GeodataFiles
    services: dict[str, Service]
    zones: tuple[Zone, ...]
    deployment_key: bytes
    files: dict[Path, str] = field(default_factory=dict)
    policy_hash: str = ""
    max_moved: float | None = None
    rollout_nodes: tuple[str, ...] = ()
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)


@dataclass(frozen=True, slots=True)
class ForcedTarget:
    """Break-glass: `scope` is `all`, a zone's apex or a full name; `target` beats every rule until
    `expires_s` (Unix seconds; None: until it is taken back)."""

    scope: str
    target: Target
    reason: str
    expires_s: float | None

    @property
    def gives_cname(self) -> bool:
        """Whether it is for names that are CNAMEs; else for those that give addresses, and for no others."""
        return self.target.kind == "cname"


@dataclass(frozen=True, slots=True)
class Drain:
    """A POP taken out by the operator; `service` None: in every service."""

    pop: str
    service: str | None
    reason: str
    expires_s: float | None


@dataclass(frozen=True, slots=True)
class Overrides:
    """What `overrides.yaml` holds; expired lines have no effect."""

    forced: tuple[ForcedTarget, ...] = ()
    drains: tuple[Drain, ...] = ()
