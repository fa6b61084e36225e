"""Vectors for DNS-12 and ECS-12: hints, hosts; the world is tests/dataplane/world.py."""

from tests.dataplane.vectors import Reply, Vector, nodata, query

SUBNET = "133.1.2.0/24"  # plan 1, SCOPE 17
DEEPER = "133.1.130.0/24"  # plan 3: two addresses, TTL 10, SCOPE 24
USED = "ecs_queries ecs_used answers_steered"
STEERED = "answers_steered"
NODATA = "answers_nodata"
HOSTS = ("cdn-a.test.", "cdn-b.test.", "text", "www.signed.example.")
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
        "ANY is the CNAME too",
        query("multi", 255, SUBNET),
        Reply(answer=(f"multi 60 CNAME {HOSTS[1]}",), ecs=f"{SUBNET}/s17"),
        USED,
        labels(110, 1),
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


VECTORS = HINTS + CNAMES
