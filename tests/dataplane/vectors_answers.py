"""Vectors for DNS-12 and ECS-12: hints, hosts, explanations; the world is tests/dataplane/world.py."""

from tests.dataplane.vectors import Reply, Vector, nodata, query

SUBNET = "133.1.2.0/24"  # plan 1, SCOPE 17
DEEPER = "133.1.130.0/24"  # plan 3: two addresses, TTL 10, SCOPE 24
USED = "ecs_queries ecs_used answers_steered"
STEERED = "answers_steered"
NODATA = "answers_nodata"
HOSTS = ("cdn-a.test.", "cdn-b.test.", "text", "www.signed.example.")
BY_RESOLVER = "client 127.0.0.1/32 by resolver"
IDENTITY = "0001020304050607-0001020304050607"
ALIAS_SERVICE = '2 www.elsewhere.test. alpn="h2" ipv4hint="203.0.113.1"'


def labels(name: int, plan: int, target: int | None = None, *more: int) -> tuple[int, ...]:
    """The labelled counters of a name, a rule, its target, an arm."""
    return (name, 300 + plan, 400 + (plan if target is None else target), *more)


def service(owner: str, ttl_s: int, *parameters: str, rtype: str = "HTTPS", target: str = ".") -> str:
    """A ServiceMode record."""
    return " ".join((f"{owner} {ttl_s} {rtype} 1 {target}", *parameters))


HINTS = (
    Vector(
        "DNS-12",
        "hints are what A and AAAA are told",
        query("www", "HTTPS", SUBNET),
        Reply(
            answer=(
                service(
                    "www",
                    60,
                    'alpn="h2,h3"',
                    'port="8443"',
                    'ipv4hint="198.51.100.1"',
                    'ipv6hint="2001:db8::1"',
                ),
                f"www 60 HTTPS {ALIAS_SERVICE}",
            ),
            ecs=f"{SUBNET}/s17",
        ),
        USED,
        labels(101, 1),
    ),
    Vector(
        "DNS-12",
        "another client is told another target, with its TTL and SCOPE",
        query("www", "HTTPS", DEEPER),
        Reply(
            answer=(
                service(
                    "www",
                    10,
                    'alpn="h2,h3"',
                    'port="8443"',
                    'ipv4hint="198.51.100.3,198.51.100.33"',
                    'ipv6hint="2001:db8::3"',
                ),
                f"www 10 HTTPS {ALIAS_SERVICE}",
            ),
            ecs=f"{DEEPER}/s24",
        ),
        USED,
        labels(101, 3),
    ),
    Vector(
        "DNS-12",
        "SVCB, whose TargetName is the owner; other parameters are kept, in order",
        query("www", "SVCB"),
        Reply(
            answer=(
                service(
                    "www",
                    60,
                    'alpn="h2"',
                    'ipv4hint="198.51.100.7"',
                    'ipv6hint="2001:db8::7"',
                    'key65000="x"',
                    rtype="SVCB",
                    target="www",
                ),
            )
        ),
        STEERED,
        labels(101, 7),
    ),
    Vector(
        "DNS-12",
        "without AAAA there is no ipv6hint; hints of the zone file are taken out",
        query("v4", "HTTPS"),
        Reply(answer=(service("v4", 60, 'alpn="h2"', 'ipv4hint="198.51.100.7"'),)),
        STEERED,
        labels(103, 7),
    ),
    Vector(
        "DNS-12",
        "an experiment's arm",
        query("img", "HTTPS", SUBNET),
        Reply(
            answer=(
                service(
                    "img",
                    60,
                    'alpn="h3"',
                    "no-default-alpn",
                    'ipv4hint="198.51.100.1"',
                    'ipv6hint="2001:db8::1"',
                ),
            ),
            ecs=f"{SUBNET}/s24",
        ),
        USED,
        labels(106, 1, None, 202),
    ),
    Vector(
        "DNS-12",
        "a forced target",
        query("forced", "HTTPS", SUBNET),
        Reply(
            answer=(service("forced", 60, 'ipv4hint="198.51.100.8"', 'ipv6hint="2001:db8::8"'),),
            ecs=f"{SUBNET}/s0",
        ),
        "ecs_queries answers_steered answers_forced",
        labels(107, 8),
    ),
    Vector(
        "DNS-12",
        "the rrset's own TTL",
        query("long", "HTTPS"),
        Reply(answer=(service("long", 300, 'ipv4hint="198.51.100.7"', 'ipv6hint="2001:db8::7"'),)),
        STEERED,
        labels(108, 7),
    ),
    Vector(
        "DNS-12",
        "as a wildcard",
        query("a.steered", "HTTPS", SUBNET),
        Reply(
            answer=(
                service("a.steered", 60, 'alpn="h2"', 'ipv4hint="198.51.100.1"', 'ipv6hint="2001:db8::1"'),
            ),
            ecs=f"{SUBNET}/s17",
        ),
        USED,
        labels(102, 1),
    ),
    Vector(
        "DNS-12",
        "alias mode at the apex has none, and is the same for all",
        query("@", "HTTPS", SUBNET),
        Reply(answer=("@ 3600 HTTPS 0 www",), ecs=f"{SUBNET}/s0"),
        "ecs_queries",
    ),
    Vector(
        "DNS-12",
        "at a name that is not steered the zone file's hints stay",
        query("plainsvc", "HTTPS", SUBNET),
        Reply(
            answer=('plainsvc 3600 HTTPS 1 . alpn="h2" ipv4hint="192.0.2.9"',),
            ecs=f"{SUBNET}/s0",
        ),
        "ecs_queries",
    ),
    Vector("DNS-12", "a steered name without HTTPS has none", query("views", "HTTPS"), nodata(), NODATA),
)

