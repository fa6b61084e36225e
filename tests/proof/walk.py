"""Walk one random world: resolvers ask, cache and answer their clients while states and policies change.

Every question also goes to the engine directly, and what a cache would have said must be the same (WIRE.md,
the proof of scope). Only what was cached before the latest swap may differ, and no longer than its TTL."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import dns.rdatatype

from steer.model.deployment import ForcedTarget, Overrides, Zone
from steer.model.dnssec import ALGORITHM_ED25519, DnssecSettings
from steer.model.policy import SteeredName
from steer.model.records import Rdata, RRset
from steer.model.service import Address
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6
from tests.decide.test_choices import random_states
from tests.decide.test_map_builder import sorted_classes
from tests.decide.worlds import World, random_world
from tests.product_world import Ask, Built, Parts, native_ask, random_client
from tests.proof.model_cache import ADDRESS_BITS, Kept, ModelCache
from tests.proof.questions import Question, encode, least_ttl_s, seen
from tests.publish.signed_zones import make_key

APEX = "cdn.example"
APEX_LABELS = (b"cdn", b"example")
SIGNED = DnssecSettings(Path("keys"), keys=(make_key(1, algorithm=ALGORITHM_ED25519),))  # the same each time
EDGES = 40  # per table of networks
CLIENTS = 1200  # per world, with many near the edges of its networks
RESOLVERS = 3
FAULTS_SHOWN = 5
SWAPS = ("states", "states", "override", "policies")


@dataclass(slots=True)
class Tally:
    """What one walk, or many, came to. `twins`: second addresses asked for inside a returned scope."""

    queries: int = 0
    hits: int = 0
    twins: int = 0
    tailored: int = 0
    swaps: int = 0
    differences: int = 0
    overlaps: int = 0
    stale: int = 0  # answers from before the latest swap that differ from direct ones
    stale_for_s: float = 0.0  # the longest time after a swap that one was served
    stale_ttl_s: float = 0.0  # the longest TTL among them
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in another tally."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            longest = each.name in ("stale_for_s", "stale_ttl_s")
            setattr(self, each.name, max(mine, theirs) if longest else mine + theirs)

    def fault(self, text: str) -> None:
        """Keep the first few in words."""
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(text)


@dataclass(slots=True)
class Resolver:
    """One asker: its address decides views; its cache is its own."""

    source: bytes
    cache: ModelCache
    tailored: dict[tuple[str, int], set[tuple[int, int]]] = field(default_factory=dict)

    def note(self, name: str, family: int, address: int, scope: int) -> None:
        """Remember a tailored prefix, to see at the end of an epoch whether any two overlap."""
        shift = ADDRESS_BITS[family] - scope
        self.tailored.setdefault((name, family), set()).add((address >> shift << shift, scope))

    def overlaps(self) -> list[str]:
        """Each pair of neighbours, in words, of which one lies inside the other; forgets all prefixes."""
        found = []
        for (name, family), prefixes in self.tailored.items():
            end, before = -1, (0, 0)
            for first, length in sorted(prefixes):
                if first <= end:
                    found.append(
                        f"{name}: {shown(family, *before)} and {shown(family, first, length)} overlap"
                    )
                end, before = first | (1 << ADDRESS_BITS[family] - length) - 1, (first, length)
        self.tailored.clear()
        return found


def walk(
    seed: int,
    queries: int,
    ask_of: Callable[[Parts], Ask | None] = native_ask,
    world_of: Callable[[int], World] | None = None,
) -> Tally:
    """Put `queries` questions, and some twins, to the world of a seed.

    `ask_of` makes the engine; the native one must be built. `world_of`: random worlds unless one is given."""
    chance, tally = random.Random(seed), Tally()
    scene = Scene(seed, chance, ask_of, world_of or random_named_world)
    resolvers = scene.resolvers()
    epochs = 1 + len(SWAPS)
    for epoch in range(epochs):
        if epoch:
            scene.swap(chance.choice(SWAPS))
            tally.swaps += 1
        _ask_many(scene, resolvers, queries // epochs, tally)
        for resolver in resolvers:
            for text in resolver.overlaps():
                tally.overlaps += 1
                tally.fault(f"seed {seed}: {text}")
    return tally


class Scene:
    """A world, its engine of the hour, its clock, and who asks what."""

    def __init__(
        self,
        seed: int,
        chance: random.Random,
        ask_of: Callable[[Parts], Ask | None],
        world_of: Callable[[int], World],
    ) -> None:
        self.seed, self.chance, self.ask_of, self.world_of = seed, chance, ask_of, world_of
        self.step_s = chance.choice((0.005, 0.02, 0.1))  # from one question to the next
        self.now_s = self.swapped_s = 0.0
        self.world = world_of(seed)
        self.built = Built.of(self.world)
        self.overrides = Overrides()
        self.states = random_states(self.world, chance)
        self.ask = self._engine()
        self.questions = questions_of(self.world.deployment.zones[0])
        near = edges(self.world, chance)
        self.clients = [random_client(chance, near) for _ in range(CLIENTS)]

    def resolvers(self) -> list[Resolver]:
        """Resolvers of as many views as there are, each with its own habit of cutting client addresses."""
        sources = sorted_classes(self.world, self.built.built)
        return [
            Resolver(
                self.chance.choice(sources).packed,
                ModelCache(
                    {4: self.chance.choice((24, 24, 20, 32)), 6: self.chance.choice((56, 48, 64, 128))}
                ),
            )
            for _ in range(RESOLVERS)
        ]

    def swap(self, kind: str) -> None:
        """Take another snapshot: other states of POPs, a forced target, or another policy and geography."""
        if kind == "policies":
            world = self.world_of(self.chance.getrandbits(31) << 1 | self.seed & 1)  # signed as before
            if world is not self.world:
                self.world, self.built = world, Built.of(world)
        self.overrides = Overrides()
        if kind == "override":
            targets = self.world.deployment.services["default"].targets()
            forced = ForcedTarget("all", self.chance.choice(targets), "the proof", None)
            self.overrides = Overrides(forced=(forced,))
        self.states = random_states(self.world, self.chance)
        self.ask = self._engine()
        self.swapped_s = self.now_s

    def _engine(self) -> Ask:
        ask = self.ask_of(self.built.parts(self.states, self.overrides))
        if ask is None:
            raise SystemExit("the proof needs the native engine, which is not built: `make venv` says why")
        return ask


def random_named_world(seed: int) -> World:
    """A random world with a steered apex and wildcard, HTTPS, and a plain alias; signed or not."""
    world = random_world(seed)
    zone = world.deployment.zones[0]
    steered = [name.policy for name in zone.names if name.owner.startswith("policy")]
    more = (
        SteeredName("@", "default", steered[0], None, 20),
        SteeredName("*.any", "default", None, "ab", 30),
        SteeredName("www", "default", steered[-1], None, 60),
    )
    service = Rdata(b"\0\1\0" + b"\0\1\0\3\2h2")  # HTTPS 1 . alpn=h2
    https = [
        RRset((*owner, *APEX_LABELS), dns.rdatatype.HTTPS, 60, (service,))
        for owner in ((b"www",), (b"*", b"any"), (b"ab",))
    ]
    www = b"".join(bytes((len(label),)) + label for label in (b"www", *APEX_LABELS, b""))
    https.append(RRset(APEX_LABELS, dns.rdatatype.HTTPS, 60, (Rdata(b"\0\0" + www),)))  # an alias
    alias = RRset((b"plain", *APEX_LABELS), 5, 600, (Rdata(b"", ((b"www", *APEX_LABELS),)),))
    data = replace(zone.data, rrsets=(*zone.data.rrsets, alias, *https))
    zone = replace(zone, names=(*zone.names, *more), data=data, dnssec=SIGNED if seed % 2 else None)
    return replace(world, deployment=replace(world.deployment, zones=(zone,)))


def questions_of(zone: Zone) -> list[Question]:
    """All types of every steered name and alias, two names of each wildcard, and what is not there; with DO
    where the zone is signed."""
    aliases = [rrset.owner for rrset in zone.data.rrsets if rrset.type == dns.rdatatype.CNAME]
    owners = [name.owner for name in zone.names]
    owners += [b".".join(owner[: -len(zone.data.apex)]).decode() for owner in aliases]
    names = [zone.apex, f"missing.{zone.apex}"]
    for owner in owners:
        if owner.startswith("*"):
            names += [f"x{owner[1:]}.{zone.apex}", f"y.z{owner[1:]}.{zone.apex}"]
        elif owner != "@":
            names.append(f"{owner}.{zone.apex}")
    kinds = [(name, rdtype) for name in names for rdtype in ("A", "AAAA", "HTTPS")]
    kinds += [(zone.apex, "NS"), (zone.apex, "TXT")]
    signed = zone.dnssec is not None
    return [Question.of(number, *kind, dnssec=signed) for number, kind in enumerate(kinds)]


def edges(world: World, chance: random.Random) -> list[Address]:
    """First and last addresses of some of the world's networks, and of its catchments, rules' prefixes and
    special blocks."""
    found: list[Address] = []
    for family, geography in world.geography.items():
        for starts in (geography.places.start, geography.asns.start):
            keys = [int(starts[chance.randrange(len(starts))]) for _ in range(EDGES)]
            found += [address_of(family, max(0, key - less)) for key in keys for less in (0, 1)]
    prefixes = [prefix for service in world.deployment.services.values() for prefix, _ in service.catchment]
    prefixes += [*SPECIAL_BLOCKS_IPV4, *SPECIAL_BLOCKS_IPV6]
    for policy in world.deployment.zones[0].policies.values():
        for rule in policy.rules:
            when = rule.when
            while when is not None:
                prefixes += when.prefixes or ()
                when = when.negated
    for prefix in prefixes:
        found += [prefix[0], prefix[-1]]
    return found


def address_of(family: int, key: int) -> Address:
    """The address of a map's key of 64 bits."""
    return IPv4Address(key >> 32) if family == 4 else IPv6Address(key << 64)


