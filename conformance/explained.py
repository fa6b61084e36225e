"""Warnings that we know and why they stand; docs/conformance.md shows them. Any other one fails."""

ZONEMASTER: dict[str, str] = {}
"""By tag."""

UNBOUND_HOSTS = (
    "unbound keeps a tailored CNAME for all clients when its target's server knows no client subnet: the"
    " first client's host goes to all for one TTL (NLnetLabs/unbound issues 37 and 480)"
)

DNSVIZ: dict[str, str] = {}
"""By code."""