CNAMES = (
    Vector(
        "ECS-12",
        "a policy's host is answered alone, to every type, with its SCOPE",
        query("multi", "A", SUBNET),
        Reply(answer=(f"multi 60 CNAME {HOSTS[1]}",), ecs=f"{SUBNET}/s17"),
        USED,
        labels(110, 1),
    ),
    Vector(
        "ECS-12",
        "TTL and host of another client; a host of ours is not followed",
        query("multi", "TXT", "133.1.128.0/24"),
        Reply(answer=(f"multi 60 CNAME {HOSTS[2]}",), ecs="133.1.128.0/24/s23"),
        USED,
        labels(110, 2),
    ),
    Vector(
        "ECS-12",
        "by its own type",
        query("multi", "CNAME", DEEPER),
        Reply(answer=(f"multi 10 CNAME {HOSTS[3]}",), ecs=f"{DEEPER}/s24"),
        USED,
        labels(110, 3),
    ),
    Vector(
        "ECS-12",
        "without ECS an alias is followed to it, and no further",
        query("tomulti"),
        Reply(answer=("tomulti 3600 CNAME multi", f"multi 60 CNAME {HOSTS[3]}")),
        STEERED,
        labels(110, 7),
    ),
    Vector(
        "ECS-12",
        "with ECS the alias is answered alone",
        query("tomulti", "A", SUBNET),
        Reply(answer=("tomulti 3600 CNAME multi",), ecs=f"{SUBNET}/s0"),
        "ecs_queries",
    ),
    Vector(
        "ECS-12",
        "eight aliases are the most: the ninth is not chosen",
        query("d1"),
        Reply(
            answer=(*(f"d{number} 3600 CNAME d{number + 1}" for number in range(1, 8)), "d8 3600 CNAME multi")
        ),
    ),
    Vector(
        "ECS-12",
        "the eighth may be",
        query("d2"),
        Reply(
            answer=(
                *(f"d{number} 3600 CNAME d{number + 1}" for number in range(2, 8)),
                "d8 3600 CNAME multi",
                f"multi 60 CNAME {HOSTS[3]}",
            )
        ),
        STEERED,
        labels(110, 7),
    ),
    Vector(
        "ECS-12",
        "ANY is HINFO there too",
        query("multi", 255, SUBNET),
        Reply(answer=('multi 3600 HINFO "RFC8482" ""',), ecs=f"{SUBNET}/s0"),
        "ecs_queries",
    ),
    Vector("ECS-12", "NSEC in an unsigned zone is not", query("multi", "NSEC"), nodata(), NODATA),
    Vector("ECS-12", "nor is RRSIG", query("multi", "RRSIG"), nodata(), NODATA),
    Vector(
        "ECS-12",
        "a forced host",
        query("forced.multi", "A", SUBNET),
        Reply(answer=(f"forced.multi 60 CNAME {HOSTS[0]}",), ecs=f"{SUBNET}/s0"),
        "ecs_queries answers_steered answers_forced",
        labels(112, 8),
    ),
    Vector(
        "DNS-13",
        "a host as a wildcard, by weight among those that have one",
        query("a.multi", "A", SUBNET),
        Reply(answer=(f"a.multi 5 CNAME {HOSTS[2]}",), ecs=f"{SUBNET}/s20"),
        USED,
        labels(111, 6, 10),
    ),
)


def explained(owner: str, *strings: str, ttl_s: int = 60) -> str:
    """The TXT of an explaining name."""
    return f"{owner}._why {ttl_s} TXT " + " ".join(
        f'"{string}"' for string in (*strings, f"snapshot {IDENTITY}")
    )