def _ask_many(scene: Scene, resolvers: list[Resolver], count: int, tally: Tally) -> None:
    """The loop of the proof."""
    chance, ask = scene.chance, scene.ask
    draw = chance.random
    for _ in range(count):
        scene.now_s = now_s = scene.now_s + scene.step_s
        resolver = resolvers[int(draw() * len(resolvers))]
        question = scene.questions[int(draw() * len(scene.questions))]
        family, source, address = _client(scene, resolver)
        packet = encode(question, family, source, address)
        reply = ask(packet, resolver.source)
        answer, scope = seen(packet, question, reply)
        tally.queries += 1
        if scope:
            tally.tailored += 1
            resolver.note(question.name, family, address, scope)
        cached = resolver.cache.find(question.number, family, source, address, now_s)
        if cached is not None:
            tally.hits += 1
            if cached.answer != answer:
                _judge(scene, tally, cached, (question, family, address, source))
            continue
        assert reply is not None
        ttl_s = least_ttl_s(reply, question.end)
        kept = Kept(answer, scope, now_s, now_s + ttl_s)
        resolver.cache.keep(question.number, family, source, address, kept)
        if 0 < scope <= source:
            _ask_twin(scene, resolver, question, family, address, kept, tally)


def _client(scene: Scene, resolver: Resolver) -> tuple[int, int, int]:
    """Family, SOURCE and ADDRESS of a client, mostly as long as the resolver ever sends it."""
    draw = scene.chance.random
    client: Address = scene.clients[int(draw() * CLIENTS)]
    family, address = client.version, int(client)
    bits = ADDRESS_BITS[family]
    if draw() < 0.4:
        address ^= scene.chance.getrandbits(12) << (0 if family == 4 else 64)
    source = resolver.cache.longest[family]
    if draw() < 0.15:
        source = int(draw() * (source + 1))
    return family, source, address >> (bits - source) << (bits - source)


