"""A random world taken all the way to a snapshot of either engine, and questions put to it."""

import importlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.edns
import dns.message
import dns.rdatatype

from steer.control.assemble import ChoiceMaker, assemble_records
from steer.dataplane import reference
from steer.dataplane.engine import EngineMissing, load_engine
from steer.dataplane.reference_counters import Counters
from steer.decide.answer_sets import answer_sets
from steer.decide.key_states import key_set
from steer.model.deployment import Overrides
from steer.model.map import BuiltMap
from steer.model.service import Address, Prefix
from steer.model.status import PopHealth
from steer.publish.map_part import pack_map
from steer.publish.signature_cache import SignatureCache
from steer.publish.signing import ZoneSigning, sign_records
from steer.telemetry.counters import Registry
from tests.decide.test_map_builder import built_map
from tests.decide.worlds import World

NOW_S = 1_795_500_000  # of every question, and of signing
NO_OVERRIDES = Overrides()
Ask = Callable[[bytes, bytes], bytes | None]  # (packet, source) -> reply


@dataclass(frozen=True, slots=True)
class Parts:
    """A snapshot's parts as bytes; `signatures` where its zone is signed."""

    records: bytes
    map: bytes
    choices: bytes
    signatures: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a test looks at. `scope` is None where the reply has no ECS."""

    addresses: tuple[str, ...]
    ttl_s: int
    scope: int | None


@dataclass(frozen=True, slots=True)
class Built:
    """A world compiled as the server does it, but for what depends on its POPs."""

    records: bytes
    map: bytes
    built: BuiltMap
    maker: ChoiceMaker
    signatures: bytes | None

    @classmethod
    def of(cls, world: World, built: BuiltMap | None = None) -> "Built":
        """`built`: its map, where that is not the one without evidence."""
        registry = Registry()
        built = built or built_map(world)
        identity = bytes(16)
        maker = ChoiceMaker.of(built.plans, world.deployment, identity, registry)
        signing = {
            zone.data.apex: ZoneSigning(key_set(zone.dnssec, NOW_S), zone.dnssec)
            for zone in world.deployment.zones
            if zone.dnssec is not None
        }
        keys = {b".".join(apex).decode(): each.keys for apex, each in signing.items()}
        compiled = assemble_records(world.deployment, registry, keys=keys)
        packed = b"".join(pack_map(built, identity, {}))
        signatures = None
        if signing:
            sets = answer_sets(world.deployment, built.plans)
            signatures = sign_records(compiled, sets, signing, SignatureCache(), NOW_S).part
        return cls(compiled.data, packed, built, maker, signatures)

    def parts(self, states: dict[tuple[str, str], PopHealth], overrides: Overrides = NO_OVERRIDES) -> Parts:
        """The snapshot's parts under these states."""
        return Parts(self.records, self.map, self.maker.choices(states, overrides, 0.0), self.signatures)


def parts_of(world: World, states: dict[tuple[str, str], PopHealth]) -> Parts:
    """Compile everything as the server does."""
    return Built.of(world).parts(states)


def reference_ask(parts: Parts) -> Ask:
    """The reference engine over these parts."""
    snapshot = reference.ReferenceSnapshot(
        reference.ReferenceRecords(parts.records),
        reference.ReferenceMap(parts.map),
        reference.ReferenceChoices(parts.choices),
        None if parts.signatures is None else reference.ReferenceSignatures(parts.signatures),
    )
    counters = Counters()
    return lambda packet, source: reference.answer(packet, source, False, NOW_S, snapshot, counters)


def native_ask(parts: Parts) -> Ask | None:
    """The native engine over these parts; None where it is not built, unless STEER_REQUIRE_NATIVE=1."""
    try:
        load_engine(require_native=True, environment={})
    except EngineMissing:
        if os.environ.get("STEER_REQUIRE_NATIVE") == "1":
            raise
        return None
    native = importlib.import_module("steer.dataplane._native")
    snapshot = native.Snapshot(
        native.Records(parts.records),
        native.Map.from_bytes(parts.map),
        native.Choices(parts.choices),
        None if parts.signatures is None else native.Signatures(parts.signatures),
    )
    return lambda packet, source: snapshot.answer(packet, source, False, NOW_S)


def query(name: str, rdtype: str, client: Prefix | None) -> bytes:
    """A query's bytes; `client` as ECS (None: an OPT without it)."""
    options: list[dns.edns.Option] = []
    if client is not None:
        options = [dns.edns.ECSOption(str(client.network_address), client.prefixlen, 0)]
    message = dns.message.make_query(f"{name}.cdn.example.", rdtype, use_edns=0, options=options, id=7)
    return message.to_wire()


def parse(reply: bytes | None) -> Reply:
    """The parts of a reply that matter to scope proofs; it must be NOERROR with an answer."""
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.rcode() == 0
    assert message.answer, message.to_text()
    scopes = [option.scopelen for option in message.options if isinstance(option, dns.edns.ECSOption)]
    rrset = message.answer[0]
    return Reply(tuple(sorted(str(item) for item in rrset)), rrset.ttl, scopes[0] if scopes else None)


def random_client(chance: random.Random, near: Sequence[Address]) -> Address:
    """An address of either family: anywhere, or near something the map cuts at."""
    if near and chance.random() < 0.6:
        base = chance.choice(near)
        moved = int(base) ^ chance.getrandbits(chance.choice([1, 4, 8, 12]))
        if base.version == 4:
            return IPv4Address(moved & 0xFFFF_FFFF)
        return IPv6Address(int(base) ^ chance.getrandbits(8) << chance.choice([56, 64, 72]))
    if chance.random() < 0.5:
        return IPv4Address(chance.getrandbits(32))
    form = chance.choice(
        [0x2 << 124, 0x2 << 124, 0x2002 << 112, 0xFFFF << 32, 0x64FF9B << 96, 0x20010000 << 96]
    )
    low = {0xFFFF << 32: 32, 0x64FF9B << 96: 32, 0x20010000 << 96: 96, 0x2002 << 112: 112}.get(form, 124)
    return IPv6Address(form | chance.getrandbits(low))