EXPLANATIONS = (
    Vector(
        "ECS-7",
        "an explaining name says what was used",
        query("www._why", "TXT", SUBNET),
        Reply(
            answer=(
                explained(
                    "www", f"client {SUBNET} by ecs", "rule cdn.example/web#1", "target pop:1", "scope 17"
                ),
            ),
            ecs=f"{SUBNET}/s17",
        ),
        USED,
        labels(101, 1),
    ),
    Vector(
        "ECS-2",
        "and that nothing was given",
        query("www._why", "TXT"),
        Reply(
            answer=(
                explained(
                    "www",
                    BY_RESOLVER,
                    "rule cdn.example/web#7",
                    "target pop:7",
                    "scope 0",
                ),
            )
        ),
        STEERED,
        labels(101, 7),
    ),
    Vector(
        "ECS-23",
        "the prefix as it was given, not as it was read",
        query("www._why", "TXT", "2002:8501:200::/40"),
        Reply(
            answer=(
                explained(
                    "www",
                    "client 2002:8501:200:0:0:0:0:0/40 by ecs",
                    "rule cdn.example/web#1",
                    "target pop:1",
                    "scope 33",
                ),
            ),
            ecs="2002:8501:200::/40/s33",
        ),
        USED,
        labels(101, 1),
    ),
    Vector(
        "ECS-16",
        "that a special block was not usable",
        query("www._why", "TXT", "198.18.1.0/24"),
        Reply(
            answer=(
                explained(
                    "www",
                    BY_RESOLVER,
                    "rule cdn.example/web#7",
                    "target pop:7",
                    "scope 15",
                ),
            ),
            ecs="198.18.1.0/24/s15",
        ),
        "ecs_queries ecs_special answers_steered",
        labels(101, 7),
    ),
    Vector(
        "DNS-13",
        "an arm, of which there is no text",
        query("img._why", "TXT", "133.1.4.0/24"),
        Reply(
            answer=(
                explained(
                    "img",
                    "client 133.1.4.0/24 by ecs",
                    "arm -",
                    "rule cdn.example/web#1",
                    "target pop:1",
                    "scope 24",
                ),
            ),
            ecs="133.1.4.0/24/s24",
        ),
        USED,
        labels(106, 1, None, 202),
    ),
    Vector(
        "DNS-13",
        "an override",
        query("forced._why", "TXT", SUBNET),
        Reply(
            answer=(explained("forced", BY_RESOLVER, "rule override", "target pop:8", "scope 0"),),
            ecs=f"{SUBNET}/s0",
        ),
        "ecs_queries answers_steered answers_forced",
        labels(107, 8),
    ),
    Vector(
        "DNS-13",
        "strings are cut at 255 octets",
        query("views._why", "TXT", "133.1.130.0/24"),
        Reply(
            answer=(
                explained(
                    "views", "client 133.1.130.0/24 by ecs", f"rule {'x' * 250}", "target pop:5", "scope 24"
                ),
            ),
            ecs="133.1.130.0/24/s24",
        ),
        USED,
        labels(104, 5),
        "127.1.0.9",
    ),
    Vector(
        "DNS-13",
        "a host",
        query("multi._why", "TXT", DEEPER),
        Reply(
            answer=(
                explained(
                    "multi",
                    f"client {DEEPER} by ecs",
                    "rule cdn.example/web#3",
                    "target pop:3",
                    "scope 24",
                    ttl_s=10,
                ),
            ),
            ecs=f"{DEEPER}/s24",
        ),
        USED,
        labels(110, 3),
    ),
    Vector(
        "DNS-13",
        "other types of an explaining name are NODATA",
        query("www._why", "A"),
        nodata(soa="_why 30 SOA ns1 hostmaster 1 3600 600 86400 30"),
        NODATA,
    ),
    Vector(
        "DNS-13",
        "the apex of such a zone explains the apex above it",
        query("_why", "TXT"),
        Reply(
            answer=(
                explained("@", BY_RESOLVER, "rule cdn.example/web#7", "target pop:7", "scope 0").replace(
                    "@._why", "_why"
                ),
            )
        ),
        STEERED,
        labels(100, 7),
    ),
    Vector(
        "DNS-13",
        "and has its SOA",
        query("_why", "SOA"),
        Reply(answer=("_why 60 SOA ns1 hostmaster 1 3600 600 86400 30",)),
    ),
    Vector(
        "DNS-13",
        "and no addresses",
        query("_why", "A"),
        nodata(soa="_why 30 SOA ns1 hostmaster 1 3600 600 86400 30"),
        NODATA,
    ),
    Vector(
        "DNS-13",
        "of a host's too",
        query("multi._why", "A"),
        nodata(soa="_why 30 SOA ns1 hostmaster 1 3600 600 86400 30"),
        NODATA,
    ),
)

VECTORS = HINTS + CNAMES + EXPLANATIONS