def _ask_twin(
    scene: Scene, resolver: Resolver, question: Question, family: int, address: int, kept: Kept, tally: Tally
) -> None:
    """Another address inside the scope, asked for in full, gets the same answer and scope."""
    bits = ADDRESS_BITS[family]
    free = bits - kept.scope
    twin = address >> free << free | scene.chance.getrandbits(free) if free else address
    packet = encode(question, family, bits, twin)
    answer, scope = seen(packet, question, scene.ask(packet, resolver.source))
    tally.queries += 1
    tally.twins += 1
    if (answer, scope) != (kept.answer, kept.scope):
        tally.differences += 1
        tally.fault(
            f"seed {scene.seed}: {question.name} {question.rdtype}: {shown(family, twin, bits)} is answered"
            f" otherwise than {shown(family, address, kept.scope)}, in whose scope it lies"
        )


def _judge(scene: Scene, tally: Tally, cached: Kept, asked: tuple[Question, int, int, int]) -> None:
    """A cached answer differs from the direct one: stale, or a fault."""
    if cached.stored_s <= scene.swapped_s:
        tally.stale += 1
        tally.stale_for_s = max(tally.stale_for_s, scene.now_s - scene.swapped_s)
        tally.stale_ttl_s = max(tally.stale_ttl_s, cached.expires_s - cached.stored_s)
        return
    question, *client = asked
    tally.differences += 1
    tally.fault(
        f"seed {scene.seed}: {question.name} {question.rdtype} {shown(*client)}: not what the cache holds for"
        f" scope {cached.scope}, {cached.answer.hex()}"
    )


def shown(family: int, address: int, length: int) -> str:
    """A prefix as text."""
    return f"{ip_address(address.to_bytes(ADDRESS_BITS[family] // 8, 'big'))}/{length}"
