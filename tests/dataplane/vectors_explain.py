"""Vectors for names that explain themselves (docs/snapshot_format.md); the world is that of world.py."""

from tests.dataplane.vectors import Reply, Vector, nodata, query
from tests.dataplane.vectors_answers import DEEPER, NODATA, STEERED, SUBNET, USED, labels

BY_RESOLVER = "client 127.0.0.1/32 by resolver"
IDENTITY = "0001020304050607-0001020304050607"


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

VECTORS = EXPLANATIONS
