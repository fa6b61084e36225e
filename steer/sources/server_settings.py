"""The parts of `steer.yaml` that bound what strangers can do to this nameserver, and what it says of itself:
`tcp`, `cookies`, `rate_limit` and `identity`."""

import stat
from pathlib import Path

from steer.model.deployment import CookieSettings, Identity, RateLimit, ServerSettings
from steer.model.policy import Location
from steer.sources.addresses import prefix
from steer.sources.fields import Fields, Parser, listed, read_fields
from steer.sources.located_yaml import Faults, Node, Scalar, kind_of
from steer.sources.reading import Reading, file_path
from steer.sources.scalars import boolean, duration_s, integer, text

TCP_KEYS = {"idle": "10s", "connections": "1024", "per_prefix": "64", "total": "300s"}
COOKIES_KEYS = {"enabled": "true", "secrets": "cookie.secrets"}
RATE_LIMIT_KEYS = {
    "per_second": "2000",
    "burst": "4000",
    "slip": "2",
    "ipv4": "24",
    "ipv6": "56",
    "exempt": "[127.0.0.0/8]",
}
IDENTITY_KEYS = {"nsid": "fra1", "id_server": "fra1", "version": "false"}

LARGEST_SECRET_COUNT = 4
LARGEST_EXEMPT_COUNT = 1024
LONGEST_NSID = 100
LONGEST_IDENTITY = 255  # one character-string (RFC 1035 section 3.3)
SECRET_HEX_DIGITS = 32  # 128 bits (RFC 9018 section 4.4)
_LARGEST_SECRETS_BYTES = 1 << 16
_OFF = "off"


def read_tcp(value: Node, faults: Faults) -> ServerSettings | None:
    """Bounds on TCP connections, as settings that hold nothing else."""
    default = ServerSettings((), None)
    fields = read_fields(value, TCP_KEYS, faults, "`tcp`")
    if fields is None:
        return None
    return ServerSettings(
        (),
        None,
        tcp_idle_s=fields.optional("idle", duration_s(0.1, 600, "10s"), default.tcp_idle_s),
        tcp_total_s=fields.optional("total", duration_s(1, 86_400, "300s"), default.tcp_total_s),
        tcp_connections=fields.optional("connections", integer(1, 100_000, 1024), default.tcp_connections),
        tcp_per_prefix=fields.optional("per_prefix", integer(1, 100_000, 64), default.tcp_per_prefix),
    )


def read_cookies(fields: Fields, path: Path, reading: Reading) -> CookieSettings:
    """The `cookies` of `steer.yaml` (`path`), with the secrets that its file holds."""
    if "cookies" not in fields:
        return CookieSettings()
    node = fields.table.entries["cookies"][1]
    inner = read_fields(node, COOKIES_KEYS, reading.faults, "`cookies`")
    if inner is None:
        return CookieSettings()
    enabled = inner.optional("enabled", boolean(), True)
    file = inner.optional("secrets", file_path(path, "cookie.secrets"), None)
    secrets = () if file is None else _read_secrets(file, inner.location("secrets"), reading)
    return CookieSettings(enabled, secrets)


def read_rate_limit(value: Node, faults: Faults) -> RateLimit | None:
    """`off`, or how many responses a source prefix gets."""
    default = RateLimit()
    if _is_off(value):
        return RateLimit(per_second=0)
    fields = read_fields(value, RATE_LIMIT_KEYS, faults, "`rate_limit`")
    if fields is None:
        return None
    per_second = fields.optional("per_second", _per_second, default.per_second)
    return RateLimit(
        per_second=per_second,
        burst=fields.optional("burst", integer(0, 1_000_000_000, 4000), 2 * per_second),
        slip=fields.optional("slip", integer(0, 1000, 2), default.slip),
        ipv4_bits=fields.optional("ipv4", integer(8, 32, 24), default.ipv4_bits),
        ipv6_bits=fields.optional("ipv6", integer(16, 128, 56), default.ipv6_bits),
        exempt=fields.optional(
            "exempt",
            listed(prefix(bare=True), RATE_LIMIT_KEYS["exempt"], 0, LARGEST_EXEMPT_COUNT),
            default.exempt,
        ),
    )


def read_identity(value: Node, faults: Faults) -> Identity | None:
    """What is said on the wire, each a text, or `false` for nothing."""
    fields = read_fields(value, IDENTITY_KEYS, faults, "`identity`")
    if fields is None:
        return None
    default = Identity()
    return Identity(
        nsid=fields.optional("nsid", _text_or_false("an NSID", LONGEST_NSID), default.nsid),
        id_server=fields.optional(
            "id_server", _text_or_false("what id.server says", LONGEST_IDENTITY), default.id_server
        ),
        version=fields.optional(
            "version", _text_or_false("what version.server says", LONGEST_IDENTITY), default.version
        ),
    )


def _per_second(node: Node, faults: Faults) -> int | None:
    return 0 if _is_off(node) else integer(0, 1_000_000_000, 2000)(node, faults)


def _is_off(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text == _OFF


def _text_or_false(what: str, at_most: int) -> Parser[str]:
    parse_text = text(what, at_most, "fra1")

    def parse(node: Node, faults: Faults) -> str | None:
        if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
            if node.text == "true":
                faults.add(node.at, f"`true` where {what} is due", "write the text, or `false` for none")
            return "" if node.text == "false" else None
        value = parse_text(node, faults)
        if value is not None and not value.isascii():
            faults.add(node.at, f"{kind_of(node)} has letters beyond ASCII", "write ASCII, such as `fra1`")
            return None
        return value

    return parse


def _read_secrets(file: Path, at: Location, reading: Reading) -> tuple[bytes, ...]:
    """The secrets of a file, one a line; empty lines and comments (#) are passed over."""
    data = reading.bytes_of(file, at, _LARGEST_SECRETS_BYTES)
    if data is None:
        return ()
    already = len(reading.faults.found)
    secrets: dict[bytes, int] = {}
    fix = f"write {SECRET_HEX_DIGITS} hexadecimal digits, as `openssl rand -hex 16` gives them"
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), start=1):
        digits = line.partition("#")[0].strip()
        if not digits:
            continue
        here = Location(str(file), number, 1)
        if len(digits) != SECRET_HEX_DIGITS or not all(each in "0123456789abcdefABCDEF" for each in digits):
            reading.faults.add(here, "not a cookie secret of 16 bytes", fix)
            continue
        first = secrets.setdefault(bytes.fromhex(digits), number)
        if first != number:
            reading.faults.add(here, f"the secret of line {first} again", "remove one of them")
        if len(secrets) > LARGEST_SECRET_COUNT:
            wrong = f"more than {LARGEST_SECRET_COUNT} secrets"
            reading.faults.add(here, wrong, "keep the newest, which makes cookies, first; remove the oldest")
            break
    if not secrets and len(reading.faults.found) == already:
        reading.faults.add(Location(str(file), 1, 1), "no cookie secret", fix)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        reading.faults.warn(
            Location(str(file), 1, 1), "others than its owner can read the cookie secrets", "chmod 600 it"
        )
    return tuple(secrets)
