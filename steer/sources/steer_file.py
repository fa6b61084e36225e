"""`steer.yaml`: this nameserver, what it listens on, and which files make up the deployment."""

from dataclasses import dataclass
from pathlib import Path

from steer.model.deployment import Endpoint, GeodataFiles, Node, ServerSettings
from steer.model.evidence import EvidenceSettings
from steer.model.policy import Location
from steer.sources.addresses import endpoint
from steer.sources.change_fields import read_guard, read_rollout
from steer.sources.evidence_fields import read_evidence
from steer.sources.fields import Fields, Parser, listed, read_fields
from steer.sources.located_yaml import Faults, quoted
from steer.sources.located_yaml import Node as YamlNode
from steer.sources.reading import Reading, any_path, file_path
from steer.sources.scalars import Wrong, integer, name, scalar, text
from steer.sources.server_settings import read_cookies, read_identity, read_rate_limit, read_tcp

FILE_NAME = "steer.yaml"
STEER_KEYS = {
    "node": "{id: fra1, pop: fra}",
    "listen": '["127.0.0.1:5353", "[::1]:5353"]',
    "pops": "pops.yaml",
    "zones": "[cdn.example.yaml]",
    "api": "127.0.0.1:8053",
    "api_token_file": "api.token",
    "geodata": "{city: city.mmdb, asn: asn.mmdb}",
    "deployment": "example-cdn",
    "key_file": "shares.key",
    "threads": "2",
    "user": "steer",
    "state_directory": "/var/lib/steer",
    "udp_bytes": "1232",
    "tcp": "{idle: 10s, connections: 1024, per_prefix: 64, total: 300s}",
    "cookies": "{enabled: true, secrets: cookie.secrets}",
    "rate_limit": "{per_second: 2000, burst: 4000}",
    "identity": "{nsid: fra1, version: false}",
    "guard": "{max_moved: 20%}",
    "rollout": "{nodes: [fra1]}",
    "evidence": "{beacon: {name: b.cdn.example}}",
}
NODE_KEYS = {"id": "fra1", "pop": "fra", "arrivals": "default"}
GEODATA_KEYS = {"city": "city.mmdb", "asn": "asn.mmdb"}

KEY_HEX_DIGITS = 32
_LARGEST_KEY_FILE_BYTES = 1 << 20  # more than any key, so that a wrong file is called by its name


@dataclass(frozen=True, slots=True)
class SteerFile:
    """What `steer.yaml` says. `zones`: each file and where it is named. `key`: 16 bytes from `key_file`;
    `deployment`: the name from which the key is made otherwise; both None: it is made from the zones."""

    node: Node
    node_at: Location
    server: ServerSettings
    geodata: GeodataFiles
    pops: Path | None
    pops_at: Location
    zones: tuple[tuple[Path, Location], ...]
    key: bytes | None
    deployment: str | None
    evidence: EvidenceSettings
    evidence_at: Location
    max_moved: float | None = None
    rollout_nodes: tuple[str, ...] = ()


def read_steer_file(path: Path, reading: Reading) -> SteerFile | None:
    """Read `steer.yaml`; None where it is no mapping. Faults go to `reading`; faulty parts get stand-ins, so
    that the files named here are read all the same."""
    root = reading.yaml_of(path, Location(str(path)))
    fields = None if root is None else read_fields(root, STEER_KEYS, reading.faults, f"`{FILE_NAME}`")
    if fields is None:
        return None
    node = fields.required("node", _read_node)
    listen = fields.required("listen", listed(endpoint(), STEER_KEYS["listen"], at_most=64))
    pops = fields.required("pops", file_path(path, "pops.yaml"))
    zones = fields.required("zones", listed(_located(path), STEER_KEYS["zones"], at_most=1000))
    server = _read_server(fields, path, listen or (), reading)
    geodata = fields.optional(
        "geodata", lambda value, faults: _read_geodata(value, faults, path), GeodataFiles()
    )
    key, deployment = _read_key(fields, path, reading)
    if listen is not None and len(set(listen)) != len(listen):
        reading.faults.add(
            fields.location("listen"), "an address stands twice", "list each address and port once"
        )
    if zones is not None and len({file for file, _ in zones}) != len(zones):
        reading.faults.add(fields.location("zones"), "a zone file stands twice", "list each file once")
    return SteerFile(
        node=node or Node(""),
        node_at=fields.location("node"),
        server=server,
        geodata=geodata,
        pops=pops,
        pops_at=fields.location("pops"),
        zones=tuple({file: (file, at) for file, at in zones or ()}.values()),
        key=key,
        deployment=deployment,
        max_moved=fields.optional("guard", read_guard, None),
        rollout_nodes=fields.optional("rollout", read_rollout, ()),
        evidence=fields.optional("evidence", read_evidence(path), EvidenceSettings()),
        evidence_at=fields.location("evidence"),
    )


