"""Who has which address in the mini-Internet.

All are global ones, since some checkers refuse others; the network namespace has no link to anywhere, so
nothing ever leaves for their real holders."""

ROOT = ("a.root.", "45.11.1.53", "2a0e:b106:1::53")
TLD = ("ns.nic.example.", "45.11.2.53", "2a0e:b106:2::53")
HOSTING = ("ns.elsewhere.example.", "45.14.1.53", "2a0e:b109:1::53")
STEER = (
    ("ns1.cdn.example.", "45.12.1.53", "2a0e:b107:1::53"),
    ("ns2.cdn.example.", "45.12.2.53", "2a0e:b107:2::53"),
)
ZONE = "cdn.example."
STEER_SERVERS = tuple(address for _, *both in STEER for address in both)
MAIL = ("45.12.1.25", "2a0e:b107:1::25")

# Clients of resolvers, each in a place of its own: (address, SOURCE that resolvers send of it).
CLIENTS = (
    ("133.1.0.10", 24),  # Japan
    ("200.160.2.10", 24),  # Brazil
    ("193.0.6.10", 24),  # the Netherlands
    ("8.8.8.10", 24),  # the United States
    ("41.0.0.10", 24),  # South Africa
    ("2001:200::10", 56),  # Japan
    ("2001:67c:2e8::10", 56),  # the Netherlands
    ("2804:10::10", 56),  # Brazil
)
UNBOUND = ("127.0.0.51", "45.15.0.51", "2a0e:b110::51")  # where it listens, and from where it asks
RECURSOR = ("127.0.0.52", "45.15.0.52", "2a0e:b110::52")
BIND, KNOT = ("45.16.0.53", "2a0e:b111::53"), ("45.16.1.53", "2a0e:b111:1::53")
OWN = (
    *(address for _, *both in (ROOT, TLD, HOSTING, *STEER) for address in both),
    *MAIL,
    *UNBOUND[1:],
    *RECURSOR[1:],
    *BIND,
    *KNOT,
    *(address for address, _ in CLIENTS),
)
"""Everything that goes onto the namespace's loopback interface."""

AS_OF_ADDRESS = {"45.12.1.53": 64496, "45.12.2.53": 64497, "2a0e:b107:1::53": 64496, "2a0e:b107:2::53": 64497}
