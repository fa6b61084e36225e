"""What the client tools ask: every steered name and type, and plain names for each way to answer."""

from conformance.addresses import ZONE

STEERED = tuple(
    f"{label}{ZONE}"
    for label in (
        "",
        "www.",
        "a.tenants.",
        "b.c.tenants.",
        "rules.",
        "regional.",
        "split.",
        "img.",
        "live.",
        "multi.",
        "views.",
        "any.",
    )
)
SERVICE = tuple(f"{label}{ZONE}" for label in ("", "www.", "rules.", "multi.", "a.tenants."))
"""Those with HTTPS records."""
HOSTS = tuple(f"{label}{ZONE}" for label in ("hosts.", "x.hosts.", "y.z.hosts."))
"""Those whose policy gives a CNAME."""
ADDRESSED = (
    *((name, rdtype) for name in STEERED for rdtype in ("A", "AAAA")),
    *((name, "HTTPS") for name in SERVICE),
)
ALIASED = tuple((name, rdtype) for name in HOSTS for rdtype in ("A", "AAAA", "CNAME"))
ASKED = (*ADDRESSED, *ALIASED)
"""Every steered name and type."""
SUBNETS = (
    "133.1.0.0/24",
    "200.160.2.0/24",
    "193.0.6.0/24",
    "193.0.6.139/32",
    "8.8.8.0/21",
    "41.0.0.0/8",
    "10.1.2.0/24",
    "2001:200::/48",
    "2001:67c:2e8::/56",
    "2804:10::/32",
    "2002:8501:0:1::/64",
    "2001:db8::/32",
)
PLAIN = tuple(
    (f"{label}{ZONE}", rdtype)
    for label, rdtype in (
        ("", "SOA"),
        ("", "NS"),
        ("", "MX"),
        ("", "TXT"),
        ("", "CAA"),
        ("ns1.", "A"),
        ("ns2.", "AAAA"),
        ("_sip._tcp.", "SRV"),
        ("_443._tcp.mail.", "TLSA"),
        ("types.", "NAPTR"),
        ("types.", "SSHFP"),
        ("types.", "LOC"),
        ("types.", "RP"),
        ("types.", "URI"),
        ("types.", "HINFO"),
        ("types.", "TYPE65280"),
        ("_8443._https.www.", "SVCB"),
        ("ptr.", "PTR"),
        ("text.", "TXT"),
        ("upper.", "TXT"),
        ("big.", "TXT"),
        ("any.wild.", "A"),
        ("any.wild.", "TXT"),
        ("not.wild.", "TXT"),
        ("plain.", "TXT"),
        ("plain.", "CNAME"),
        ("deep.ent.", "TXT"),
    )
)
"""Each has records of its type, the last of a chain included."""
NODATA = tuple((f"{label}{ZONE}", "TXT") for label in ("ns1.", "ent.", "wild.", "www.", "x.tenants."))
NXDOMAIN = tuple(f"{label}{ZONE}" for label in ("nx.", "a.b.nx.", "under.not.wild.", "x.ent."))
REFERRALS = tuple(f"{label}{ZONE}" for label in ("www.child.", "www.secure.", "child."))