def _read_node(value: YamlNode, faults: Faults) -> Node | None:
    fields = read_fields(value, NODE_KEYS, faults, "`node`")
    if fields is None:
        return None
    node_id = fields.required("id", text("a node's id", 64, "fra1"))
    pop = fields.optional("pop", name("a POP", "fra"), None)
    arrivals = fields.optional("arrivals", name("a service", "default"), None)
    if arrivals is not None and pop is None:
        fix = "say in which `pop` it stands, or leave `arrivals` out"
        faults.add(fields.location("arrivals"), "arrivals at a nameserver that stands in no POP", fix)
    return None if node_id is None else Node(node_id, pop, arrivals)


def _read_server(
    fields: Fields, path: Path, listen: tuple[Endpoint, ...], reading: Reading
) -> ServerSettings:
    default = ServerSettings(listen, None)
    tcp = fields.optional("tcp", read_tcp, default)
    return ServerSettings(
        listen=listen,
        api=fields.optional("api", endpoint(), None),
        api_token_file=fields.optional("api_token_file", file_path(path, "api.token"), None),
        threads=fields.optional("threads", integer(0, 256, 2), default.threads),
        user=fields.optional("user", scalar(_user_name, "steer"), None),
        state_directory=fields.optional("state_directory", any_path(path, "/var/lib/steer"), None),
        udp_bytes=fields.optional("udp_bytes", integer(512, 4096, 1232), default.udp_bytes),
        tcp_idle_s=tcp.tcp_idle_s,
        tcp_total_s=tcp.tcp_total_s,
        tcp_connections=tcp.tcp_connections,
        tcp_per_prefix=tcp.tcp_per_prefix,
        cookies=read_cookies(fields, path, reading),
        rate_limit=fields.optional("rate_limit", read_rate_limit, default.rate_limit),
        identity=fields.optional("identity", read_identity, default.identity),
    )


def _read_geodata(value: YamlNode, faults: Faults, path: Path) -> GeodataFiles | None:
    fields = read_fields(value, GEODATA_KEYS, faults, "`geodata`")
    if fields is None:
        return None
    return GeodataFiles(
        fields.optional("city", listed(file_path(path, "city.mmdb"), GEODATA_KEYS["city"], at_most=16), ()),
        fields.optional("asn", listed(file_path(path, "asn.mmdb"), GEODATA_KEYS["asn"], at_most=16), ()),
    )


def _read_key(fields: Fields, path: Path, reading: Reading) -> tuple[bytes | None, str | None]:
    """The key in `key_file`, or the name under `deployment`."""
    deployment = fields.optional("deployment", name("a deployment", "example-cdn"), None)
    key_file = fields.optional("key_file", file_path(path, "shares.key"), None)
    if "deployment" in fields and "key_file" in fields:
        fix = "keep one of them; all nameservers of a deployment need the same key"
        reading.faults.add(
            fields.location("deployment"), "both `deployment` and `key_file` give the key", fix
        )
    if key_file is None:
        return None, deployment
    data = reading.bytes_of(key_file, fields.location("key_file"), _LARGEST_KEY_FILE_BYTES)
    if data is None:
        return None, None
    digits = data.decode("ascii", "replace").strip()
    if len(digits) != KEY_HEX_DIGITS or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        fix = f"write {KEY_HEX_DIGITS} hexadecimal digits, as `openssl rand -hex 16` gives them"
        reading.faults.add(Location(str(key_file), 1, 1), "not a key of 16 bytes", fix)
        return None, None
    return bytes.fromhex(digits), None


def _located(path: Path) -> Parser[tuple[Path, Location]]:
    parse = file_path(path, "cdn.example.yaml")

    def parse_located(value: YamlNode, faults: Faults) -> tuple[Path, Location] | None:
        file = parse(value, faults)
        return None if file is None else (file, value.at)

    return parse_located


def _user_name(value: str) -> str | Wrong:
    if value.isascii() and value.isprintable() and 0 < len(value) <= 32 and not set(value) & set(" /:"):
        return value
    return f"{quoted(value)} cannot be a user's name", "write the name of a system user, such as `steer`"
