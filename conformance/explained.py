"""Warnings that we know and why they stand; docs/conformance.md shows them. Any other one fails."""

ZONEMASTER: dict[str, str] = {
    "NOT_SIGNED": "the zone of this run is not signed",
    "NEITHER_DNSKEY_NOR_DS": "the zone of this run is not signed",
}
"""By tag."""

DNSVIZ: dict[str, str] = {}
"""By code."""
