"""`primary:` of a zone's YAML: the nameservers that its plain data is transferred from, and their TSIG keys.

A key file holds the secret alone, base64 on one line. Its bytes are in no message, and its hash in no
hash that is shown."""

import base64
import re
from pathlib import Path

from steer.model.policy import Location
from steer.model.primary import Primary, TsigKey
from steer.sources.addresses import domain_name, server_address
from steer.sources.fields import Parser, listed, read_fields
from steer.sources.located_yaml import Faults, Node
from steer.sources.reading import Reading, file_path
from steer.sources.scalars import choice, integer

PRIMARY_KEYS = {
    "address": "192.0.2.53",
    "port": "53",
    "key": "{name: steer-key, file: tsig.key, algorithm: hmac-sha256}",
    "notify_from": "[192.0.2.54]",
}
TSIG_KEY_KEYS = {"name": "steer-key", "file": "tsig.key", "algorithm": "hmac-sha256"}
ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224")  # no HMAC-MD5, no HMAC-SHA1
DEFAULT_ALGORITHM = ALGORITHMS[0]
LARGEST_PRIMARY_COUNT = 16
LARGEST_NOTIFIER_COUNT = 64
SHORT_SECRET_BYTES = 16
LARGEST_KEY_FILE_BYTES = 4096
_FIX = "write the base64 of a secret of 32 bytes alone, as `openssl rand -base64 32` gives it"
_ONE_LINE = re.compile(rb"\s*([A-Za-z0-9+/]*={0,2})\s*")


def primaries(beside: Path, reading: Reading) -> Parser[tuple[Primary, ...]]:
    """One primary or a list of them, in the order in which they are asked. `beside`: the file that names
    key files relative to itself."""

    def parse_primary(node: Node, faults: Faults) -> Primary | None:
        fields = read_fields(node, PRIMARY_KEYS, faults, "a primary")
        if fields is None:
            return None
        address = fields.required("address", server_address(PRIMARY_KEYS["address"]))
        port = fields.optional("port", integer(1, 65535, 53), 53)
        primary_key = fields.optional("key", _key(beside, reading), None)
        notifiers = listed(
            server_address("192.0.2.54"), PRIMARY_KEYS["notify_from"], 0, LARGEST_NOTIFIER_COUNT
        )
        notify_from = fields.optional("notify_from", notifiers, ())
        return None if address is None else Primary(address, port, primary_key, notify_from)

    parse_list = listed(parse_primary, "{address: 192.0.2.53}", 1, LARGEST_PRIMARY_COUNT)

    def parse(node: Node, faults: Faults) -> tuple[Primary, ...] | None:
        found = parse_list(node, faults)
        if found is not None and len({(each.address, each.port) for each in found}) != len(found):
            faults.add(node.at, "a primary stands twice", "list each address and port once")
            return None
        return found

    return parse


def _key(beside: Path, reading: Reading) -> Parser[TsigKey]:
    def parse(node: Node, faults: Faults) -> TsigKey | None:
        fields = read_fields(node, TSIG_KEY_KEYS, faults, "`key`")
        if fields is None:
            return None
        name = fields.required("name", domain_name("a key's name", "steer-key"))
        algorithm = fields.optional("algorithm", choice(*ALGORITHMS), DEFAULT_ALGORITHM)
        path = fields.required("file", file_path(beside, "tsig.key"))
        secret = None if path is None else _secret(path, fields.location("file"), reading)
        if name is None or path is None or secret is None:
            return None
        return TsigKey(name, algorithm, secret, path)

    return parse


def _secret(path: Path, at: Location, reading: Reading) -> bytes | None:
    """The secret in a key file; None, with a fault, where there is none."""
    data = reading.secret_of(path, at, LARGEST_KEY_FILE_BYTES)
    if data is None or (reading.is_stored and not data):
        return data
    found = _ONE_LINE.match(data)
    assert found is not None, "the pattern matches the empty text"
    if found.end() != len(data):
        wrong = "the key file has something else in it than one line of base64"
        reading.faults.add(_place(path, data, found.end()), wrong, _FIX)
        return None
    text, here = found[1], _place(path, data, found.start(1))
    if len(text) % 4 or not text:
        wrong = "the base64 of the key ends half-way" if text else "the key file is empty"
        reading.faults.add(here, wrong, _FIX)
        return None
    secret = base64.b64decode(text)
    if len(secret) < SHORT_SECRET_BYTES:
        wrong = f"the key has {len(secret)} bytes, so it can be guessed"
        reading.faults.warn(here, wrong, f"{_FIX}, here and at the primary")
    return secret


def _place(path: Path, data: bytes, offset: int) -> Location:
    """The line and column of an octet in a file."""
    return Location(str(path), data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset))
